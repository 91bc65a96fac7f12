"""A call's time in all: its thread serves the next call, and a late one's is waited for by nobody."""

import contextvars
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from pada_graph.teacher import retries
from pada_graph.teacher.retries import within

NAME: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")
LONG = 30.0  # seconds, more than a test takes


def test_calls_one_after_the_other_share_a_thread_that_is_not_the_callers() -> None:
    used = {within(LONG, threading.get_ident) for _ in range(5)}
    assert len(used) == 1 and threading.get_ident() not in used


def test_without_a_limit_the_callers_thread_is_used() -> None:
    assert within(None, threading.get_ident) == threading.get_ident()


def test_each_call_sees_the_context_of_its_caller() -> None:
    token = NAME.set("first")
    assert within(LONG, NAME.get) == "first"
    NAME.reset(token)
    assert within(LONG, NAME.get) == "nobody"


@pytest.mark.parametrize("error", [ValueError("no"), TimeoutError("the call's own"), KeyboardInterrupt()])
def test_what_a_call_raises_is_raised(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        within(LONG, fail)
    assert caught.value is error
    assert within(LONG, lambda: "and the thread goes on") == "and the thread goes on"


def test_a_late_call_is_left_and_its_answer_is_nobodys() -> None:
    release, ended = threading.Event(), threading.Event()

    def late() -> str:
        release.wait(LONG)
        ended.set()
        return "late"

    with pytest.raises(TimeoutError, match=r"no whole reply within 0\.05 s"):
        within(0.05, late)
    assert within(LONG, lambda: "next") == "next"  # in another thread
    release.set()
    assert ended.wait(LONG)
    assert [within(LONG, lambda n=n: n) for n in range(20)] == list(range(20))  # type: ignore[misc]


def test_a_reply_that_comes_as_the_time_runs_out_is_not_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    class JustInTime:
        def __init__(self) -> None:
            self._items: SimpleQueue[Any] = SimpleQueue()
            self.put = self._items.put

        def get(self, timeout: float | None = None) -> Any:
            if timeout == LONG:  # the wait ends, and the answer is there when one looks again
                self.put(self._items.get())
                raise Empty
            return self._items.get(timeout=timeout)

    monkeypatch.setattr(retries, "SimpleQueue", JustInTime)
    assert within(LONG, lambda: "paid") == "paid"


def test_many_callers_get_their_own_answers() -> None:
    with ThreadPoolExecutor(32) as pool:
        assert list(pool.map(lambda n: within(LONG, lambda: n * n), range(2000))) == [n * n for n in range(2000)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_its_parents_threads() -> None:
    assert within(LONG, lambda: 1) == 1  # a thread is idle now
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if within(10, lambda: 2) == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
