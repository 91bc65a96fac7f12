"""What a run may spend: calls, dollars and tokens, reserved before a call is sent and settled when it has ended.

A reservation is an upper bound of the call's cost: one token for every byte of the prompt, which no tokenizer exceeds,
and the longest reply that the model's settings allow; where they set none, a limit of ours sets one (`bounded`). So
a limit holds however many calls are in flight. A call that does not fit beside those in flight waits for them, since
they will cost less than was reserved; one that does not fit by itself stops the run.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from pada_graph import stopping
from pada_graph.config import Limits, Model, Role
from pada_graph.errors import StoppedError
from pada_graph.services import Reply
from pada_graph.teacher.prices import Price, dollars

ASSUMED_REPLY = 4096  # tokens, where the model's settings do not bound its replies; sent as max_tokens by `bounded`
CHAT_FRAME = 64  # tokens that a chat template puts around a prompt

_REPLY_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "num_predict")


@dataclass(frozen=True)
class Spending:
    """What the journal holds of one role."""

    sent: int = 0  # calls, repeated ones counted again, refused ones not
    finished: int = 0
    input_tokens: int = 0  # of finished calls
    output_tokens: int = 0
    uncounted: int = 0  # finished calls whose provider reported no tokens


@dataclass
class Charge:
    """One call as the budget sees it; it counts in full until it is settled or waived."""

    price: Price | None
    usd: float
    tokens: int
    calls: int = 1

    def settle(self, reply: Reply) -> None:
        """The call has ended: it costs what it costs. Without a token count it keeps costing its bound."""
        if counted(reply):
            self.tokens = reply.input_tokens + reply.output_tokens
            if self.price is not None:
                self.usd = self.price.usd(reply.input_tokens, reply.output_tokens)

    def turn_away(self) -> None:
        """The provider turned the prompt away for its content: a call, but nothing is paid."""
        self.usd, self.tokens = 0.0, 0

    def waive(self) -> None:
        """The provider refused the call: nothing is paid."""
        self.usd, self.tokens, self.calls = 0.0, 0, 0


@dataclass
class Budget:
    """The limits of one run, shared by all threads. `spent` and `in_doubt` are what earlier processes left."""

    limits: Limits
    prices: Mapping[Role, Price | None]
    longest: Mapping[Role, int]  # tokens of a reply, at most
    spent: Mapping[Role, Spending]
    in_doubt: Iterable[tuple[Role, str]]  # role and prompt of calls that may have been paid
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _calls: int = field(init=False)
    _settled: "_Amounts" = field(init=False)
    _flying: int = 0  # calls in flight
    _reserved: "_Amounts" = field(default_factory=lambda: dict(_NOTHING))  # by them

    def __post_init__(self) -> None:
        """Add up what is spent already."""
        self._calls = sum(past.sent for past in self.spent.values())
        self._settled = dict(_NOTHING)
        for role, prompt in self.in_doubt:
            self._settled = _sum(self._settled, self._bound(role, prompt))
        for role, past in self.spent.items():
            price = self.prices[role]
            cost = price.usd(past.input_tokens, past.output_tokens) if price else 0.0
            self._settled = _sum(self._settled, {"max_usd": cost, "max_tokens": past.input_tokens + past.output_tokens})

    @contextmanager
    def reserved(self, role: Role, prompt: str) -> Iterator[Charge]:
        """Reserve one call for as long as it lasts; what is neither settled nor waived counts as spent in full.

        Raises:
            StoppedError: the call would exceed limits.max_calls, max_usd or max_tokens, or the run is stopping, perhaps
                since this call began to wait; it must not be sent.
        """
        bound = self._bound(role, prompt)
        charge = Charge(self.prices[role], bound["max_usd"], int(bound["max_tokens"]))
        with self._changed:
            self._admit(bound)
            self._calls += 1
            self._flying += 1
            self._reserved = _sum(self._reserved, bound)
        try:
            yield charge
        finally:
            with self._changed:
                self._flying -= 1
                # What rounding leaves would make a call wait for ever that just fits.
                self._reserved = _sum(self._reserved, bound, -1) if self._flying else dict(_NOTHING)
                self._settled = _sum(self._settled, {"max_usd": charge.usd, "max_tokens": charge.tokens})
                self._calls += charge.calls - 1
                self._changed.notify_all()

    def _admit(self, bound: "_Amounts") -> None:
        allowed = {"max_usd": self.limits.max_usd, "max_tokens": self.limits.max_tokens}
        limits = {name: limit for name, limit in allowed.items() if limit is not None}
        while True:
            stopping.check()  # also after each wait
            if self.limits.max_calls is not None and self._calls >= self.limits.max_calls:
                raise StoppedError(
                    f"limits.max_calls: {self._calls} teacher calls were made, {self.limits.max_calls} are allowed. "
                    "Raise it and run the same command again; nothing finished is lost."
                )
            waiting = False
            for name, limit in limits.items():
                if self._settled[name] + bound[name] > limit:
                    raise StoppedError(
                        f"limits.{name}: {_words(name, self._settled[name])} of {_words(name, limit)} are spent, and "
                        f"the next call may cost up to {_words(name, bound[name])}. Raise the limit and run the same "
                        "command again; nothing finished is lost. (max_tokens beside a model lowers what a call may "
                        "cost.)"
                    )
                waiting |= self._settled[name] + self._reserved[name] + bound[name] > limit
            if not waiting:
                return
            self._changed.wait()

    def _bound(self, role: Role, prompt: str) -> "_Amounts":
        price, sent, received = self.prices[role], prompt_bound(prompt), self.longest[role]
        return {"max_usd": 0.0 if price is None else price.usd(sent, received), "max_tokens": sent + received}


_Amounts = dict[str, float]  # by the name of the limit
_NOTHING: _Amounts = {"max_usd": 0.0, "max_tokens": 0}


def _sum(one: _Amounts, other: _Amounts, sign: int = 1) -> _Amounts:
    return {name: amount + sign * other[name] for name, amount in one.items()}


def _words(name: str, amount: float) -> str:
    return dollars(amount) if name == "max_usd" else f"{amount:,.0f} tokens"


def usd(price: Price | None, spent: Spending) -> float | None:
    """Dollars of a role's finished calls; None if its price is unknown or its provider does not count tokens."""
    if price is None or (spent.uncounted and price.input + price.output > 0):
        return None
    return price.usd(spent.input_tokens, spent.output_tokens)


def prompt_bound(prompt: str) -> int:
    """Tokens of a prompt, at most."""
    return len(prompt.encode("utf-8", "replace")) + CHAT_FRAME


def reply_bound(model: Model) -> int:
    """Tokens of a reply, at most: the model's own limit, for a GGUF file its context, else ASSUMED_REPLY."""
    bounds = _own_bounds(model)
    if not bounds and model.model.startswith("gguf:"):
        bounds = [(model.model_extra or {}).get("n_ctx", ASSUMED_REPLY)]
    return min(bounds, default=ASSUMED_REPLY)


def bounded(model: Model, price: Price | None, limits: Limits) -> Model:
    """The model as it is asked: under a limit that its replies count for, one without a limit on them is given one.

    Nobody could keep the limit otherwise. It is no part of a call's identity: a limit may be raised on resume.
    """
    costs = limits.max_usd is not None and price is not None and price.output > 0
    if not (costs or limits.max_tokens) or _own_bounds(model):
        return model
    return model.model_copy(update={"max_tokens": ASSUMED_REPLY})


def _own_bounds(model: Model) -> list[int]:
    given: Iterable[object] = map((model.model_extra or {}).get, _REPLY_LIMITS)
    return [value for value in given if isinstance(value, int) and value > 0]


def counted(reply: Reply) -> bool:
    """Whether the provider reported the call's tokens."""
    return reply.input_tokens > 0
