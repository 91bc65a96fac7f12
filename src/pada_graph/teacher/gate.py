"""How many calls to one model run at a time: fewer after a 429, more again while all goes well (AIMD).

A provider's limits are not known in advance and change by the minute, so they are found as TCP finds a network's: a
throttled burst cuts the number of calls in flight once, each success raises it a little. While the provider asks for a
pause nobody sends; afterwards calls leave evenly spaced, since a limit a second is met by bursts long before it is met
on average. Measured in docs/decisions.md.
"""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from pada_graph.errors import StoppedError
from pada_graph.stopping import sleep
from pada_graph.teacher.provider_errors import LONGEST_WAIT, is_throttle, retry_after

CUT = 0.75  # of the calls in flight are left after a throttled burst
GROWTH = 1 / 25  # calls in flight that a success adds
LONGEST_BACKOFF = 60.0  # seconds


class Gate:
    """The calls in flight to one model; at most `most`, at least one."""

    def __init__(self, most: int):
        self._most = most
        self._limit = float(most)
        self._flying = 0
        self._turn = threading.Condition()
        self._cut_at = float("-inf")  # when the last burst began: calls sent before belong to it
        self._bursts = 0  # without a success between them
        self._open_at = float("-inf")  # nothing is sent before
        self._next_at = float("-inf")  # when the next call may be sent
        self._latency = 0.0  # seconds, moving mean
        self.successes = 0
        self.problem: StoppedError | None = None  # why a call to this model failed for good, the last one

    @property
    def limit(self) -> int:
        """Calls that may be in flight now."""
        return int(self._limit)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Hold one of the places while a call runs. Errors of the call pass through; throttling closes the gate.

        Raises:
            StoppedError: the session has to stop, and the call was waiting to be sent.
        """
        with self._turn:
            while self._flying >= self.limit:
                self._turn.wait()
            self._flying += 1
        try:
            sent = self._wait()
            yield
        except Exception as error:
            with self._turn:
                if is_throttle(error):
                    self._throttled(sent, retry_after(error))
            raise
        else:
            with self._turn:
                self._succeeded(sent)
        finally:
            with self._turn:
                self._flying -= 1
                self._turn.notify()

    def _wait(self) -> float:
        """Sleep until this call may be sent; return when it was."""
        while True:
            at = self._book()
            if (pause := at - monotonic()) > 0:
                sleep(pause)
            if at >= self._open_at:  # else another call was throttled meanwhile
                return monotonic()

    def _book(self) -> float:
        with self._turn:
            at = max(monotonic(), self._open_at, self._next_at)
            if self._cut_at > float("-inf"):  # never throttled, never paced
                self._next_at = at + self._latency / self._limit
            return at

    def give_up(self, problem: StoppedError) -> None:
        """Tell the calls that wait that this model refuses all of them."""
        self.problem = problem

    def _throttled(self, sent: float, asked: float) -> None:
        now = monotonic()
        if sent > self._cut_at:
            self._cut_at = now
            self._bursts += 1
            self._limit = max(1.0, self._limit * CUT)
            if not asked:
                asked = min(LONGEST_BACKOFF, 2.0 ** (self._bursts - 1)) * random.uniform(0.5, 1)
        pause = min(asked, LONGEST_WAIT) * random.uniform(1, 1.1)
        self._open_at = max(self._open_at, now + pause)

    def _succeeded(self, sent: float) -> None:
        took = monotonic() - sent
        self._latency = 0.9 * self._latency + 0.1 * took if self.successes else took
        self.successes += 1
        self._bursts = 0
        before = self.limit
        self._limit = min(self._most, self._limit + GROWTH)
        if self.limit > before:
            self._turn.notify()
