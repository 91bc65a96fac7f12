"""What a method is: the part of a round of augmentation that is not shared."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pada_graph.config import PromptName, Role, RunConfig
from pada_graph.state import BatchPlan, Branch, Pattern, Row, Seed, Slot, Split, Strategy

if TYPE_CHECKING:
    from pada_graph.nodes.run import Run


@dataclass(frozen=True)
class Question:
    """What the generator is to be asked for one batch, or for a part of it."""

    plan: BatchPlan
    strategy: Strategy | None
    slots: Mapping[str, Slot]  # the samples to be written, by the ids they have in the prompt
    seeds: Mapping[str, Seed]  # the train rows of the batch, by id
    feedback: str  # on the attempt before; empty at first


Start = tuple[str | None, list[str]]  # a strategy, or None, and the train row that each sample of a batch starts from


class Method(ABC):
    """One method. Subclasses are stateless; `generation.ratio` times D_train is what each asks for in a round."""

    augments: ClassVar[bool] = True  # False: fine-tuned once, no round follows
    needs_failures: ClassVar[bool] = False  # a round without any in `learns_from` is not begun
    pattern_analysis: ClassVar[bool] = False  # the Pattern Analysis Agent takes part
    quality_control: ClassVar[bool] = False  # a judge rates what was generated; else only faults are written anew
    branch: ClassVar[Branch] = "train"  # of the batches without a strategy

    def learns_from(self, config: RunConfig) -> tuple[Split, ...]:
        """The splits whose failures a round starts from."""
        return ()

    def roles(self, config: RunConfig) -> tuple[Role, ...]:
        """The teacher's roles that a round may ask."""
        return ()

    def patterns(self, run: "Run", iteration: int) -> list[Pattern]:
        """Patterns that strategies are drafted for without any analysis."""
        return []

    def most_strategies(self, config: RunConfig, failures: int) -> int:
        """Strategies of a round, at most, if so many validation failures are analysed."""
        return 0

    @abstractmethod
    def sizes(self, config: RunConfig, strategies: int, wrong: int) -> list[tuple[Branch, int]]:
        """Branch and size of each batch of a round with so many strategies and wrong train rows."""

    @abstractmethod
    def starts(self, run: "Run", iteration: int, strategies: Sequence[Strategy]) -> list[Start]:
        """The batches of a round, in the order of `sizes`."""


class Generating(Method):
    """A method whose samples a generator writes; others repeat train rows, and nobody is asked."""

    rewords: ClassVar[bool] = False  # its samples keep all but `Task.reworded` of their seeds, on purpose
    id_field: ClassVar[str] = "sample_id"  # of a generated object
    extra_examples: ClassVar[int] = 0  # train rows that a prompt shows beside the batch's own

    def roles(self, config: RunConfig) -> tuple[Role, ...]:
        """The generator."""
        return ("generator",)

    @abstractmethod
    def prompt_name(self, branch: Branch) -> PromptName:
        """The file of prompts/ that the generator is asked with."""

    @abstractmethod
    def prompt(self, run: "Run", question: Question) -> str:
        """The generator's prompt."""

    def row(self, run: "Run", fields: Mapping[str, Any], seed: Row) -> Row:
        """Make a row (without "id") from what the generator wrote.

        Raises:
            ValueError: what is wrong with it, in words for the generator.
        """
        return run.task.variant(fields, seed)


class FromTrainErrors(Generating):
    """Starts from the train rows that the student has wrong, which share the round's samples evenly.

    A row with more than B samples has several batches; of more rows than samples a random part gets one each.
    """

    needs_failures = True
    branch: ClassVar[Branch] = "error"

    def learns_from(self, config: RunConfig) -> tuple[Split, ...]:
        """Train errors."""
        return ("train",)

    def sizes(self, config: RunConfig, strategies: int, wrong: int) -> list[tuple[Branch, int]]:
        """The batches of one wrong row after the other."""
        return [("error", n) for sizes in self._shares(config, requested(config), wrong) for n in sizes]

    def starts(self, run: "Run", iteration: int, strategies: Sequence[Strategy]) -> list[Start]:
        """The wrong rows in random order, each as often as it has samples."""
        failed = list(run.train_errors(iteration))
        shares = self._shares(run.config, requested(run.config, len(run.rows.split("train"))), len(failed))
        seeds = run.sample(failed, len(shares), iteration, "seeds", "errors")
        return [(None, [seed] * n) for seed, sizes in zip(seeds, shares, strict=True) for n in sizes]

    def _shares(self, config: RunConfig, total: int, wrong: int) -> list[list[int]]:
        """The sizes of each row's batches."""
        return [parts(count, config.generation.batch_size) for count in evenly(total, wrong)]


def requested(config: RunConfig, train_rows: int | None = None) -> int:
    """Synthetic samples that every method asks for in a round (3.2); by default for `data.train_size` rows."""
    return round(config.generation.ratio * (config.data.train_size if train_rows is None else train_rows))


def parts(count: int, size: int) -> list[int]:
    """`count` items in batches of `size`."""
    return [min(size, count - start) for start in range(0, count, size)]


def evenly(count: int, shares: int) -> list[int]:
    """`count` items in so many shares, as equal as can be; the first ones have one more. None where nothing is left."""
    return [share for k in range(shares) if (share := count // shares + (k < count % shares))]


def split(values: Sequence[str], sizes: Sequence[int]) -> list[list[str]]:
    """Cut the values into runs of these sizes."""
    ends = [sum(sizes[: k + 1]) for k in range(len(sizes))]
    return [list(values[end - size : end]) for size, end in zip(sizes, ends, strict=True)]
