"""What a second worker is worth on this machine: two runs, one training and one evaluation, with one and with two.

Run it from the repository's root, with nothing else at work: python -m benchmarks.ray_scaling [MODEL ...]

Each number is the wall-clock time of one try, child processes and their imports included. The runs one after the
other have all cores (the local executor in this process), those side by side one each; Ray's own start is told apart.
Two workers train and answer what one does.
"""

import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from pada_graph import RunConfig, run
from pada_graph.config import Ray, Student
from pada_graph.demo.data import demo_rows
from pada_graph.executors.local import LocalTrainer
from pada_graph.executors.ray import run_side_by_side
from pada_graph.executors.ray.cluster import Cluster, connect
from pada_graph.executors.ray.predictor import RayPredictor
from pada_graph.executors.ray.trainer import RayTrainer
from pada_graph.services import Trainer, TrainJob
from pada_graph.tasks import get_task

EPOCHS = {"builtin:tiny": 40, "builtin:smollm2-135m": 1}
ROWS = 64  # of train


def timed(work: Callable[[Path], object]) -> float:
    """Seconds of `work` in a fresh folder."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        work(Path(folder))
        return time.monotonic() - began


def grid_cell(model: str, seed: int, **settings: object) -> RunConfig:
    """One vanilla run on the demo's rows."""
    sizes = {"train_size": ROWS, "validation_size": 60, "test_size": 60}
    student = {"model": model, "dtype": "float32", "training": {"epochs": EPOCHS[model]}}
    raw = {"task": "demo", "method": "vanilla", "iterations": 0, "seed": seed, "student": student}
    return RunConfig.model_validate({**raw, "data": {"source": "builtin:demo", **sizes}, **settings})


def one_after_the_other(model: str, folder: Path) -> None:
    """Two runs, local."""
    for seed in (0, 1):
        run(grid_cell(model, seed), folder / str(seed))


def side_by_side(model: str, folder: Path) -> None:
    """The same two, as Ray tasks."""
    jobs = [(grid_cell(model, seed, executor="ray"), folder / str(seed)) for seed in (0, 1)]
    failed = [error for _, error in run_side_by_side(jobs) if error]
    assert not failed, failed


def training_job(model: str, folder: Path) -> TrainJob:
    """A job on the demo's rows."""
    task = get_task("demo")
    rows = demo_rows()["train"][:ROWS]
    path = folder / "train.jsonl"
    lines = [json.dumps({"prompt": task.prompt(row), "completion": task.target(row)}) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    student = Student.model_validate({"model": model, "dtype": "float32", "training": {"epochs": EPOCHS[model]}})
    lora, training = student.lora.model_dump(), student.training.model_dump()
    return TrainJob(model, "float32", path, folder / "adapter", folder / "log.jsonl", lora, training, seed=0)


def train(trainer: Trainer, model: str, folder: Path) -> None:
    """One training."""
    trainer.train(training_job(model, folder), lambda event: None)


def predict(model: str, cluster: Cluster, prompts: list[str]) -> float:
    """Seconds for all prompts, the workers being up and the model loaded."""
    predictor = RayPredictor(cluster, Student(model=model, dtype="float32"))
    warm = prompts[: 2 * cluster.workers]
    list(predictor.predict(None, warm, max_new_tokens=2, stop=[]))
    seconds = timed(lambda folder: list(predictor.predict(None, prompts, max_new_tokens=40, stop=[])))
    predictor.release()
    return seconds


def main() -> None:
    """Print the table."""
    console, began = Console(width=110), time.monotonic()
    one, two = connect(Ray(workers=1)), connect(Ray(workers=2))
    console.print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, GPUs: {one.gpu}; load average at the "
        f"start {os.getloadavg()[0]:.2f}; starting Ray took {time.monotonic() - began:.1f} s"
    )
    table = Table("model", "work", "one, s", "two, s", "times as fast")
    task = get_task("demo")
    prompts = [task.prompt(row) for rows in demo_rows().values() for row in rows]
    for model in sys.argv[1:] or list(EPOCHS):
        rows = {
            "two runs: one after the other, side by side": (
                timed(partial(one_after_the_other, model)),
                timed(partial(side_by_side, model)),
            ),
            f"one evaluation, {len(prompts)} prompts: 1 worker, 2 workers": (
                predict(model, replace(one, cpus=two.cpus), prompts),
                predict(model, two, prompts),
            ),
            "one training: local, 2 workers": (
                timed(partial(train, LocalTrainer(), model)),
                timed(partial(train, RayTrainer(two), model)),
            ),
        }
        for work, (first, second) in rows.items():
            table.add_row(model, work, f"{first:.1f}", f"{second:.1f}", f"{first / second:.2f}")
    console.print(table)
    console.print(f"load average at the end {os.getloadavg()[0]:.2f}")


if __name__ == "__main__":
    main()
