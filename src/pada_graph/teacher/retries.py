"""The one retry layer of teacher calls (the SDKs' own retries are off), and the time a call may take in all."""

import contextvars
import random
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, TypeVar

from pada_graph.errors import StoppedError
from pada_graph.stopping import sleep
from pada_graph.teacher.gate import LONGEST_BACKOFF, Gate
from pada_graph.teacher.provider_errors import LONGEST_WAIT, is_late, is_throttle, is_transient, retry_after

R = TypeVar("R")

ATTEMPTS = 6
LATE_ATTEMPTS = 2  # a reply that did not come in time was paid, perhaps: it is asked for once more, then the run stops
TOTAL_WAIT = 600.0  # seconds, all tries of one call together


def with_retries(call: Callable[[], R], gate: Gate) -> R:
    """Run `call` in a slot of the gate; repeat it after a transient error, six tries in all.

    A throttled call goes back to the gate, which waits for all; its tries count only while the model answers nobody
    else. Any other error is this call's own: it waits outside, as long as Retry-After says and a random time more.

    Raises:
        StoppedError: another call to the same model failed for good meanwhile, and so would this one; or the session
            has to stop, and this call was waiting.
        Exception: the last error of `call`, as it was.
    """
    tries = late = 0
    began, problem = monotonic(), gate.problem
    while True:
        answered = gate.successes
        try:
            with gate.slot():
                if gate.problem is not problem:
                    raise StoppedError(str(gate.problem))
                return call()
        except Exception as error:
            if not is_transient(error) or retry_after(error) > LONGEST_WAIT:
                raise
            throttled = is_throttle(error)
            if not throttled or gate.successes == answered:
                tries += 1
                late += is_late(error)
                if tries >= ATTEMPTS or late >= LATE_ATTEMPTS or monotonic() - began > TOTAL_WAIT:
                    raise
            wait = 0.0 if throttled else retry_after(error) + random.uniform(0, min(LONGEST_BACKOFF, 2.0**tries))
        if wait:
            sleep(wait)


def within(seconds: float | None, call: Callable[[], R]) -> R:
    """Run `call`, and wait for it no longer than that: time-outs between bytes never end a reply that drips.

    The call runs in another thread, which serves the next call once this one has returned. Where it is late, nobody
    waits for that thread any more: a blocking read cannot be broken off from outside.

    Raises:
        TimeoutError: the call has not returned in time.
    """
    if seconds is None:
        return call()
    done: SimpleQueue[Callable[[], R]] = SimpleQueue()
    _idle_helper().tasks.put((partial(contextvars.copy_context().run, call), done))
    told = _taken(done, seconds) or _taken(done, 0)  # it may come as the time runs out
    if told is None:
        raise TimeoutError(f"no whole reply within {seconds:g} s")
    return told()


def _taken(done: SimpleQueue[R], seconds: float) -> R | None:
    with suppress(Empty):
        return done.get(timeout=seconds)
    return None


class _Helper(threading.Thread):
    """Runs what it is given, one after the other, until the process ends; idle before the answer is told."""

    def __init__(self) -> None:
        super().__init__(name="teacher-call", daemon=True)
        self.tasks: SimpleQueue[tuple[Callable[[], Any], SimpleQueue[Callable[[], Any]]]] = SimpleQueue()
        self.start()

    def run(self) -> None:
        while True:
            call, done = self.tasks.get()
            try:
                told = partial(_same, call())
            except BaseException as error:  # of whatever kind: it belongs to the thread that waits
                told = partial(_raise, error)
            _idle.append(self)
            done.put(told)
            del call, done, told


def _same(value: R) -> R:
    return value


def _raise(error: BaseException) -> None:
    raise error


_idle: deque[_Helper] = deque()


def _idle_helper() -> _Helper:
    while _idle:
        with suppress(IndexError):  # another thread took the last one
            if (helper := _idle.pop()).is_alive():  # not so in a forked child
                return helper
    return _Helper()
