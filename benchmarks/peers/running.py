"""What the benchmarks of teacher calls share: the provider's process, the sides' processes, and their options."""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks import measure
from benchmarks.peers import PEERS

CONCURRENCY = 64
LIMIT = 180  # seconds after which a run is given up
SETTLE = 1.0  # seconds that a client has to write down its last answers before it is killed
LIBRARIES = ("distilabel", "curator", "sdg_hub", "data_designer")  # that do what ours does; the others are bare clients


class Server:
    """benchmarks/loopback.py in a process of its own; use as a context manager."""

    def __init__(self, latency: float, *options: str):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._options = ["--port", str(self._port), "--latency", str(latency), *options]

    def __enter__(self) -> "Server":
        self._process = subprocess.Popen([str(python("aiohttp_loop")), "-m", "benchmarks.loopback", *self._options])
        while self._process.poll() is None:
            try:
                self.stats()
            except OSError:
                time.sleep(0.05)
            else:
                return self
        raise RuntimeError("the loopback server did not start")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def stats(self) -> dict[str, float]:
        """What it counted since the last reset."""
        return self._get("stats")

    def reset(self, hold: int | None = None) -> None:
        """Count from nothing; `hold`: answer so many rows and keep the others waiting until `release`."""
        self._get("reset" if hold is None else f"reset?hold={hold}", b"")

    def release(self) -> None:
        """Answer those that wait, and all others."""
        self._get("release", b"")

    def _get(self, path: str, data: bytes | None = None) -> dict[str, float]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/{path}", data) as reply:
            found: dict[str, float] = json.load(reply)
            return found


@dataclass(frozen=True)
class Asked:
    """One side's run over some rows."""

    process: measure.Process | None  # None: it ended with an error
    error: str
    stats: Mapping[str, float]  # the server's
    right: int  # rows that were returned with their own answer

    @property
    def span(self) -> float:
        """Seconds from the first request to the last answer."""
        return self.stats["wall"]


def python(name: str) -> Path:
    """The Python that runs a side."""
    return measure.peer_python(name, *PEERS[name]) if PEERS[name] else Path(sys.executable)


def prompts(count: int, poison: int = 0) -> dict[str, str]:
    """Rows to ask, id -> prompt; one in `poison` is refused by the server whenever it is asked."""
    rows = {}
    for row in range(count):
        word = " POISON" if poison and row % poison == poison - 1 else ""
        rows[f"row-{row}"] = f'Row {row}: answer with its number as a JSON object, {{"answer": "..."}}.{word}'
    return rows


class Work:
    """A folder with rows to ask and what a side made of them."""

    def __init__(self, name: str, server: Server, rows: Mapping[str, str], folder: Path, *flags: str):
        self.name, self.server, self._out = name, server, folder / "out.jsonl"
        lines = [json.dumps({"id": id_, "prompt": prompt}) for id_, prompt in rows.items()]
        (folder / "rows.jsonl").write_text("\n".join(lines) + "\n")
        words = [server.base_url, folder / "rows.jsonl", self._out, folder / "kept", "--concurrency", CONCURRENCY]
        self.command = [str(word) for word in (python(name), "-m", f"benchmarks.peers.{name}", *words, *flags)]

    def ask(self) -> Asked:
        """Run it to its end."""
        process, error, started = None, "", time.monotonic()
        try:
            process = measure.process(["timeout", "--signal=KILL", str(LIMIT), *self.command])
        except RuntimeError as failed:
            ended = time.monotonic() - started < LIMIT
            error = str(failed).strip().splitlines()[-1] if ended else f"not at its end after {LIMIT} s"
            print(f"{self.name}: {error}")
        return Asked(process, error, self.server.stats(), self._right())

    def ask_killed(self, answers: int) -> Asked:
        """Run it, kill it when `answers` rows are answered, and run it again to its end."""
        self.server.reset(hold=answers)
        null = subprocess.DEVNULL
        child = subprocess.Popen(self.command, stdout=null, stderr=null, start_new_session=True)
        until = time.monotonic() + LIMIT
        while self.server.stats()["answered"] < answers and child.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        time.sleep(SETTLE)
        if child.poll() is not None:
            raise RuntimeError(f"{self.name} ended before {answers} rows were answered")
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        time.sleep(SETTLE)  # until the server has seen that nobody waits any more
        self.server.release()
        return self.ask()

    def _right(self) -> int:
        if not self._out.exists():
            return 0
        found = [json.loads(line) for line in self._out.read_text().splitlines()]
        return sum(_is_answer(row["text"], row["id"].removeprefix("row-")) for row in found)


def ask(name: str, server: Server, rows: Mapping[str, str], *flags: str, killed_at: int | None = None) -> Asked:
    """Let a side ask for the rows, in a new folder."""
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        work = Work(name, server, rows, Path(folder), *flags)
        if killed_at is not None:
            return work.ask_killed(killed_at)
        server.reset()
        return work.ask()


def whole(asked: Asked, name: str, rows: int) -> Asked:
    """The same, if every row came back: a figure of less work says nothing.

    Raises:
        RuntimeError: it did not.
    """
    if asked.process is None or asked.right < rows:
        raise RuntimeError(f"{name} returned {asked.right} of {rows} rows: {asked.error or asked.stats}")
    return asked


def in_turn(names: Iterable[str], measured: Callable[[str], Asked], times: int) -> dict[str, list[Asked]]:
    """Each side once, then each again, `times` times, every second round from the other end.

    A peer that fails once is left out of all (`report` says so).

    Raises:
        RuntimeError: ours failed.
    """
    found: dict[str, list[Asked]] = {name: [] for name in names}
    for number in range(times):
        for name in sorted(found, key=list(found).index, reverse=bool(number % 2)):
            try:
                found[name].append(measured(name))
            except RuntimeError as error:
                if name == "ours":
                    raise
                print(f"left out: {error}", flush=True)
                del found[name]
    return found


def parser(doc: str | None, sides: Iterable[str], least: int = measure.PAIRS) -> argparse.ArgumentParser:
    """The options that these benchmarks share; `least`: rounds that a result which is kept has."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--peers", type=lambda text: text.split(","), default=list(sides), help=",".join(sides))
    made.add_argument("--times", type=int, default=least, help="rounds")
    made.add_argument("--calls", type=int, help="a trial with so many; its result is shown and not kept")
    made.set_defaults(least=least)
    return made


def report(script: str, rows: list[measure.Row], given: argparse.Namespace, left_out: Iterable[str] = ()) -> None:
    """Print the rows, and which sides were left out; keep them, unless of fewer calls, rounds or libraries: a trial."""
    rows = rows + [measure.Row("left out: it failed", "", None, None, side) for side in sorted(set(left_out))]
    own = measure.versions(("pada-graph", "langchain-openai", "openai"))
    packages = own | {name: PEERS[name][0] for name in given.peers if PEERS[name]}
    kept = given.calls is None and given.times >= given.least and set(LIBRARIES) <= set(given.peers)
    measure.save(script, rows, packages, kept=kept)


def _is_answer(text: Any, row: str) -> bool:
    try:
        return json.loads(text)["answer"] == row
    except (ValueError, TypeError, KeyError):
        return False
