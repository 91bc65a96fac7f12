"""What a node may use besides its state: the run it belongs to.

Who reads which split is settled here. Training and generation see "train", pattern analysis "validation"; "test" is
read twice: by `finalize`, which scores it once at the end, and by the leakage guard (`Rows.guard`, `held_out_*`),
which gives nothing of it away but that a text is too close to it.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from pada_graph.config import PromptName, RunConfig
from pada_graph.errors import InputError
from pada_graph.leakage import LONGEST, SHORTEST, Embed, LeakageGuard, OverlapIndex
from pada_graph.methods import get_method
from pada_graph.methods.base import Generating, Method
from pada_graph.near_duplicates import NearDuplicates, Template
from pada_graph.prompts import render
from pada_graph.rundir import RunDir
from pada_graph.services import Progress, Services
from pada_graph.state import Prediction, Row, Sample, Split
from pada_graph.tasks.base import Task
from pada_graph.teacher.prices import total

if TYPE_CHECKING:
    import numpy as np

T = TypeVar("T")
HELD_OUT: tuple[Split, ...] = ("validation", "test")


class Rows:
    """The run's data as initialize wrote it; it never changes afterwards, so it is read once."""

    def __init__(self, directory: RunDir, task: Task):
        self._dir, self._task = directory, task
        self._lock = threading.Lock()  # batches run in parallel; what they share is made once
        self._guard: LeakageGuard | None = None
        self._prose: OverlapIndex | None = None
        self._targets: OverlapIndex | None = None
        self._known: dict[tuple[object, ...], NearDuplicates] = {}
        self._vectors: np.ndarray | None = None
        self._wrong: dict[tuple[object, ...], dict[str, str]] = {}
        self.split = cache(self._read)

    @cached_property
    def _template(self) -> Template:
        return Template(map(self._task.question, self.split("train")))

    @cached_property
    def train(self) -> dict[str, Row]:
        """D_train by id."""
        return {row["id"]: row for row in self.split("train")}

    def _read(self, split: Split) -> list[Row]:
        name = f"data/{split}.jsonl"
        rows: list[Row] = self._dir.read_jsonl(name)
        if self._dir.artifact(name) != self._dir.read_json("data/manifest.json")[split]:
            raise InputError(
                f"{self._dir.path(name)}: was changed since the run began. Restore it, or start a new run."
            )
        return rows

    def guard(self, embed: Embed) -> LeakageGuard:
        """Index of the validation and test questions, embedded once per process."""
        with self._lock:
            if self._guard is None:
                train = map(self.question, self.split("train"))
                self._guard = LeakageGuard(self._held_out(self.question), train, embed)
            return self._guard

    def train_vectors(self, embed: Embed) -> "tuple[dict[str, int], np.ndarray]":
        """Row number of each train id, and the unit vectors of their questions, embedded once per process."""
        with self._lock:
            if self._vectors is None:
                self._vectors = embed([self._task.question(row) for row in self.split("train")])
            return {row["id"]: number for number, row in enumerate(self.split("train"))}, self._vectors

    @property
    def held_out_text(self) -> OverlapIndex:
        """Index of all that validation and test rows say: prompts, passages, answers. For prose that may quote them."""
        with self._lock:
            if self._prose is None:
                self._prose = OverlapIndex(self._held_out(self._text), map(self._text, self.split("train")), SHORTEST)
            return self._prose

    @property
    def held_out_targets(self) -> OverlapIndex:
        """Index of the words of validation and test targets: a new question may come with a held-out answer."""
        with self._lock:
            if self._targets is None:
                train = map(self.target_words, self.split("train"))
                self._targets = OverlapIndex(self._held_out(self.target_words), train, LONGEST)
            return self._targets

    def question(self, row: Row) -> str:
        """What makes a row this row: its question, without what most of D_train's say alike."""
        return self.own_words(self._task.question(row))

    def own_words(self, text: str) -> str:
        """A text without what most of D_train's questions say alike."""
        return self._template.without(text)

    def target_words(self, row: Row) -> str:
        """The words of a row's target; figures and signs are left out, since many problems share a calculation."""
        words = self._task.target(row).split()
        return " ".join(word for word in words if any(letter.isalpha() for letter in word))

    def _held_out(self, text: Callable[[Row], str]) -> dict[str, str]:
        return {row["id"]: text(row) for split in HELD_OUT for row in self.split(split)}

    def _text(self, row: Row) -> str:
        return f"{self._task.prompt(row)}\n{self._task.target(row)}"

    def known(self, accepted: Sequence[str], text: Callable[[Row], str]) -> NearDuplicates:
        """Index of a text of D_train's rows and of the samples in the files `accepted`, made once for their contents.

        The newest one is kept. Its texts are not to be added to.
        """
        with self._lock:
            key = tuple((name, self._dir.stamp(name)) for name in accepted)
            if key not in self._known:
                samples: list[Sample] = [sample for name in accepted for sample in self._dir.read_jsonl(name)]
                rows = [*self.split("train"), *(sample["row"] for sample in samples)]
                self._known = {key: NearDuplicates((row["id"], text(row)) for row in rows)}
            return self._known[key]

    def wrong_answers(self, predictions: str) -> dict[str, str]:
        """Ids and answers that a file of predictions has wrong, read once for its contents."""
        with self._lock:
            key = (predictions, self._dir.stamp(predictions))
            if key not in self._wrong:
                lines: list[Prediction] = self._dir.read_jsonl(predictions)
                self._wrong = {key: {line["id"]: line["output"] for line in lines if not line["correct"]}}
            return self._wrong[key]


@dataclass(frozen=True)
class Run:
    """One run: its configuration, directory, task, data and services."""

    config: RunConfig
    dir: RunDir
    task: Task
    rows: Rows
    services: Services
    stream: Progress  # shows an event to whoever watches
    trial: bool = False  # on a run that exists, in Studio: what it writes must not be taken for the run's own
    order: threading.Lock = field(default_factory=threading.Lock, compare=False)  # of events: batches run side by side

    def emit(self, event: str, **values: Any) -> None:
        """Report progress: into events.jsonl, whose times are the run's own, and to the stream, in the same order."""
        with self.order:
            record = {"event": event, "time": round(time.time(), 3), **values}
            if not self.trial:
                self.dir.append("events.jsonl", record)
            self.stream(record)

    def folder(self, iteration: int) -> str:
        """Where analysis and batches of a round are written, relative to the run directory."""
        return f"{self.dir.iteration(iteration)}{'/trial' * self.trial}"

    def spent(self) -> dict[str, float | None]:
        """Teacher calls, tokens and dollars so far, for progress events."""
        usage = self.services.teacher.usage().values()
        tokens = sum(role["input_tokens"] + role["output_tokens"] for role in usage)
        usd = total([role["usd"] for role in usage])
        return {"calls": sum(role["calls"] for role in usage), "tokens": tokens, "usd": usd}

    def render(self, prompt: PromptName, **values: Any) -> str:
        """Fill in the run's own prompt of this name, or the shipped one."""
        return render(prompt, self.config.prompts.get(prompt), **values)

    def rng(self, *purpose: object) -> random.Random:
        """A generator that depends on the run's seed and on what it is for, not on what was drawn before."""
        return random.Random(":".join(map(str, (self.config.seed, *purpose))))

    def sample(self, values: Sequence[T], count: int, *purpose: object) -> list[T]:
        """Draw `count` of the values without replacement; a larger count goes round again."""
        drawn: list[T] = []
        while len(drawn) < count and values:
            drawn += self.rng(*purpose, len(drawn)).sample(values, min(len(values), count - len(drawn)))
        return drawn

    @property
    def guard(self) -> LeakageGuard:
        """What finds validation and test rows in written text."""
        return self.rows.guard(self.services.embedder.embed)

    def known(self, iteration: int) -> NearDuplicates:
        """Index of what the student was trained on before this round: D_train and the samples of earlier rounds."""
        return self.rows.known(self._accepted(iteration - 1), self.novelty)

    def novelty(self, row: Row) -> str:
        """What has to be new in a sample: its question; where samples are rewordings, what was reworded."""
        rewords = isinstance(self.method, Generating) and self.method.rewords
        return self.rows.own_words(str(row[self.task.reworded])) if rewords else self.rows.question(row)

    @property
    def method(self) -> Method:
        """What differs between PaDA-Agent and the baselines."""
        return get_method(self.config.method)

    @property
    def judged(self) -> bool:
        """Whether the Quality Control Agent's judge takes part."""
        return self.method.quality_control and self.config.quality.enabled

    @property
    def grades_answers(self) -> bool:
        """Whether the judge grades what the task's own rule finds wrong."""
        return self.config.data.match == "judge"

    def nearest_train(self, id_: str, among: Sequence[str], count: int) -> list[str]:
        """The train rows whose questions are nearest to that of row `id_`, by the cosine of their embeddings."""
        place, vectors = self.rows.train_vectors(self.services.embedder.embed)
        near = sorted(among, key=lambda other: -float(vectors[place[id_]] @ vectors[place[other]]))
        return near[:count]

    def train_errors(self, iteration: int) -> dict[str, str]:
        """E_train of a round (A.2.2): ids of the train rows that the newest model has wrong, with its answers."""
        return self.rows.wrong_answers(f"{self.dir.iteration(iteration - 1)}/predictions_train.jsonl")

    def synthetic(self, until: int) -> list[Sample]:
        """D_syn: the samples accepted in iterations 1 to `until`."""
        return [sample for name in self._accepted(until) for sample in self.dir.read_jsonl(name)]

    def _accepted(self, until: int) -> list[str]:
        return [f"{self.dir.iteration(iteration)}/synthetic_accepted.jsonl" for iteration in range(1, until + 1)]
