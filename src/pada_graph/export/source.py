"""What is exported: one iteration of a finished run, its adapter whole, its rows disjoint from the held-out ones."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pada_graph.compare import load_run
from pada_graph.config import RunConfig
from pada_graph.errors import InputError
from pada_graph.methods import round_roles
from pada_graph.rundir import RunDir
from pada_graph.state import Prediction, Sample
from pada_graph.student import manifest
from pada_graph.tasks import task_of_run
from pada_graph.tasks.base import Task


@dataclass(frozen=True)
class Source:
    """One iteration of a finished run."""

    run: RunDir
    config: RunConfig
    metrics: dict[str, Any]  # metrics.json
    iteration: int
    samples: list[Sample]  # all that this iteration was trained on, in the order of acceptance

    @property
    def adapter(self) -> Path:
        """Where training left the adapter."""
        return self.run.path(f"iteration_{self.iteration}/adapter")

    @property
    def teachers(self) -> dict[str, str]:
        """The models, by role, that made what this iteration was trained on beside the train rows."""
        if not self.samples:
            return {}
        return {role: getattr(self.config.models, role).model for role in round_roles(self.config)}

    @property
    def dtype(self) -> str:
        """Of the base weights in training and evaluation."""
        return str(json.loads((self.adapter / manifest.MANIFEST).read_text(encoding="utf-8"))["dtype"])

    @property
    def task(self) -> Task:
        """The task, which renders rows."""
        return task_of_run(self.run, self.config.task, self.config.task_sha256, self.config.data.match)

    @property
    def scores(self) -> dict[str, Any]:
        """The iteration's entry of metrics.json; its test score is None if another iteration was chosen."""
        entry: dict[str, Any] = self.metrics["iterations"][self.iteration]
        return entry

    def prompts(self, count: int) -> list[str]:
        """The first prompts of validation."""
        answers: list[Prediction] = self.run.read_jsonl(f"iteration_{self.iteration}/predictions_validation.jsonl")
        return [answer["prompt"] for answer in answers[:count]]


def open_source(run_dir: Path, iteration: int | None) -> Source:
    """Read a finished run.

    Args:
        run_dir: Its directory.
        iteration: The model; None: the one chosen on validation.

    Raises:
        InputError: the run is not finished or damaged, or has no such iteration.
        StoppedError: the adapter is damaged.
    """
    finished, run = load_run(run_dir), RunDir(run_dir)
    metrics = run.read_json("metrics.json")
    chosen = finished.best if iteration is None else iteration
    if chosen not in range(len(metrics["iterations"])):
        raise InputError(
            f"--iteration {chosen}: {run_dir} has the iterations 0 to {len(metrics['iterations']) - 1}. "
            "Without --iteration the one chosen on validation is exported."
        )
    student = finished.config.student
    samples = [
        sample for t in range(1, chosen + 1) for sample in run.read_jsonl(f"iteration_{t}/synthetic_accepted.jsonl")
    ]
    source = Source(run, finished.config, metrics, chosen, samples)
    manifest.check(source.adapter, student.model, student.lora.model_dump())
    return source
