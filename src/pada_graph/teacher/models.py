"""Chat models by their config, and the teacher that asks them: journal first, then the provider."""

import difflib
import hashlib
import json
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pada_graph import stopping
from pada_graph.config import ROLES, Limits, Model, Models, Role
from pada_graph.errors import InputError, PadaError
from pada_graph.services import Reply, Usage
from pada_graph.teacher.budget import Budget, bounded, reply_bound, usd
from pada_graph.teacher.gate import Gate
from pada_graph.teacher.journal import Call, Journal
from pada_graph.teacher.journal_file import NOT_BILLED
from pada_graph.teacher.limits import (
    concerns_one_prompt,
    is_content_refusal,
    may_be_paid,
    redact,
    stopped,
    without_secrets,
)
from pada_graph.teacher.logs import hide_secrets
from pada_graph.teacher.prices import prices, refuse_unknown
from pada_graph.teacher.retries import with_retries, within

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage

TIMEOUT = 300  # seconds without a byte from the provider; a batch of ten samples takes minutes on a busy day
CONNECT_TIMEOUT = 20
WHOLE_REPLY = 2  # times the time-out, from the first byte sent to the last one received

_EXTRAS = {"langchain_aws": "bedrock", "boto3": "bedrock", "langchain_openai": "openai", "xllamacpp": "local"}
# Settings that say where and how patiently to ask, not what: changing one on resume repays no finished call.
TRANSPORT = frozenset(
    ("base_url", "endpoint_url", "openai_api_base", "azure_endpoint", "region_name", "credentials_profile_name")
) | frozenset(("timeout", "request_timeout", "max_retries", "config", "n_parallel", "n_threads"))
_STOP = frozenset(("stop", "end_turn", "stop_sequence", "eos", "eos_token", "completed", "done"))
_LENGTH = frozenset(("length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"))


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
    return chat


class JournaledTeacher:
    """services.Teacher over chat models: every call is in the journal before it is sent and before it is used."""

    def __init__(self, models: Models, limits: Limits, journal_path: Path, roles: Sequence[Role] = ROLES):
        self._models = models
        self._roles = roles  # that will be asked
        self._limits = limits
        self._gates: dict[str, Gate] = {}
        self._lock = threading.Lock()
        self._chats: dict[Role, BaseChatModel] = {}
        self.prices = prices(models, limits)
        self._budget: Budget | None = None  # None: what is spent was not read from the journal yet
        self.journal = Journal(journal_path)

    def ask(self, role: Role, prompt: str, *, item: str, attempt: int = 0) -> Reply:
        """Answer one prompt; a finished call is answered from the journal, for nothing.

        Raises:
            InputError: the role's model cannot be made.
            StoppedError: the provider failed for good, the call would exceed a limit, the journal cannot be used, or
                the run is stopping.
        """
        model = _model(self._models, role)
        call = Call(call_key(role, model, prompt, item, attempt), role, model.model, item, attempt, prompt)
        if reply := self.journal.find(call.key):
            return reply
        chat, gate = self._chat(role, model), self._gate(model.model)
        try:
            reply = with_retries(lambda: self._send(call, chat, whole_reply(model)), gate)
        except PadaError:  # a limit of ours, the journal, or what befell another call
            raise
        except Exception as error:  # any provider's own classes; told apart and put into words
            problem = stopped(error, role=role, model=model.model, settings=model.model_extra or {})
            if not concerns_one_prompt(error):
                gate.give_up(problem)
        else:
            self.journal.finish(call.key, reply)
            return reply
        raise problem  # outside the handler, so that the original, which may quote a key, is not its context

    def _send(self, call: Call, chat: "BaseChatModel", seconds: float | None) -> Reply:
        """Send a call once. What was refused is taken back from the journal; a lost reply may have been paid."""
        stopping.check()
        with self._open_budget().reserved(call.role, call.prompt) as charge:
            self.journal.start(call)
            try:
                reply = _reply(within(seconds, lambda: chat.invoke(call.prompt)))
            except Exception as error:
                if is_content_refusal(error):  # of this item, not of the account: the run goes on without it
                    charge.usd = 0.0  # a prompt that was turned away is not billed
                    return NOT_BILLED
                if not may_be_paid(error):
                    settings = _model(self._models, call.role).model_extra or {}
                    self.journal.refuse(call.key, redact(f"{type(error).__name__}: {error}", settings))
                    charge.waive()
                raise
            charge.settle(reply)
            return reply

    def usage(self) -> dict[Role, Usage]:
        """Finished calls of the whole run, their tokens and dollars, those of earlier processes included."""
        return {
            role: {
                "calls": past.finished,
                "input_tokens": past.input_tokens,
                "output_tokens": past.output_tokens,
                "usd": usd(self.prices[role], past),
            }
            for role, past in self.journal.spent().items()
            if past.finished
        }

    def load(self) -> None:
        """Make the chat models that will be asked now, so that a wrong setting is found before anything is spent.

        Raises:
            InputError: a model cannot be made, or a dollar limit is set and a price is unknown; names setting and fix.
        """
        refuse_unknown(self.prices, self._models, self._limits, self._roles)
        for role in self._roles:
            self._chat(role, _model(self._models, role))

    def close(self) -> None:
        """Close the journal; a later call opens it again."""
        self.journal.close()

    def _chat(self, role: Role, model: Model) -> "BaseChatModel":
        with self._lock:
            if role not in self._chats:
                asked = bounded(model, self.prices[role], self._limits)
                self._chats[role] = load_chat_model(
                    asked, setting=f"models.{role}", concurrency=self._limits.concurrency
                )
            return self._chats[role]

    def _gate(self, name: str) -> Gate:
        with self._lock:
            return self._gates.setdefault(name, Gate(self._limits.concurrency))

    def _open_budget(self) -> Budget:
        with self._lock:
            if self._budget is None:
                refuse_unknown(self.prices, self._models, self._limits, self._roles)
                longest = {role: reply_bound(_model(self._models, role)) for role in ROLES}
                self._budget = Budget(self._limits, self.prices, longest, self.journal.spent(), self.journal.in_doubt())
            return self._budget


def call_key(role: Role, model: Model, prompt: str, item: str, attempt: int) -> str:
    """The identity of a call: sha256 of role, model, the parameters that shape an answer, prompt, item and attempt."""
    given = {name: value for name, value in (model.model_extra or {}).items() if name not in TRANSPORT}
    parameters = without_secrets(given)
    parameters["temperature"] = None if model.temperature is None else float(model.temperature)  # 0 and 0.0 are one
    identity = [role, model.model, parameters, prompt, item, attempt]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _model(models: Models, role: Role) -> Model:
    return {"analyst": models.analyst, "generator": models.generator, "judge": models.judge}[role]


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


def _reply(message: "AIMessage") -> Reply:
    usage = message.usage_metadata
    metadata = message.response_metadata
    text = str(message.text).encode("utf-8", "replace").decode()  # a lone surrogate could not be stored
    reason = metadata.get("finish_reason") or metadata.get("stopReason") or metadata.get("stop_reason")
    reason = reason or metadata.get("done_reason")
    if metadata.get("model_provider") and not reason and not usage:  # both come last in a stream
        raise ConnectionError("the reply ended before its stop reason")
    reason = str(reason or "stop")
    if message.additional_kwargs.get("refusal"):
        reason = "refusal"
    if (metadata.get("incomplete_details") or {}).get("reason"):  # OpenAI's Responses API
        reason = str(metadata["incomplete_details"]["reason"])
    word = reason.lower()
    return Reply(
        text=text,
        stop_reason="stop" if word in _STOP else "length" if word in _LENGTH else word,
        input_tokens=usage["input_tokens"] if usage else 0,
        output_tokens=usage["output_tokens"] if usage else 0,
    )
