"""How long the texts of a run are: its rows, its prompts without data, and the student's tokens for its rows."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pada_graph.config import PromptName, RunConfig
from pada_graph.data import load_splits, notes
from pada_graph.errors import InputError
from pada_graph.prompts import shipped
from pada_graph.state import Row
from pada_graph.tasks import get_task
from pada_graph.tasks.base import Task

BYTES_PER_TOKEN = 4  # of English text, roughly

Measure = Callable[[Sequence[int]], float]  # the mean of some lengths, or the longest


@dataclass(frozen=True)
class Texts:
    """Lengths in bytes of what teachers are shown of each row, and in tokens of what the student sees."""

    rows: dict[str, int]  # of each split
    notes: list[str]  # rows that are not used, and rows that were left out
    failure: list[int]  # a validation row in an analysis prompt, without the student's answer
    example: list[int]  # a train row as a generator sees it
    question: list[int]  # a train row's prompt, as a judge answers it
    graded: dict[str, list[int]]  # a split's rows in a grading prompt, without the student's answer
    proves_answers: bool  # no judge verifies the answers of this task
    prompts: dict[str, int]  # by name, without data
    student: str  # how student tokens were counted
    asked: dict[str, int]  # student tokens of a split's prompts
    answered: dict[str, int]  # student tokens of a split's targets
    trained: list[int]  # student tokens of each train row, prompt and target
    answer_limit: int  # tokens of one answer, at most


def read_texts(config: RunConfig) -> Texts:
    """Load and check the run's rows and measure them.

    Raises:
        InputError: the data cannot be used.
    """
    task = get_task(config.task, config.data.match, config.unsafe_code_execution)
    splits = load_splits(task, config.data)
    count, how = _student_counter(config)
    pairs = {split: [count(task.prompt(row), task.target(row)) for row in rows] for split, rows in splits.items()}
    return Texts(
        rows={split: len(rows) for split, rows in splits.items()},
        notes=notes(splits),
        failure=[_failure(task, row) for row in splits["validation"]],
        example=[_length(task.example(row)) for row in splits["train"]],
        question=[_length(task.prompt(row)) for row in splits["train"]],
        graded={split: [_graded(task, row) for row in rows] for split, rows in splits.items()},
        proves_answers=task.proves_answers,
        prompts=_bare_prompts(config, task),
        student=how,
        asked={split: sum(prompt for prompt, _ in rows) for split, rows in pairs.items()},
        answered={split: sum(target for _, target in rows) for split, rows in pairs.items()},
        trained=[prompt + target for prompt, target in pairs["train"]],
        answer_limit=config.student.inference.max_new_tokens or task.max_new_tokens,
    )


def _length(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, indent=1).encode())


def _failure(task: Task, row: Row) -> int:
    """Prompt, target and a reason that may quote the accepted answers, with the names of the fields."""
    return _length({"sample_id": "v00", "USER_QUERY": task.prompt(row), "GROUND_TRUTH": task.target(row)}) + _length(
        row
    )


def _graded(task: Task, row: Row) -> int:
    return _length({"question": task.prompt(row), "reference_answer": task.target(row), "answer": ""})


def _bare_prompts(config: RunConfig, task: Task) -> dict[str, int]:
    """The templates as they are, with the task's fields: a little more than what is left of them when filled in."""
    fields = _length(task.generated_fields)
    texts = {name: config.prompts.get(name) or shipped(name) for name in get_args(PromptName)}
    return {name: len(text.encode()) + fields for name, text in texts.items()}


def _student_counter(config: RunConfig) -> tuple[Callable[[str, str], tuple[int, int]], str]:
    """Count a row's prompt and target as rendered for the student if its tokenizer is to be had, else characters."""
    try:
        from pada_graph.student import models, render

        path = models.resolve(config.student.model)
        tokenizer = models.load_tokenizer(path)
        ends = models.end_ids(path, tokenizer)
    except (ImportError, InputError) as error:
        reason = str(error).partition(". ")[0]
        return (
            lambda prompt, target: (len(prompt) // BYTES_PER_TOKEN + 1, len(target) // BYTES_PER_TOKEN + 1),
            f"{BYTES_PER_TOKEN} characters a token, for want of a tokenizer ({reason})",
        )

    def count(prompt: str, target: str) -> tuple[int, int]:
        labels = render.training_row(tokenizer, ends, prompt, target)["labels"]
        masked = labels.count(render.IGNORED)
        return masked, len(labels) - masked

    return count, f"the tokenizer of {config.student.model}"
