"""The seam between the graph and the world: what nodes may use, as protocols of one or two methods.

`default_services` makes the real ones from a config; tests pass their own `Services` to `build_graph`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from typing_extensions import TypedDict

from pada_graph.config import Role, RunConfig
from pada_graph.methods import round_roles, used_roles

if TYPE_CHECKING:
    import numpy as np

Progress = Callable[[dict[str, Any]], None]  # takes a small JSON-able event, e.g. {"step": 3, "steps": 60, "loss": 1.2}


@dataclass(frozen=True)
class Reply:
    """What a teacher answered."""

    text: str
    stop_reason: str  # "stop", or the provider's word for anything else ("length", "content_filter", ...)
    input_tokens: int
    output_tokens: int


class Counts(TypedDict):
    """What one role has used so far: finished calls and their tokens."""

    calls: int
    input_tokens: int
    output_tokens: int


class Usage(Counts):
    """What one role has used, and what that cost in US dollars."""

    usd: float | None  # None: the model's price is unknown, or its provider does not count tokens


class Teacher(Protocol):
    """The large language models, one per role."""

    def ask(self, role: Role, prompt: str, *, item: str, attempt: int = 0) -> Reply:
        """Answer one prompt.

        `item` and `attempt` name the question: the same words for the same question are answered from the journal,
        a regeneration has another attempt and is asked anew.

        Raises:
            StoppedError: the provider failed for good, or a limit was met.
        """
        ...

    def usage(self) -> dict[Role, Usage]:
        """Calls, tokens and dollars of the whole run, those of earlier processes included."""
        ...

    def close(self) -> None:
        """Let go of files and connections; a later call opens them again."""
        ...


class Embedder(Protocol):
    """Sentence embeddings."""

    def embed(self, texts: Sequence[str]) -> "np.ndarray":
        """Return unit vectors, float32, shape (len(texts), dimension)."""
        ...


@dataclass(frozen=True)
class TrainJob:
    """One fine-tuning: a fresh LoRA adapter from the base model on rendered rows."""

    model: str
    dtype: str
    rows: Path  # JSONL with "prompt" and "completion", both strings
    adapter: Path  # folder to make
    log: Path  # JSONL, one line per logged step
    lora: dict[str, Any]  # config.Lora as a dict
    training: dict[str, Any]  # config.Training as a dict
    seed: int
    parts: int = 1  # 2: half as many rows at once, gradients of twice as many added up; the steps stay the same


class Trainer(Protocol):
    """Fine-tunes the student."""

    def train(self, job: TrainJob, progress: Progress) -> None:
        """Make `job.adapter`, whole or not at all; do nothing if it is already there and whole.

        Raises:
            InputError: the model is unknown or the rows cannot be used.
            DivergedError: the loss or the gradient is no longer finite.
            StoppedError: training failed; the message holds the cause.
        """
        ...


@dataclass(frozen=True)
class Completion:
    """One generated answer."""

    index: int  # of the prompt
    text: str
    truncated: bool  # met the token limit before it ended


class Predictor(Protocol):
    """Lets the student answer."""

    def predict(
        self, adapter: Path | None, prompts: Sequence[str], *, max_new_tokens: int, stop: Sequence[str]
    ) -> Iterator[Completion]:
        """Answer every prompt greedily, in any order; `adapter` None is the untuned base model.

        `prompts` are user turns; the chat template is applied here, as in training. A completion's text ends before
        the first of the `stop` strings.
        """
        ...


@dataclass(frozen=True)
class Services:
    """Everything the nodes use that is not data."""

    teacher: Teacher
    embedder: Embedder
    trainer: Trainer
    predictor: Predictor


def default_services(config: RunConfig, run_dir: Path) -> Services:
    """The real ones: chat models behind the run's journal, sentence-transformers, TRL in a child process or on Ray.

    What only a later stage needs is loaded here too: a wrong setting must show before the first hour is spent.

    Raises:
        InputError: a model, or the Ray cluster, cannot be had; names the setting and the fix.
    """
    from pada_graph.clustering import SentenceEmbedder
    from pada_graph.teacher.journaled import JournaledTeacher

    trainer, predictor = _executor(config, run_dir)
    roles = used_roles(config)
    teacher = JournaledTeacher(config.models, config.limits, run_dir / "teacher_calls.sqlite", roles)
    embedder = SentenceEmbedder(config.patterns.embedder)
    if roles:
        teacher.load()
    if round_roles(config):
        embedder.load()
    return Services(teacher=teacher, embedder=embedder, trainer=trainer, predictor=predictor)


def _executor(config: RunConfig, run_dir: Path) -> tuple[Trainer, Predictor]:
    """Who trains the student and lets it answer: this machine, or a Ray cluster."""
    if config.executor == "local":
        from pada_graph.executors.local import LocalTrainer
        from pada_graph.student.inference import TransformersPredictor

        asked = TransformersPredictor(config.student)
        return LocalTrainer(asked.release), asked
    from pada_graph.executors.ray.cluster import check_shared, connect
    from pada_graph.executors.ray.predictor import RayPredictor
    from pada_graph.executors.ray.trainer import RayTrainer, for_training

    cluster = connect(config.ray)
    check_shared(run_dir)
    trainers = for_training(cluster, config.ray, config.student.training.batch_size)
    predictor = RayPredictor(cluster, config.student)
    return RayTrainer(trainers, predictor.release), predictor
