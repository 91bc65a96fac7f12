"""What a node may use besides its state: the run it belongs to."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, TypeVar

from pada_graph.config import RunConfig
from pada_graph.errors import InputError
from pada_graph.leakage import OverlapIndex
from pada_graph.rundir import RunDir
from pada_graph.services import Progress, Services
from pada_graph.state import Row, Sample, Split
from pada_graph.tasks.base import Task

T = TypeVar("T")
HELD_OUT: tuple[Split, ...] = ("validation", "test")


class Rows:
    """The run's data as initialize wrote it; it never changes afterwards, so it is read once."""

    def __init__(self, directory: RunDir, task: Task):
        self._dir, self._task = directory, task
        self.split = cache(self._read)

    def _read(self, split: Split) -> list[Row]:
        name = f"data/{split}.jsonl"
        rows: list[Row] = self._dir.read_jsonl(name)
        if self._dir.artifact(name) != self._dir.read_json("data/manifest.json")[split]:
            raise InputError(
                f"{self._dir.path(name)}: was changed since the run began. Restore it, or start a new run."
            )
        return rows

    @cached_property
    def held_out(self) -> OverlapIndex:
        """Index of the validation and test questions. All that ever leaves it is a row's id."""
        return self._index(self._task.question)

    @cached_property
    def held_out_text(self) -> OverlapIndex:
        """Index of all that validation and test rows say: prompts, passages and answers."""
        return self._index(lambda row: f"{self._task.prompt(row)}\n{self._task.target(row)}")

    def _index(self, text: Callable[[Row], str]) -> OverlapIndex:
        held_out = {row["id"]: text(row) for split in HELD_OUT for row in self.split(split)}
        return OverlapIndex(held_out, map(text, self.split("train")))


@dataclass(frozen=True)
class Run:
    """One run: its configuration, directory, task, data and services."""

    config: RunConfig
    dir: RunDir
    task: Task
    rows: Rows
    services: Services
    stream: Progress  # shows an event to whoever watches

    def emit(self, event: str, **values: Any) -> None:
        """Report progress: into events.jsonl and to the stream."""
        record = {"event": event, "time": round(time.time(), 3), **values}
        self.dir.append("events.jsonl", record)
        self.stream(record)

    def spent(self) -> dict[str, int]:
        """Teacher calls and tokens so far, for progress events."""
        usage = self.services.teacher.usage().values()
        tokens = sum(role["input_tokens"] + role["output_tokens"] for role in usage)
        return {"calls": sum(role["calls"] for role in usage), "tokens": tokens}

    def rng(self, *purpose: object) -> random.Random:
        """A generator that depends on the run's seed and on what it is for, not on what was drawn before."""
        return random.Random(":".join(map(str, (self.config.seed, *purpose))))

    def sample(self, values: Sequence[T], count: int, *purpose: object) -> list[T]:
        """Draw `count` of the values without replacement; a larger count goes round again."""
        drawn: list[T] = []
        while len(drawn) < count and values:
            drawn += self.rng(*purpose, len(drawn)).sample(values, min(len(values), count - len(drawn)))
        return drawn

    def synthetic(self, until: int) -> list[Sample]:
        """D_syn: the samples accepted in iterations 1 to `until`."""
        return [
            sample
            for iteration in range(1, until + 1)
            for sample in self.dir.read_jsonl(f"{self.dir.iteration(iteration)}/synthetic_accepted.jsonl")
        ]
