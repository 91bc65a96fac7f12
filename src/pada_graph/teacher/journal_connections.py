"""One process's connections to the journal: one that reads, and one that writes and commits in groups by a thread.

What the calls add up to by role is read once, prompts and replies with it, and then kept up to date with every commit:
it is asked for after every batch.
"""

import atexit
import os
import queue
import sqlite3
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pada_graph.config import Role
from pada_graph.errors import StoppedError
from pada_graph.heads import read_heads, record_calls
from pada_graph.teacher.journal_file import COST_KNOWN, inspect, prepare

_COUNTS = (
    "starts, status = 'finished', COALESCE(input_tokens, 0), COALESCE(output_tokens, 0), "
    f"status = 'finished' AND NOT {COST_KNOWN}"
)
_COUNTS_OF_CALL = f"SELECT role, {_COUNTS} FROM calls WHERE key = ?"

Sums = dict[Role, list[int]]  # the fields of Spending, by role


@dataclass(frozen=True)
class Write:
    """One statement about one call; `done` then holds None once it is on disk, or why it is not."""

    key: str
    sql: str
    values: tuple[Any, ...]
    done: "queue.SimpleQueue[Exception | None]" = field(default_factory=queue.SimpleQueue)  # in C; a Future is not


class Connections:
    """One process's reading and writing connection, and its writer thread."""

    def __init__(self, path: Path, inherited: "Connections | None"):
        self.pid = os.getpid()
        self.inherited = inherited  # kept alive: closing a parent's SQLite connection in a child may damage the file
        path.parent.mkdir(parents=True, exist_ok=True)
        inspect(path, read_heads(path.parent).get("finished_calls", {}).get(path.name, 0))
        self._path = path
        self._writer = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        try:
            prepare(self._writer)
            self.sums = _sums(self._writer.execute(f"SELECT role, {_COUNTS} FROM calls"))
            self._reader = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        except sqlite3.Error:
            self._writer.close()
            raise
        self._reading = threading.Lock()
        self._unrecorded = False  # whether heads.json lags behind what is committed
        self._queueing, self._closed = threading.Lock(), False
        self._writes: queue.SimpleQueue[Write | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._commit_groups, name="teacher-journal", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def read(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        """All rows of a query."""
        with self._reading:
            return self._reader.execute(sql, values).fetchall()

    def put(self, write: Write) -> None:
        """Queue a write; its `done` tells how it went.

        Raises:
            StoppedError: the connections were closed.
        """
        with self._queueing:
            if self._closed:  # nobody would ever answer it
                raise StoppedError(f"{self._path}: was closed while a call was under way. Run it again to go on.")
            self._writes.put(write)

    def close(self) -> None:
        """Commit what is queued and close both; a forked child leaves its parent's alone."""
        atexit.unregister(self.close)
        if self.pid != os.getpid():
            return
        with self._queueing:
            self._closed = True
            self._writes.put(None)
        self._thread.join()
        self._reader.close()
        self._writer.close()

    def _commit_groups(self) -> None:
        while (write := self._writes.get()) is not None:
            group: list[Write] = [write]
            last = False
            with suppress(queue.Empty):
                while not last:
                    following = self._writes.get_nowait()
                    last = following is None
                    if following is not None:
                        group.append(following)
            self._commit(group)
            if last:
                return

    def _commit(self, group: list[Write]) -> None:
        try:
            self._record()  # what an earlier group could not
            self._writer.execute("BEGIN IMMEDIATE")
            sums = {role: list(counts) for role, counts in self.sums.items()}
            for write in group:
                before = self._writer.execute(_COUNTS_OF_CALL, (write.key,)).fetchall()
                self._writer.execute(write.sql, write.values)
                _add(sums, before, -1)
                _add(sums, self._writer.execute(_COUNTS_OF_CALL, (write.key,)), 1)
            self._writer.execute("COMMIT")
        except Exception as error:  # handed to every waiting caller, none of whose writes happened
            if self._writer.in_transaction:
                with suppress(sqlite3.Error):
                    self._writer.execute("ROLLBACK")
            for write in group:
                write.done.put(error)
        else:
            self._unrecorded = _finished(sums) > _finished(self.sums)
            self.sums = sums
            with suppress(Exception):  # what is committed happened: the next group tries again, and tells
                self._record()
            for write in group:
                write.done.put(None)

    def _record(self) -> None:
        if self._unrecorded:
            record_calls(self._path, _finished(self.sums))
            self._unrecorded = False


def _sums(calls: Iterable[Sequence[Any]]) -> Sums:
    sums: Sums = {}
    _add(sums, calls, 1)
    return sums


def _add(sums: Sums, calls: Iterable[Sequence[Any]], sign: int) -> None:
    for role, *counts in calls:
        sums[role] = [total + sign * count for total, count in zip(sums.get(role, [0] * 5), counts, strict=True)]


def _finished(sums: Sums) -> int:
    return sum(counts[1] for counts in sums.values())
