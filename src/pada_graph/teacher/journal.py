"""The journal of teacher calls: SQLite in the run directory, below LangGraph, whose own writes can come too late.

A call is written "started" before it is sent and "finished" before its reply is used, each durable on disk when the
method returns. So a finished call is never paid twice, whatever was killed, and a call that was in flight shows up as
started without a result. A commit waits for the disk, and many calls share it (journal_connections.py).
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pada_graph.config import Role
from pada_graph.errors import StoppedError
from pada_graph.services import Counts, Reply
from pada_graph.teacher.budget import Spending
from pada_graph.teacher.journal_connections import Connections, Write
from pada_graph.teacher.journal_file import COST_KNOWN, unusable

_START = """
INSERT INTO calls (key, role, model, item, attempt, prompt, status, starts, started_at)
VALUES (?, ?, ?, ?, ?, ?, 'started', 1, ?)
ON CONFLICT (key) DO UPDATE SET starts = starts + 1, started_at = excluded.started_at, error = NULL,
  status = CASE status WHEN 'finished' THEN 'finished' ELSE 'started' END
"""
_FINISH = """
UPDATE calls SET status = 'finished', finished_at = ?, text = ?, stop_reason = ?, input_tokens = ?, output_tokens = ?
WHERE key = ? AND status != 'finished'
"""
_REFUSE = "UPDATE calls SET status = 'refused', starts = starts - 1, finished_at = ?, error = ? WHERE key = ?"

_PAGE = 500  # replies that are read at a time


@dataclass(frozen=True)
class Call:
    """One question to one model; `key` is its identity."""

    key: str
    role: Role
    model: str
    item: str
    attempt: int
    prompt: str


class Journal:
    """All calls of a run. Opened at first use; any thread may use it, and a forked child opens its own connections."""

    def __init__(self, path: Path):
        self.path = path
        self._lock = threading.Lock()
        self._process: Connections | None = None

    def find(self, key: str) -> Reply | None:
        """The reply of a finished call, or None."""
        sql = "SELECT text, stop_reason, input_tokens, output_tokens FROM calls WHERE key = ? AND status = 'finished'"
        rows = self._read(sql, key)
        return Reply(*rows[0]) if rows else None

    def start(self, call: Call) -> None:
        """Record that a call is about to be sent."""
        self._write(
            call.key, _START, call.key, call.role, call.model, call.item, call.attempt, call.prompt, time.time()
        )

    def finish(self, key: str, reply: Reply) -> None:
        """Record a started call's reply."""
        values = time.time(), reply.text, reply.stop_reason, reply.input_tokens, reply.output_tokens, key
        self._write(key, _FINISH, *values)

    def refuse(self, key: str, error: str) -> None:
        """Record that the provider refused a started call for good: no reply is outstanding, and none was paid."""
        self._write(key, _REFUSE, time.time(), error, key)

    def calls(self) -> int:
        """Calls sent so far, repeated ones counted again, refused ones not."""
        return sum(past.sent for past in self.spent().values())

    def unanswered(self) -> int:
        """Times that a call was sent and no reply recorded, later ones of the same call aside: each may be paid."""
        return sum(past.sent - past.finished for past in self.spent().values())

    def replies(self) -> Iterator[tuple[Role, Reply]]:
        """Every recorded reply with its role, in no particular order; some at a time are held in memory."""
        sql = (
            "SELECT key, role, text, stop_reason, input_tokens, output_tokens FROM calls "
            f"WHERE status = 'finished' AND key > ? ORDER BY key LIMIT {_PAGE}"
        )
        last = ""
        while rows := self._read(sql, last):
            yield from ((role, Reply(*values)) for _, role, *values in rows)
            last = rows[-1][0]

    def spent(self) -> dict[Role, Spending]:
        """What was sent and what came back, by role."""
        return {role: Spending(*counts) for role, counts in self._connections().sums.items()}

    def in_doubt(self) -> list[tuple[Role, str]]:
        """Role and prompt of every sending whose cost is not known: no reply came, or one without a token count."""
        unknown = f"starts - (status = 'finished' AND {COST_KNOWN})"
        rows = self._read(f"SELECT role, prompt, {unknown} FROM calls WHERE {unknown} > 0")
        return [(role, prompt) for role, prompt, times in rows for _ in range(times)]

    def usage(self) -> dict[Role, Counts]:
        """Finished calls and their tokens by role."""
        return {
            role: {"calls": past.finished, "input_tokens": past.input_tokens, "output_tokens": past.output_tokens}
            for role, past in self.spent().items()
            if past.finished
        }

    def close(self) -> None:
        """Commit what is queued and close the file; the next use opens it again."""
        with self._lock:
            process, self._process = self._process, None
        if process:
            process.close()

    def _read(self, sql: str, *values: Any) -> list[Any]:
        try:
            return self._connections().read(sql, values)
        except sqlite3.Error as error:
            raise self._damaged(error) from error

    def _write(self, key: str, sql: str, *values: Any) -> None:
        write, connections = Write(key, sql, values), self._connections()
        try:
            connections.put(write)
            if (error := write.done.get()) is not None:
                raise error
        except sqlite3.OperationalError as error:
            raise StoppedError(
                f"{self.path}: the journal of teacher calls cannot be written ({error}). Free some space or mend the "
                "permissions, then run the same command again."
            ) from error
        except sqlite3.Error as error:
            raise self._damaged(error) from error

    def _connections(self) -> Connections:
        with self._lock:
            if self._process is None or self._process.pid != os.getpid():
                try:
                    self._process = Connections(self.path, inherited=self._process)
                except (sqlite3.Error, OSError) as error:
                    raise self._damaged(error) from error
            return self._process

    def _damaged(self, error: Exception) -> StoppedError:
        return StoppedError(unusable(self.path, error))
