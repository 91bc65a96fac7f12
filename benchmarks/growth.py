"""How time, memory, checkpoints and run directory grow with the rows: three iterations on sums, all models stand-ins.

    python -m benchmarks.growth [ROWS ...]

Each size in a process of its own, once, 500 rows held out; 300, 1,000, 3,000 and 10,000 train rows unless three or more
are named, whose figures are shown and not kept. The largest is compared with the straight line through the two before
it: linear growth gives a ratio of 1, whatever a run costs that has no rows.
"""

import hashlib
import json
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.measure import Row, compared, process, save, versions
from rich.console import Console
from tests.fakes import FakePredictor, FakeTeacher, fake_services, write_sums

from pada_graph import RunConfig, run
from pada_graph.config import Role
from pada_graph.services import Completion, Reply
from pada_graph.teacher.journal import Call, Journal

SIZES = [300, 1000, 3000, 10_000]
HELD_OUT = 500
ABOVE_LINE = 1.2  # the noise of two runs, drawn out


class EverySecond(FakePredictor):
    """Right on every second prompt, whatever it was trained on: failures do not run out."""

    def predict(
        self, adapter: Path | None, prompts: Sequence[str], *, max_new_tokens: int, stop: Sequence[str]
    ) -> Iterator[Completion]:
        """Answer every second prompt."""
        everything = FakePredictor(known=len(prompts)).predict(adapter, prompts, max_new_tokens=9, stop=())
        for completion in everything:
            yield completion if completion.index % 2 else Completion(completion.index, "no idea", truncated=False)


class Journalled(FakeTeacher):
    """The stand-in with the journal of a real teacher: a call is written down before it is asked and once answered."""

    def __init__(self, path: Path):
        super().__init__()
        self.journal = Journal(path)

    def ask(self, role: Role, prompt: str, *, item: str, attempt: int = 0) -> Reply:
        """Answer one prompt."""
        key = hashlib.sha256(f"{role} {item} {attempt} {prompt}".encode()).hexdigest()
        self.journal.start(Call(key, role, "stand-in", item, attempt, prompt))
        reply = super().ask(role, prompt, item=item, attempt=attempt)
        self.prompts.clear()  # nobody looks at them here
        self.journal.finish(key, reply)
        return reply

    def close(self) -> None:
        """Close the journal."""
        self.journal.close()


def grow(folder: Path, rows: int, iterations: int = 3, **limits: int) -> Path:
    """Run on `rows` train rows and return the run directory."""
    sums = write_sums(folder / f"sums-{rows}", rows, HELD_OUT, HELD_OUT)
    sizes = {"train_size": rows, "validation_size": HELD_OUT, "test_size": HELD_OUT}
    config = RunConfig.model_validate(
        {
            "task": "jsonl",
            "iterations": iterations,
            "data": {"source": str(sums), "match": "number", **sizes},
            "limits": limits,
        }
    )
    directory = folder / f"run-{rows}"
    teacher = Journalled(directory / "teacher_calls.sqlite")
    run(config, directory, services=fake_services(teacher=teacher, predictor=EverySecond()))
    return directory


def table_bytes(database: Path) -> dict[str, int]:
    """Bytes of the blobs in a checkpoints database, by table, namespace and channel."""
    with sqlite3.connect(database) as connection:
        checkpoints = connection.execute(
            "SELECT checkpoint_ns, COUNT(*), SUM(LENGTH(checkpoint) + LENGTH(metadata)) FROM checkpoints GROUP BY 1"
        ).fetchall()
        writes = connection.execute(
            "SELECT checkpoint_ns, channel, COUNT(*), SUM(LENGTH(value)) FROM writes GROUP BY 1, 2"
        ).fetchall()
    found: dict[str, int] = {}
    for namespace, count, size in checkpoints:
        name = f"checkpoints {namespace.partition(':')[0] or 'outer'}"
        found[name] = found.get(name, 0) + size
        found[f"{name}, rows"] = found.get(f"{name}, rows", 0) + count
    for namespace, channel, count, size in writes:
        name = f"writes {namespace.partition(':')[0] or 'outer'} {channel}"
        found[name] = found.get(name, 0) + size
        found[f"{name}, rows"] = found.get(f"{name}, rows", 0) + count
    return found


def measured(rows: int) -> dict[str, float]:
    """What one run took: seconds, of them computing; MB at the peak, of checkpoints and of the run directory."""
    with tempfile.TemporaryDirectory() as folder:
        started, worked = time.time(), time.process_time()
        directory = grow(Path(folder), rows)
        found = {"s": time.time() - started, "s computing": time.process_time() - worked}
        database = directory / "checkpoints.sqlite"
        sizes = table_bytes(database)
        for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
            Console(stderr=True).print(f"  {size:>12,}  {name}", highlight=False)
        return found | {
            "MB memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "MB checkpoints": database.stat().st_size / 1e6,
            "MB run directory": sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) / 1e6,
        }


def main() -> None:
    """Measure each size, print the figures, and keep those of all four."""
    sizes = [int(word) for word in sys.argv[1:]] or SIZES
    found = {}
    for size in sizes:
        output = process([sys.executable, "-m", "benchmarks.growth", "--one", str(size)]).output
        found[size] = json.loads(output.splitlines()[-1])
        print(f"{size} train rows: " + ", ".join(f"{value:,.1f} {unit}" for unit, value in found[size].items()))
    rows = [Row(f"{size:,} train rows", unit, value) for size in sizes[:-1] for unit, value in found[size].items()]
    before, middle, last = sizes[-3:]
    name, through = f"{last:,} train rows", f"a line through {before:,} and {middle:,}"
    for unit, value in found[last].items():
        rise = (found[middle][unit] - found[before][unit]) / (middle - before)
        line = found[middle][unit] + rise * (last - middle)
        met = value <= ABOVE_LINE * line
        rows.append(compared(name, unit, value, peer=line, peer_name=through, goal=f"<= {ABOVE_LINE} x", met=met))
    memory = found[last]["MB memory"]
    name = f"{last:,} train rows: peak memory without torch and models"
    rows.append(Row(name, "MB", memory, goal="< 600", met=memory < 600))
    save("growth", rows, versions(("langgraph",)), kept=sizes == SIZES)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measured(int(sys.argv[2]))))
    else:
        main()
