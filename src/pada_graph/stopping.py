"""A session that has to stop begins nothing new: no node, no teacher call, no training step, no prediction.

LangGraph cancels what has not started and waits for the rest, and the nodes of a round at work in a graph of their own
are never told. So the first error of a session, an interrupt among them, is written down where all its nodes look.
"""

import signal
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from pada_graph.errors import StoppedError

LOOKS = 0.5  # seconds of a nap between two looks at whether the session has to stop


class Stop:
    """Why a session has to stop: its first error, once there is one."""

    def __init__(self) -> None:
        self._told: dict[str, BaseException] = {}

    @property
    def first(self) -> BaseException | None:
        """The first error told."""
        return self._told.get("first")

    def tell(self, error: BaseException) -> BaseException:
        """Note an error; returns the first one. Without a lock, for which a signal's handler must not wait."""
        return self._told.setdefault("first", error)


current: ContextVar[Stop | None] = ContextVar("stop", default=None)  # of the session whose node runs in this context


def check() -> None:
    """Raise if the session of the node at work has to stop.

    Raises:
        StoppedError: it has to, whatever its first error was; the node then ends with that one (lock.at_work).
    """
    if (stop := current.get()) is not None and stop.first is not None:
        raise StoppedError(f"The run is stopping: {stop.first}")


def sleep(seconds: float) -> None:
    """Sleep, but end early where the session of the node at work has to stop.

    Raises:
        StoppedError: as `check`.
    """
    until = time.monotonic() + seconds
    check()
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, LOOKS))
        check()


def at_interrupt(tell: Callable[[], None]) -> Callable[[], None]:
    """Have SIGINT call `tell` before whatever handles it now; the function returned undoes that.

    Only the main thread may set a handler: elsewhere nothing is set.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        return lambda: None

    def handle(number: int, frame: Any) -> None:
        tell()
        before(number, frame)

    def undo() -> None:
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is handle:
            signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, handle)
    return undo
