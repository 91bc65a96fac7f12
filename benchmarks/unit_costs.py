"""What a row and a teacher call cost, for the arithmetic in docs/scale.md: python -m benchmarks.unit_costs [ROWS ...]

Rows are word problems of 45 words, no two alike. Memory is what a process of its own has at its peak beyond what it
has with no rows; seconds are CPU seconds, so that other work on the machine does not count. The journal is measured in
wall-clock time, because it waits for the disk.
"""

import multiprocessing
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rich.console import Console

from pada_graph.leakage import LeakageGuard
from pada_graph.near_duplicates import NearDuplicates
from pada_graph.rundir import RunDir
from pada_graph.services import Reply
from pada_graph.teacher.journal import Call, Journal

CALLS = 4000
WORDS = ["".join(random.Random(n).choices("abcdefghijklmnoprstuvw", k=3 + n % 6)) for n in range(5000)]


def texts(count: int, purpose: str) -> Iterator[str]:
    """Different texts of 45 words, two of them numbers."""
    rng = random.Random(purpose)
    for _ in range(count):
        words = rng.choices(WORDS, k=43)
        yield " ".join([*words[:20], str(rng.randrange(1000)), *words[20:], str(rng.randrange(1000))])


def rows(count: int) -> list[dict[str, str]]:
    """Rows as a run holds them."""
    return [{"id": f"train-{n}", "question": text, "answer": "12"} for n, text in enumerate(texts(count, "train"))]


def read_rows(count: int) -> float:
    """Write a split and read it, as initialize and the nodes do."""
    with tempfile.TemporaryDirectory() as folder:
        directory = RunDir(folder)
        directory.write_jsonl("train.jsonl", rows(count))
        began = time.process_time()
        kept = directory.read_jsonl("train.jsonl")
        return time.process_time() - began if len(kept) == count else 0.0


def near_duplicates(count: int) -> float:
    """The index of D_train that new samples are compared with."""
    began = time.process_time()
    NearDuplicates((str(n), text) for n, text in enumerate(texts(count, "train")))
    return time.process_time() - began


def guard(count: int) -> float:
    """The leakage guard over 1,000 held-out rows, with D_train's n-grams; embeddings are stand-ins."""
    held_out = {str(n): text for n, text in enumerate(texts(1000, "held out"))}
    began = time.process_time()
    LeakageGuard(held_out, texts(count, "train"), lambda found: np.full((len(found), 384), 384**-0.5, np.float32))
    return time.process_time() - began


def measured(work: Callable[[int], float], count: int) -> tuple[float, float]:
    """CPU seconds, and MB at the peak, of work in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (work, count))


def _peak(work: Callable[[int], float], count: int) -> tuple[float, float]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = work(count)
    return seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def journal(threads: int) -> tuple[float, float]:
    """Calls a second, each begun and finished durably, and bytes of the database a call."""
    prompt, reply = "p" * 6000, Reply("r" * 3000, "stop", 1500, 750)
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        books = Journal(Path(folder) / "teacher_calls.sqlite")

        def call(number: int) -> None:
            books.start(Call(str(number), "generator", "m", f"b{number}", 0, prompt))
            books.finish(str(number), reply)

        began = time.monotonic()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(call, range(CALLS)))
        seconds = time.monotonic() - began
        books.close()
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    return CALLS / seconds, size / CALLS


def main() -> None:
    """Print each cost."""
    console = Console(width=110, highlight=False)
    for count in [int(word) for word in sys.argv[1:]] or [10_000, 100_000]:
        for work in (read_rows, near_duplicates, guard):
            seconds, megabytes = measured(work, count)
            console.print(
                f"{work.__name__}, {count:,} rows: {1e6 * seconds / count:.0f} us and {1e3 * megabytes / count:.2f} kB "
                f"a row ({seconds:.1f} s, {megabytes:.0f} MB)"
            )
    for threads in (1, 16, 64, 256):
        rate, size = journal(threads)
        console.print(f"journal, {threads} calls at once: {rate:,.0f} calls a second, {size / 1e3:.1f} kB a call")


if __name__ == "__main__":
    main()
