import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import pairwise
from types import SimpleNamespace

import pytest

from pada_graph.teacher.gate import CUT, GROWTH, Gate
from tests.provider_tools import Clock


class ThrottledError(Exception):
    def __init__(self, **headers: str):
        self.status_code = 429
        self.response = SimpleNamespace(headers={name.replace("_", "-"): value for name, value in headers.items()})


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock().replace(monkeypatch)


def fail(slot, error: Exception) -> None:
    assert not slot.__exit__(type(error), error, None)


def burst(gate: Gate, clock: Clock, size: int, error: Exception) -> None:
    """Calls that leave together and all come back with the same error."""
    slots = [gate.slot() for _ in range(size)]
    for slot in slots:
        slot.__enter__()
    for slot in slots:
        clock.now += 0.01
        fail(slot, error)


def test_a_burst_of_429_cuts_once(clock: Clock) -> None:
    gate = Gate(64)
    burst(gate, clock, 64, ThrottledError())
    assert gate.limit == 64 * CUT
    burst(gate, clock, 48, ThrottledError())
    assert gate.limit == 64 * CUT * CUT


def test_it_never_goes_below_one_and_recovers_with_every_success(clock: Clock) -> None:
    gate = Gate(8)
    for _ in range(20):
        burst(gate, clock, 1, ThrottledError())
    assert gate.limit == 1
    limits = []
    for _ in range(round(9 / GROWTH)):
        with gate.slot():
            clock.now += 0.1
        limits.append(gate.limit)
    assert limits == sorted(limits) and set(limits) == set(range(1, 9))


def test_other_errors_and_successes_leave_it_as_it_is(clock: Clock) -> None:
    gate = Gate(4)
    for error in (ConnectionError(), TimeoutError(), ValueError()):
        with suppress(type(error)), gate.slot():
            raise error
    with gate.slot():
        pass
    assert gate.limit == 4 and clock.naps == []


def test_nobody_is_sent_before_the_time_that_the_provider_asked_for(clock: Clock) -> None:
    gate = Gate(4)
    throttled = clock.now
    burst(gate, clock, 1, ThrottledError(retry_after="30"))
    with gate.slot():
        assert throttled + 30 <= clock.now <= throttled + 34


def test_an_endless_pause_is_capped_for_those_who_did_not_ask(clock: Clock) -> None:
    gate = Gate(4)
    burst(gate, clock, 1, ThrottledError(retry_after="86400"))
    before = clock.now
    with gate.slot():
        assert clock.now - before <= 132


def test_pauses_grow_while_nothing_succeeds_and_the_provider_does_not_say_how_long(clock: Clock) -> None:
    gate = Gate(4)
    for _ in range(12):
        burst(gate, clock, 1, ThrottledError())
    assert all(nap <= 66 for nap in clock.naps)
    assert clock.naps[0] <= 1.1 and clock.naps[-1] >= 30


def test_calls_leave_evenly_spaced_once_there_was_throttling(clock: Clock) -> None:
    gate = Gate(4)
    with gate.slot():
        clock.now += 2  # seconds of latency
    burst(gate, clock, 4, ThrottledError(retry_after="1"))
    times = []
    for _ in range(3):
        slot = gate.slot()
        slot.__enter__()
        times.append(clock.now)
    assert gate.limit == 3
    assert [round(later - earlier, 2) for earlier, later in pairwise(times)] == [0.67, 0.67]  # 2 s / 3


def test_threads_never_exceed_the_limit_that_holds() -> None:
    gate, lock, flying, seen = Gate(16), threading.Lock(), [0], []

    def work(number: int) -> None:
        with suppress(ThrottledError), gate.slot():
            with lock:
                flying[0] += 1
                seen.append(flying[0])
            time.sleep(0.002)
            with lock:
                flying[0] -= 1
            if number < 16:
                raise ThrottledError(retry_after="0.05")

    with ThreadPoolExecutor(64) as pool:
        list(pool.map(work, range(300)))
    assert len(seen) == 300 and max(seen) <= 16


@pytest.mark.timeout(60)
def test_no_more_calls_fly_than_the_limit_that_holds(clock: Clock) -> None:
    gate = Gate(16)
    burst(gate, clock, 16, ThrottledError(retry_after="1"))

    def thirteenth() -> bool:
        with gate.slot():
            return True

    with ThreadPoolExecutor(1) as pool, ExitStack() as flying:
        for _ in range(round(16 * CUT)):
            flying.enter_context(gate.slot())
        waiting = pool.submit(thirteenth)
        until = time.monotonic() + 10
        while not gate._turn._waiters:  # type: ignore[attr-defined]
            assert not waiting.done() and time.monotonic() < until
            time.sleep(0.001)
        flying.close()
        assert waiting.result(10)
