"""Chat models by their config: any init_chat_model id, a GGUF file or the rule-based teacher."""

import difflib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pada_graph.config import Model
from pada_graph.errors import InputError
from pada_graph.teacher.logs import hide_secrets
from pada_graph.teacher.openai_client import use_plain_completions
from pada_graph.teacher.secrets import redact

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

TIMEOUT = 300  # seconds without a byte from the provider; a batch of ten samples takes minutes on a busy day
CONNECT_TIMEOUT = 20
WHOLE_REPLY = 2  # times the time-out, from the first byte sent to the last one received

_EXTRAS = {
    "langchain_aws": "bedrock",
    "boto3": "bedrock",
    "langchain_openai": "openai",
    "httpx2": "openai",
    "xllamacpp": "local",
}
# Settings that say where and how patiently to ask, not what: changing one on resume repays no finished call.
TRANSPORT = frozenset(
    ("base_url", "endpoint_url", "openai_api_base", "azure_endpoint", "region_name", "credentials_profile_name")
) | frozenset(("timeout", "request_timeout", "max_retries", "config", "n_parallel", "n_threads"))


def load_chat_model(model: Model, *, setting: str = "models.analyst", concurrency: int = 16) -> "BaseChatModel":
    """Make the chat model that a role's config names, its own retries off.

    Args:
        model: an init_chat_model id with keyword arguments, gguf:PATH or builtin:rules.
        setting: where `model` stands in the config, for messages.
        concurrency: calls in flight, for the connection pool.

    Raises:
        InputError: unknown provider or argument, missing package, credentials or region; names the setting and the fix.
    """
    settings = dict(model.model_extra or {})
    hide_secrets(settings)
    if model.temperature is not None:
        settings["temperature"] = model.temperature
    try:
        chat = _make(model.model, settings, setting, concurrency)
    except InputError:
        raise
    except ImportError as error:
        raise InputError(
            f"{setting}.model: {model.model} needs a package that is missing. {_install(error)}"
        ) from error
    except ValidationError as error:
        # Without the values found: one of them may be a key.
        lines = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'model'}: {item['msg']}" for item in error.errors())
        raise InputError(redact(f"{setting}: {model.model} cannot be used: {lines}", settings)) from None
    except Exception as error:  # whatever the provider's package raises: its words, told at the setting
        said = redact(str(error).strip().partition("\n")[0], settings)
        raise InputError(
            f"{setting}.model: {model.model} cannot be used: {said} (write it as provider:model, e.g. openai:NAME, "
            "bedrock_converse:ID, gguf:PATH or builtin:rules)"
            if "model_provider" in said
            else f"{setting}.model: {model.model} cannot be used: {said}"
        ) from None
    return chat


def _make(name: str, settings: dict[str, Any], setting: str, concurrency: int) -> "BaseChatModel":
    provider, _, rest = name.partition(":")
    if name == "builtin:rules":
        from pada_graph.demo.rules import RuleBasedTeacher

        _refuse_unknown(RuleBasedTeacher, {key: settings[key] for key in settings if key != "temperature"}, setting)
        rules: BaseChatModel = RuleBasedTeacher()
        return rules
    if provider == "gguf":
        from pada_graph.teacher.gguf import GgufChatModel

        _refuse_unknown(GgufChatModel, settings, setting)
        return GgufChatModel(path=rest, **settings)
    from langchain.chat_models import init_chat_model

    # Studio's token stream would make the provider's client stream too: another API with other replies.
    settings = {"disable_streaming": True, **settings}
    bedrock = provider in ("bedrock", "bedrock_converse")
    if bedrock:
        # The class's own `timeout` would be the connection's too, and its `max_retries` a second retry layer.
        own = {name: value for name, value in settings.items() if name not in ("timeout", "max_retries")}
        settings = {"config": _bedrock_config(settings, concurrency), **own}
    chat: BaseChatModel = init_chat_model(name, **settings)
    _refuse_unknown(type(chat), settings, setting)
    if bedrock:
        return chat
    # The class is known only now; retries and time-outs are fixed when it is made, so it is made again with them.
    patience: dict[str, Any] = {"max_retries": 0, "timeout": TIMEOUT}
    defaults = {argument: value for argument, value in patience.items() if argument in _arguments(type(chat))}
    settings = {**defaults, **settings}
    if any(kind.__name__ == "BaseChatOpenAI" for kind in type(chat).__mro__):
        from openai import Timeout

        seconds = _timeout(settings)
        settings["timeout"] = Timeout(seconds, connect=min(CONNECT_TIMEOUT, seconds))
    chat = init_chat_model(name, **settings)
    if type(chat).__name__ == "ChatOpenAI":  # classes that derive from it may look at the typed reply
        use_plain_completions(chat)
    return chat


def whole_reply(model: Model) -> float | None:
    """Seconds that a call may take in all, however steadily bytes arrive; None for a model in this process."""
    in_process = model.model.partition(":")[0] in ("gguf", "builtin")
    return None if in_process else WHOLE_REPLY * _timeout(model.model_extra or {})


def _timeout(settings: Mapping[str, Any]) -> float:
    """Seconds without a byte that are too long: `timeout` beside the model, or ours."""
    given = settings.get("timeout", settings.get("request_timeout"))
    return given if isinstance(given, int | float) and given > 0 else TIMEOUT


def _bedrock_config(settings: dict[str, Any], concurrency: int) -> Any:
    """The botocore configuration; says here, not at the first call, that credentials or region are missing."""
    from boto3 import Session  # type: ignore[import-untyped]
    from botocore.config import Config  # type: ignore[import-untyped]

    session = Session(profile_name=settings.get("credentials_profile_name"))
    if not (settings.get("region_name") or os.environ.get("AWS_REGION") or session.region_name):
        raise ValueError("no AWS region is set; set AWS_REGION, or region_name beside this setting")
    given = settings.keys() & {"aws_access_key_id", "api_key", "bedrock_api_key"}
    if not (given or os.environ.get("AWS_BEARER_TOKEN_BEDROCK") or session.get_credentials()):
        raise ValueError(
            "no AWS credentials are found; set AWS_PROFILE, or credentials_profile_name beside this setting"
        )
    return Config(
        retries={"total_max_attempts": 1, "mode": "standard"},
        connect_timeout=min(CONNECT_TIMEOUT, _timeout(settings)),
        read_timeout=_timeout(settings),
        max_pool_connections=max(10, concurrency),
    )


def _install(error: ImportError) -> str:
    names = [name for name in _EXTRAS if name.replace("_", "-") in str(error).replace("_", "-")]
    if names:
        return f"Install it with: pip install 'pada-graph[{_EXTRAS[names[0]]}]'"
    return str(error).rpartition(". ")[2] if "pip install" in str(error) else str(error)


def _arguments(kind: type["BaseChatModel"]) -> set[str]:
    return {*kind.model_fields, *(field.alias for field in kind.model_fields.values() if field.alias)}


def _refuse_unknown(kind: type["BaseChatModel"], settings: dict[str, Any], setting: str) -> None:
    """Refuse arguments that the model's class does not know: most classes would drop them without a word."""
    known = _arguments(kind) | {"model_provider"}
    for name in settings.keys() - known:
        close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
        hint = f"did you mean {close[0]!r}?" if close else f"{kind.__name__}'s reference lists its arguments."
        raise InputError(f"{setting}.{name}: {kind.__name__} has no such argument; {hint}")
