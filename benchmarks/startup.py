"""Start-up: importing the package, the command line's help, and what a training job costs beside training.

    python -m benchmarks.startup [--times 7]

Each in a process of its own, in turn. A training job's overhead is the time from `LocalTrainer.train` to its return,
less the seconds that the trainer itself logged, for builtin:tiny on 16 rows: once with a new Python process for the job
and once with a fork of a process that has the libraries imported, which is what the second and every later fine-tuning
of a run gets.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmarks.measure import PAIRS, compared, in_turn, process, save, versions

from pada_graph.config import Lora
from pada_graph.executors import forks
from pada_graph.executors.local import LocalTrainer, environment
from pada_graph.services import TrainJob
from pada_graph.student import models

PLAIN = "import json"
PACKAGE = "import pada_graph"


def overhead(trainer: type[LocalTrainer], folder: Path) -> float:
    """Seconds beside training of one job."""
    rows = [{"prompt": f"{n} + {n}?", "completion": str(2 * n)} for n in range(16)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"epochs": 1, "learning_rate": 1e-3, "batch_size": 8}
    job = TrainJob(
        "builtin:tiny", "float32", folder / "rows.jsonl", folder / "adapter", folder / "log.jsonl",
        Lora(r=4).model_dump(), settings, 0,
    )  # fmt: skip
    started = time.perf_counter()
    events: list[dict[str, float]] = []
    trainer().train(job, events.append)
    return time.perf_counter() - started - events[-1]["seconds"]


class NewProcesses(LocalTrainer):
    """As it was: a new Python for every job."""

    def _start(self, job_file: Path, output: object) -> object:
        return forks.plain(["-m", "pada_graph.student.worker", str(job_file), forks.PARENT], output, environment())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=7)
    given = parser.parse_args()
    command = Path(sys.executable).with_name("pada-graph")
    took = {
        side: median(values)
        for side, values in in_turn(
            {
                "python": lambda: process([sys.executable, "-c", PLAIN]).wall,
                "import": lambda: process([sys.executable, "-c", PACKAGE]).wall,
                "help": lambda: process([command, "--help"]).wall,
            },
            given.times,
        ).items()
    }
    imported = took["import"] - took["python"]
    with tempfile.TemporaryDirectory() as place:
        folders = (Path(place) / str(number) for number in range(100))

        def job(trainer: type[LocalTrainer]) -> float:
            folder = next(folders)
            folder.mkdir()
            return overhead(trainer, folder)

        job(LocalTrainer)  # starts the server
        jobs = in_turn({"fork": lambda: job(LocalTrainer), "new": lambda: job(NewProcesses)}, given.times)
    cut = median(jobs["fork"]) < median(jobs["new"])
    forked = not any(device.exists() for device in forks.DEVICES)  # with a GPU each job has a new process
    rows = [
        compared("import pada_graph", "s", imported, more_is_better=False, goal="< 0.3 s", met=imported < 0.3),
        compared("pada-graph --help", "s", took["help"], more_is_better=False, goal="< 0.7 s", met=took["help"] < 0.7),
        compared(
            "a training job, beside training", "s", jobs["fork"], peer=jobs["new"], peer_name="a new process each",
            more_is_better=False, goal="measured and cut" if forked else "", met=cut if forked else None,
        ),
    ]  # fmt: skip
    packages = versions(("torch", "transformers", "trl"))
    save("startup", rows, packages, models.device(), kept=given.times >= PAIRS)


if __name__ == "__main__":
    main()
