"""The teacher that a run asks: journal first, then budget and gate, then the provider."""

import hashlib
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pada_graph.config import ROLES, Limits, Model, Models, Role
from pada_graph.errors import PadaError
from pada_graph.services import Reply, Usage
from pada_graph.teacher.budget import Budget, bounded, reply_bound, usd
from pada_graph.teacher.gate import Gate
from pada_graph.teacher.journal import Call, Journal
from pada_graph.teacher.journal_file import NOT_BILLED
from pada_graph.teacher.models import TRANSPORT, load_chat_model, whole_reply
from pada_graph.teacher.prices import prices, refuse_unknown
from pada_graph.teacher.provider_errors import concerns_one_prompt, is_content_refusal, may_be_paid, stopped
from pada_graph.teacher.retries import with_retries, within
from pada_graph.teacher.secrets import redact, without_secrets

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage

_STOP = frozenset(("stop", "end_turn", "stop_sequence", "eos", "eos_token", "completed", "done"))
_LENGTH = frozenset(("length", "max_tokens", "max_output_tokens", "model_length", "model_context_window_exceeded"))


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
        with self._open_budget().reserved(call.role, call.prompt) as charge:
            self.journal.start(call)
            try:
                reply = _reply(within(seconds, lambda: chat.invoke(call.prompt)))
            except Exception as error:
                if is_content_refusal(error):  # of this item, not of the account: the run goes on without it
                    charge.turn_away()
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
