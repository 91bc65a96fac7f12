"""`pada-graph preview`: one tiny round of the very graph, from a handful of failures to three scored samples.

Nothing is trained: the untuned student takes the place of every fine-tuned one. All else is the run's own: its rows
(the first few of train and validation; all of test, for the leakage guard alone), its prompts, teachers and checks.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pada_graph.config import Role, RunConfig
from pada_graph.config_file import parse_config
from pada_graph.data import load_splits
from pada_graph.errors import InputError
from pada_graph.methods import rounds, used_roles
from pada_graph.rundir import RunDir
from pada_graph.services import Completion, Predictor, Progress, Reply, Services, Teacher, TrainJob, Usage
from pada_graph.state import Prediction, Sample, Strategy
from pada_graph.tasks import get_task

TRAIN_ROWS, VALIDATION_ROWS = 6, 12
FAILURES, PATTERNS, SAMPLES = 5, 2, 3


@dataclass(frozen=True)
class Exchange:
    """One question to a teacher and its reply."""

    role: Role
    item: str
    attempt: int
    prompt: str
    reply: Reply


@dataclass(frozen=True)
class Preview:
    """What a preview brought."""

    predictions: list[Prediction]  # of the untuned student on validation rows
    exchanges: list[Exchange]  # in the order of their replies
    strategies: list[Strategy]
    accepted: list[Sample]
    rejected: list[dict[str, Any]]  # as in rejected.jsonl
    usage: dict[Role, Usage]


class Recorder:
    """services.Teacher that remembers what was asked."""

    def __init__(self, teacher: Teacher):
        self._teacher, self._lock = teacher, threading.Lock()
        self.exchanges: list[Exchange] = []

    def ask(self, role: Role, prompt: str, *, item: str, attempt: int = 0) -> Reply:
        """Pass the question on.

        Raises:
            StoppedError: as the teacher does.
        """
        reply = self._teacher.ask(role, prompt, item=item, attempt=attempt)
        with self._lock:
            self.exchanges.append(Exchange(role, item, attempt, prompt, reply))
        return reply

    def usage(self) -> dict[Role, Usage]:
        """As the teacher says."""
        return self._teacher.usage()

    def close(self) -> None:
        """Close the teacher."""
        self._teacher.close()


class Untrained:
    """services.Trainer that trains nothing."""

    def train(self, job: TrainJob, progress: Progress) -> None:
        """Leave the student as it is."""


class Untuned:
    """services.Predictor that answers with the base model, each prompt once, whatever adapter is asked for."""

    def __init__(self, predictor: Predictor):
        self._predictor = predictor
        self._known: dict[str, Completion] = {}

    def predict(
        self, adapter: Path | None, prompts: Sequence[str], *, max_new_tokens: int, stop: Sequence[str]
    ) -> Iterator[Completion]:
        """Answer the prompts that were not answered before; give the answers of all."""
        fresh = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._known]
        for completion in self._predictor.predict(None, fresh, max_new_tokens=max_new_tokens, stop=stop):
            self._known[fresh[completion.index]] = completion
        for index, prompt in enumerate(prompts):
            yield replace(self._known[prompt], index=index)


def preview_config(config: RunConfig) -> RunConfig:
    """The run's configuration with a tiny round in it, or with none where it has a judge for the answers alone.

    Raises:
        InputError: the run has no round of augmentation, and asks no judge.
    """
    if not rounds(config) and not used_roles(config):
        raise InputError(
            "preview shows a round of augmentation, and this configuration has none (method, iterations). Its train "
            "rows alone: preview --rows."
        )
    raw = config.model_dump()
    rows = {"train_size": TRAIN_ROWS, "validation_size": VALIDATION_ROWS}
    raw["iterations"] = min(config.iterations, 1)
    raw["data"] |= {size: min(config.data.model_dump()[size], most) for size, most in rows.items()}
    raw["patterns"] |= {"max_errors": FAILURES, "min_clusters": PATTERNS, "max_clusters": PATTERNS}
    raw["generation"] |= {
        "ratio": SAMPLES / raw["data"]["train_size"],
        "batch_size": min(config.generation.batch_size, SAMPLES),
    }
    raw["quality"]["max_regenerations"] = min(config.quality.max_regenerations, 1)
    return parse_config(raw, "preview")


def run_preview(
    config: RunConfig, root: Path, services: Services | None = None, watch: Progress | None = None
) -> Preview:
    """Run the round in the folder `root`, which must not hold a run, and return what it brought.

    Raises:
        InputError: the data or a model cannot be used, or the folder holds something.
        StoppedError: a teacher failed for good, or a limit was met.
    """
    from langgraph.checkpoint.memory import InMemorySaver

    from pada_graph.graph import build_graph
    from pada_graph.nodes.open import close_run
    from pada_graph.nodes.recorded_config import record_config
    from pada_graph.runner import recursion_limit
    from pada_graph.services import default_services

    if root.exists() and any(root.iterdir()):
        raise InputError(f"{root}: is not empty. Name a new folder.")
    small, directory = preview_config(config), RunDir(root)
    record_config(directory, small)
    _write_data(config, small, directory)
    real = services or default_services(small, root)
    teacher = Recorder(real.teacher)
    used = replace(real, teacher=teacher, trainer=Untrained(), predictor=Untuned(real.predictor))
    settings: Any = {
        "configurable": {"thread_id": "preview", "run_dir": str(root)},
        "max_concurrency": small.limits.concurrency + 1,
        "recursion_limit": recursion_limit(small),
    }
    try:
        stream: Any = build_graph(used, InMemorySaver()).stream(
            {"run_dir": str(root)},
            settings,
            context=small,
            stream_mode="custom",
            subgraphs=True,
            interrupt_before=["finalize"],  # the test split stays shut
            interrupt_after=["collect_batches"],
        )
        for _, event in stream:
            if watch:
                watch(event)
        usage = teacher.usage()
    finally:
        close_run(root)

    def written(name: str) -> list[Any]:
        return directory.read_jsonl(name) if directory.path(name).exists() else []

    return Preview(
        predictions=written("untuned/predictions_validation.jsonl"),
        exchanges=teacher.exchanges,
        strategies=written("iteration_1/strategies.jsonl"),
        accepted=written("iteration_1/synthetic_accepted.jsonl"),
        rejected=written("iteration_1/rejected.jsonl"),
        usage=usage,
    )


def _write_data(config: RunConfig, small: RunConfig, directory: RunDir) -> None:
    """The run's own splits, cut to their first rows; not splits of other sizes, which would mix held-out rows in."""
    task = get_task(config.task, config.data.match, config.unsafe_code_execution)
    splits = load_splits(task, config.data)
    sizes = {"train": small.data.train_size, "validation": small.data.validation_size, "test": small.data.test_size}
    manifest = {
        split: directory.write_jsonl(f"data/{split}.jsonl", rows[: sizes[split]]) for split, rows in splits.items()
    }
    directory.write_jsonl("data/overlaps.jsonl", splits.overlaps)
    directory.write_json("data/manifest.json", manifest)
