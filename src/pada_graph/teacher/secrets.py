"""What of a model's settings and of a message must not be shown, logged or hashed, and texts without it."""

import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

_SECRET_NAME = re.compile(r"key|token|secret|password|credential|authorization|cookie|headers", re.IGNORECASE)
_NOT_SECRET = re.compile(r"^max_|tokens$|token_ids?$|tokenizer|^credentials_profile_name$", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^/\s@]+@")  # user:password@ of a URL
_QUERY = re.compile(r"(?<=[?&])([\w.-]+)=([^&#\s'\"]+)")  # name=value of a URL
_SECRET_TEXT = re.compile(
    r"sk-[\w*.-]{6,}|\b(?:AKIA|ASIA)[0-9A-Z]{12,}|(?<=Bearer )(?=\S*\d)[^\s'\",]{8,}|(?<=://)[^/\s@]+(?=@)"
    r"|x-amz-security-token\W+(?:b')?[\w+/=%-]{16,}",
    re.IGNORECASE,
)


def is_secret(name: str) -> bool:
    """Whether a setting of that name holds something that must not be shown, logged or hashed."""
    return bool(_SECRET_NAME.search(name)) and not _NOT_SECRET.search(name)


def redact(text: str, settings: Mapping[str, Any]) -> str:
    """Blot out every secret among `settings` and the environment, and whatever looks like one."""
    for secret in sorted({*_secrets(settings), *_secrets(os.environ)}, key=len, reverse=True):
        text = text.replace(secret, "***")
    text = _QUERY.sub(lambda found: f"{found[1]}=***" if is_secret(found[1]) else found[0], text)
    return _SECRET_TEXT.sub("***", text)


def without_secrets(value: Any) -> Any:
    """A model's settings as they may be written down and hashed: no value under a secret's name, however deep.

    Of a URL, user and password go, and the values of secret query parameters (`?api_key=...`).
    """
    if isinstance(value, Mapping):
        return {name: without_secrets(part) for name, part in value.items() if not is_secret(name)}
    if isinstance(value, list):
        return [without_secrets(part) for part in value]
    if isinstance(value, str) and "://" in value:
        return _QUERY.sub(lambda found: f"{found[1]}=" if is_secret(found[1]) else found[0], _USER.sub("", value))
    return value


def _secrets(value: Any, secret: bool = False) -> Iterable[str]:
    """Strings under a secret's name, however deep; very short ones would blot out ordinary words."""
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield from _secrets(part, secret or is_secret(str(name)))
    elif secret and isinstance(value, str) and len(value) >= 6:
        yield value
