"""A task: a data set with a prompt form and a verifiable answer. One small file per task beside this one.

`Task.score` is the paper's Fail criterion (A.1), negated. The same `prompt` and `target` render rows for training, for
evaluation and for synthetic data, so that format never drifts.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pada_graph.state import Row, Split

AT_ONCE = min(4, os.cpu_count() or 1)  # verdicts at a time: programs have a wall clock, and share the machine


@dataclass(frozen=True)
class Verdict:
    """How an output compares with the truth."""

    correct: bool
    parsed: str | None  # the answer that was read; None: nothing readable, which is wrong
    reason: str = ""  # why it is wrong, in words the analyst can use; empty if correct
    measures: Mapping[str, float] = field(default_factory=dict)  # reported beside accuracy as means, e.g. {"f1": 0.5}


class Task(ABC):
    """One data set. Subclasses are stateless."""

    name: ClassVar[str]
    hub: ClassVar[tuple[str, str | None] | None] = None  # data set id and configuration on the Hugging Face hub
    # Which of the source's files each of our splits is cut from. Two splits with one file get disjoint rows.
    pools: ClassVar[dict[Split, str]] = {"train": "train", "validation": "validation", "test": "test"}
    chance: ClassVar[float | None] = None  # accuracy of guessing
    max_new_tokens: ClassVar[int]
    stop: ClassVar[tuple[str, ...]] = ()
    proves_answers: ClassVar[bool] = False  # `variant` has proved that an answer is right (HumanEval runs its tests)
    generated_fields: ClassVar[dict[str, str]]  # what the generator writes: field -> description for its prompt
    reworded: ClassVar[str] = "question"  # the field of `example` that AugGPT rewords

    @abstractmethod
    def parse(self, raw: Mapping[str, Any]) -> Row:
        """Make a row (without "id") from a record in the hub's layout.

        Raises:
            ValueError: names the field and what is wrong with it.
        """

    @abstractmethod
    def prompt(self, row: Row) -> str:
        """The user turn."""

    @abstractmethod
    def target(self, row: Row) -> str:
        """The assistant turn that is trained."""

    @abstractmethod
    def score(self, output: str, row: Row) -> Verdict:
        """Compare a model's output with the row's truth.

        Raises:
            InputError: the task runs code and this machine has no sandbox for it.
        """

    @abstractmethod
    def question(self, row: Row) -> str:
        """The text that makes a row this row and no other: compared for duplicates, overlap and leakage."""

    def check(self) -> None:
        """Check that this machine can score the task, before anything is spent.

        Raises:
            InputError: it cannot; says what to install.
        """

    def environment(self) -> dict[str, str]:
        """What a run's records must say of how the task is scored here (HumanEval: the sandbox)."""
        return {}

    def example(self, row: Row) -> dict[str, Any]:
        """What a generator is shown of a train row: the fields it has to write, and the context they rest on."""
        return {field: row[field] for field in self.generated_fields}

    def variant(self, fields: Mapping[str, Any], seed: Row) -> Row:
        """Make a row (without "id") from what the generator wrote, checked by the task's own rules.

        Raises:
            ValueError: what is wrong, told to the generator as feedback (an unparsable answer, a letter that is not
                among the choices, a span that is not in the passage, code that does not compile).
            InputError: the task runs code and this machine has no sandbox for it.
        """
        return self.parse(fields)

    def reword(self, seed: Row, text: str) -> Row:
        """The seed's row (without "id") with its question in other words; all else, the answer too, stays (AugGPT).

        Raises:
            ValueError: the answer no longer fits (HumanEval: the signature changed).
        """
        return {**{field: value for field, value in seed.items() if field != "id"}, self.reworded: text.strip()}

    def group(self, row: Row) -> str | None:
        """Rows of one group never stand in two splits (SQuAD: the article); None: rows are independent."""
        return None


def text_field(raw: Mapping[str, Any], field: str) -> str:
    """Return a non-empty string field.

    Raises:
        ValueError: the field is missing, not a string or blank. A note of the error says what the row has instead.
    """
    value = raw.get(field)
    if field not in raw:
        error = ValueError(f'field "{field}" must be a string, but is missing')
        error.add_note(f"the row has: {', '.join(raw)}; rename them, or write a task file (docs/tasks.md)")
        raise error
    if not isinstance(value, str):
        raise ValueError(f'field "{field}" must be a string, but is of type {type(value).__name__}')
    if not value.strip():
        raise ValueError(f'field "{field}" is empty')
    return value
