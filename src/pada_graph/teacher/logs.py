"""Keeps secrets out of log records: SDKs that log at DEBUG show headers, tokens and key ids.

A record factory sees every record before any handler does; filters would have to be put on each handler. Records of
other packages are left as they are: their formatters may need the arguments (uvicorn's and structlog's do).
"""

import logging
import threading
from collections.abc import Mapping
from typing import Any

from pada_graph.teacher.secrets import redact

# Top packages of the loggers through which a provider's client speaks, and what carries its requests.
_CLIENTS = frozenset(
    (
        "anthropic",
        "boto3",
        "botocore",
        "google",
        "google_genai",
        "httpcore",
        "httpcore2",
        "httpx",
        "httpx2",
        "openai",
        "requests",
        "urllib3",
    )
)
_FRAMEWORK = "langchain"  # langchain_aws, langchain_openai, ...

_lock = threading.Lock()
_settings: list[Mapping[str, Any]] = []  # whose secrets are blotted out
_installed = False


def hide_secrets(settings: Mapping[str, Any]) -> None:
    """Blot out the secrets among `settings`, and what looks like one, in what providers' clients log from now on."""
    global _installed  # noqa: PLW0603 - one factory a process
    with _lock:
        if settings not in _settings:
            _settings.append(settings)
        if not _installed:
            logging.setLogRecordFactory(_redacting(logging.getLogRecordFactory()))
            _installed = True


def _redacting(make: Any) -> Any:
    formatter = logging.Formatter()

    def record(*arguments: Any, **named: Any) -> logging.LogRecord:
        made: logging.LogRecord = make(*arguments, **named)
        package = str(made.name).partition(".")[0]  # logging.makeLogRecord begins without a name
        if package not in _CLIENTS and not package.startswith(_FRAMEWORK):
            return made
        secrets = {str(number): settings for number, settings in enumerate(_settings)}
        made.msg, made.args = redact(_text(made), secrets), ()
        if made.exc_info:
            made.exc_text = redact(formatter.formatException(made.exc_info), secrets)
        return made

    return record


def _text(record: logging.LogRecord) -> str:
    """The record's message; where its arguments do not fit, the words without them: logging must not raise."""
    try:
        return record.getMessage()
    except Exception:  # of a wrong placeholder, or of an argument's own __str__
        words = record.msg if isinstance(record.msg, str) else type(record.msg).__name__
        return f"{words} (with arguments that do not fit)"
