"""Rows as the student is trained on them, through its chat template, with the trained tokens marked."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from pada_graph.config import RunConfig
from pada_graph.data import load_splits, notes
from pada_graph.preview.words import printable
from pada_graph.state import Row
from pada_graph.student import models, render
from pada_graph.tasks import get_task

TRAIN_ROWS_SHOWN = 3


@dataclass(frozen=True)
class Trained:
    """One row as the student reads it."""

    context: str  # read, without loss
    learned: str  # trained, the token that ends the answer included
    tokens: int  # of both together
    learned_tokens: int


def as_trained(config: RunConfig) -> Callable[[Row], Trained]:
    """A function that renders a row of the run's task for its student.

    Raises:
        InputError: the student is unknown, or its chat template cannot be trained.
    """
    path = models.resolve(config.student.model)
    tokenizer: Any = models.load_tokenizer(path)
    ends = models.end_ids(path, tokenizer)
    task = get_task(config.task, config.data.match, config.unsafe_code_execution)

    def rendered(row: Row) -> Trained:
        found = render.training_row(tokenizer, ends, task.prompt(row), task.target(row))
        start = found["labels"].count(render.IGNORED)
        ids = found["input_ids"]
        return Trained(tokenizer.decode(ids[:start]), tokenizer.decode(ids[start:]), len(ids), len(ids) - start)

    return rendered


def print_trained(console: Console, row: Trained) -> None:
    """Print a row; what is trained stands after an arrow, in green where there are colours. Nothing else is added."""
    console.print(printable(row.context), markup=False, highlight=False, soft_wrap=True, end="")
    console.print(f"-> {printable(row.learned)}", style="bold green", markup=False, highlight=False, soft_wrap=True)


def print_train_rows(console: Console, config: RunConfig) -> None:
    """Print the first train rows. No teacher is asked, and the student's weights are not loaded.

    Raises:
        InputError: the data cannot be used, the student is unknown, or its chat template cannot be trained.
    """
    task = get_task(config.task, config.data.match, config.unsafe_code_execution)
    splits = load_splits(task, config.data)
    rows = splits["train"]
    rendered = as_trained(config)
    shown = rows[:TRAIN_ROWS_SHOWN]
    console.print(f"\n== {len(shown)} of {len(rows)} train rows, as the student learns them", style="bold")
    console.print(
        "What stands after -> is trained, with the token that ends the answer; all before it carries no loss."
    )
    for note in notes(splits):
        console.print(printable(f"Data: {note}."), markup=False, highlight=False, soft_wrap=True)
    for row in shown:
        found = rendered(row)
        counts = f"{found.tokens} tokens, {found.learned_tokens} of them trained"
        console.print(printable(f"-- {row['id']}: {counts}"), style="bold", markup=False, soft_wrap=True)
        print_trained(console, found)
