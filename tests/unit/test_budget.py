"""The budget: calls and dollars are reserved before a call and settled after it."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pada_graph import stopping
from pada_graph.config import ROLES, Limits, Model
from pada_graph.errors import StoppedError
from pada_graph.services import Reply
from pada_graph.teacher.budget import CHAT_FRAME, Budget, Spending, bounded, prompt_bound, reply_bound, usd
from pada_graph.teacher.prices import Price

DOLLAR_A_TOKEN = Price(input=1_000_000, output=1_000_000)
REPLY = Reply("yes", "stop", 1, 2)


def budget(
    max_usd: float | None = None,
    max_calls: int | None = None,
    max_tokens: int | None = None,
    price: Price | None = DOLLAR_A_TOKEN,
    longest: int = 10,
    spent: dict | None = None,
    in_doubt: tuple = (),
) -> Budget:
    limits = Limits(max_usd=max_usd, max_calls=max_calls, max_tokens=max_tokens)
    return Budget(limits, dict.fromkeys(ROLES, price), dict.fromkeys(ROLES, longest), spent or {}, in_doubt)


BOUND = prompt_bound("hello") + 10  # dollars that one call may cost


def test_a_call_is_charged_what_it_cost():
    account = budget(max_usd=BOUND + 3)
    for _ in range(2):  # the second fits because the first cost 3 and not BOUND
        with account.reserved("judge", "hello") as charge:
            charge.settle(REPLY)
    with pytest.raises(StoppedError, match=r"limits\.max_usd: \$6\.00 of"), account.reserved("judge", "hello"):
        pass


def test_a_refused_call_costs_nothing_and_one_that_vanishes_costs_its_bound():
    account = budget(max_usd=BOUND, max_calls=2)
    with account.reserved("judge", "hello") as charge:
        charge.waive()
    with pytest.raises(KeyboardInterrupt), account.reserved("judge", "hello"):
        raise KeyboardInterrupt
    with pytest.raises(StoppedError, match=r"limits\.max_usd"), account.reserved("judge", ""):
        pass


def until_one_waits(account: Budget) -> None:
    until = time.monotonic() + 10
    while not account._changed._waiters:  # type: ignore[attr-defined]
        assert time.monotonic() < until
        time.sleep(0.001)


@pytest.mark.parametrize("limit", ["max_usd", "max_tokens"])
def test_a_reply_without_a_token_count_costs_its_bound(limit):
    account = budget(**{limit: 2 * BOUND - 1})
    with account.reserved("judge", "hello") as charge:
        charge.settle(Reply("yes", "stop", 0, 0))
    with pytest.raises(StoppedError), account.reserved("judge", "hello"):
        pass


def test_a_call_waits_for_those_in_flight_if_it_may_still_fit():
    account = budget(max_usd=BOUND + 3)
    entered, leave = threading.Event(), threading.Event()

    def first() -> None:
        with account.reserved("judge", "hello") as charge:
            entered.set()
            leave.wait(10)
            charge.settle(REPLY)

    def second() -> float:
        with account.reserved("judge", "hello") as charge:
            charge.settle(REPLY)
            return time.monotonic()

    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(first)
        assert entered.wait(10)
        waiting = pool.submit(second)
        until_one_waits(account)
        assert not waiting.done()
        released = time.monotonic()
        leave.set()
        assert waiting.result(10) >= released
        running.result(10)


def test_a_call_that_waited_is_not_sent_once_the_session_has_to_stop():
    account, stop = budget(max_usd=BOUND + 3), stopping.Stop()
    entered, leave = threading.Event(), threading.Event()

    def first() -> None:
        with account.reserved("judge", "hello") as charge:
            entered.set()
            leave.wait(10)
            charge.settle(REPLY)

    def second() -> None:
        stopping.current.set(stop)
        with account.reserved("judge", "hello"):
            raise AssertionError("it was sent")

    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(first)
        assert entered.wait(10)
        waiting = pool.submit(second)
        until_one_waits(account)
        stop.tell(StoppedError("the disk is full"))
        leave.set()
        with pytest.raises(StoppedError, match="stopping: the disk is full"):
            waiting.result(10)
        running.result(10)


def test_what_rounding_leaves_of_a_reservation_keeps_no_call_waiting():
    account = budget(max_usd=0.8)
    bounds = {"a": 0.02, "b": 0.42, "c": 0.35, "whole": 0.8}
    account._bound = lambda role, prompt: {"max_usd": bounds[prompt], "max_tokens": 0}
    with account.reserved("judge", "a") as a, account.reserved("judge", "b") as b, account.reserved("judge", "c") as c:
        a.usd = b.usd = c.usd = 0.0  # of the three sums, taken back in turn, 7e-17 is left

    def ask() -> None:
        with account.reserved("judge", "whole"):
            pass

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.parametrize(("limit", "words"), [("max_usd", r"\$84\.00 of"), ("max_tokens", "84 tokens of")])
def test_what_was_spent_before_counts(limit, words):
    spent = {"judge": Spending(sent=3, finished=2, input_tokens=5, output_tokens=5)}
    account = budget(**{limit: 10 + BOUND}, spent=spent, in_doubt=[("judge", "")])
    with pytest.raises(StoppedError, match=words), account.reserved("judge", "hello"):  # 10 + 64 + 10
        pass
    account = budget(max_calls=3, spent=spent)
    with pytest.raises(StoppedError, match="3 teacher calls were made, 3 are allowed"), account.reserved("judge", ""):
        pass


def test_without_limits_nothing_is_refused_and_an_unknown_price_is_unknown():
    with budget(price=None).reserved("judge", "hello") as charge:
        charge.settle(REPLY)
    past = Spending(sent=1, finished=1, input_tokens=2, output_tokens=3)
    assert usd(None, past) is None
    assert usd(DOLLAR_A_TOKEN, past) == 5
    assert usd(DOLLAR_A_TOKEN, Spending(sent=1, finished=1, uncounted=1)) is None
    assert usd(Price(input=0, output=0), Spending(sent=1, finished=1, uncounted=1)) == 0


@pytest.mark.parametrize(
    ("settings", "price", "max_usd", "limit"),
    [
        ({}, DOLLAR_A_TOKEN, 5, 4096),
        ({"max_tokens": None}, DOLLAR_A_TOKEN, 5, 4096),
        ({"max_tokens": 90}, DOLLAR_A_TOKEN, 5, 90),
        ({"max_completion_tokens": 90}, DOLLAR_A_TOKEN, 5, None),
        ({}, DOLLAR_A_TOKEN, None, None),
        ({}, Price(input=0, output=0), 5, None),
    ],
)
def test_a_dollar_limit_bounds_the_replies_of_a_model_that_costs_something(settings, price, max_usd, limit):
    model = Model.model_validate({"model": "openai:x", **settings})
    asked = bounded(model, price, Limits(max_usd=max_usd))
    assert asked.model_extra.get("max_tokens") == limit
    assert reply_bound(asked) == reply_bound(model)


def test_bounds_of_a_call():
    assert prompt_bound("\u00e9\U0001f600") == 6 + CHAT_FRAME
    for settings, tokens in (
        ({"model": "openai:x"}, 4096),
        ({"model": "openai:x", "max_tokens": 700}, 700),
        ({"model": "openai:x", "max_completion_tokens": 80}, 80),
        ({"model": "gguf:x"}, 4096),
        ({"model": "gguf:x", "n_ctx": 512}, 512),
    ):
        assert reply_bound(Model.model_validate(settings)) == tokens
