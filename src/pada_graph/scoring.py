"""`pada-graph score`: the tasks' own scorers for outputs made anywhere, one JSON line in, one verdict out."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pada_graph.errors import InputError
from pada_graph.sources import json_object
from pada_graph.state import Row
from pada_graph.task_file import read_task_file
from pada_graph.tasks import get_task
from pada_graph.tasks.base import AT_ONCE, text_field
from pada_graph.tasks.choice import LETTERS, letter_field, texts_field
from pada_graph.tasks.gsm8k import Gsm8k
from pada_graph.tasks.own import load_task


def score_lines(
    lines: Iterable[str], where: str, unsafe: bool = False, own: Path | None = None
) -> Iterator[dict[str, Any]]:
    """Score lines {"task", "output", "gold"}; blank lines are skipped.

    The gold is, for arc_challenge and hellaswag, {"answer": letter, "choices": [texts]}; for gsm8k the published answer
    or its number, a string; for squad the list of accepted answers; for humaneval {"prompt", "entry_point", "test"}.
    Choices of arc_challenge may also be the hub's {"text", "label"}, and its answer a number from 1: then outputs that
    name the number count as well as those that name the letter. For a task of the user's own it is a row of its data.

    Args:
        lines: JSON Lines.
        where: The file they come from, for messages.
        unsafe: Run humaneval's code even where no sandbox works (`unsafe_code_execution`).
        own: A task's Python file; lines name it without its folder. Never taken from a line: it is run.

    Yields:
        {"correct": bool, "parsed": str or None, "reason": str} for each line, in order.

    Raises:
        InputError: a line is malformed, with `where` and its number; there is none; humaneval finds no sandbox; or
            `own` holds no task.
    """
    golds, tasks = dict(_GOLD), {name: get_task(name, unsafe=unsafe) for name in _GOLD}
    if own is not None:
        tasks[own.name] = task = load_task(read_task_file(str(own)), str(own))
        golds[own.name] = lambda gold: task.parse(_mapping(gold))
    checked = [_checked(line, f"{where}, line {number}", golds) for number, line in enumerate(lines, 1) if line.strip()]
    if not checked:
        raise InputError(f"{where}: holds no line to score.")

    def verdict(line: tuple[str, str, Row]) -> dict[str, Any]:
        name, output, row = line
        found = tasks[name].score(output, row)
        return {"correct": found.correct, "parsed": found.parsed, "reason": found.reason}

    with ThreadPoolExecutor(AT_ONCE) as pool:  # humaneval waits for programs to run
        yield from pool.map(verdict, checked)


def _checked(line: str, place: str, golds: Mapping[str, Callable[[Any], Row]]) -> tuple[str, str, Row]:
    record = json_object(line, place)
    try:
        name, output = text_field(record, "task"), record.get("output")
        if name not in golds:
            raise ValueError(f'field "task" must be one of {", ".join(golds)}, but is {name!r}')
        if not isinstance(output, str):
            raise ValueError('field "output" must be a string')
        if "gold" not in record:
            raise ValueError('field "gold" is missing')
        return name, output, golds[name](record["gold"])
    except ValueError as error:
        raise InputError(f"{place}: {error}. Mend the line or remove it.") from error
    except KeyError as error:
        raise InputError(f"{place}: field {error} of the gold is missing. Mend the line or remove it.") from error


def _endings(gold: Any) -> Row:
    endings = texts_field(_mapping(gold), "choices")
    return {"endings": endings, "answer": letter_field(gold, "answer", len(endings))}


def _choices(gold: Any) -> Row:
    given = _mapping(gold).get("choices")
    hub = given if isinstance(given, Mapping) else {}
    texts = texts_field(hub, "text") if hub else texts_field(gold, "choices")
    numbers = [str(number) for number in range(1, len(texts) + 1)]
    by_number = gold.get("answer") in numbers
    answer = LETTERS[numbers.index(gold["answer"])] if by_number else letter_field(gold, "answer", len(texts))
    return {"choices": texts, "answer": answer, "numbered": by_number or hub.get("label") == numbers}


def _number(gold: Any) -> Row:
    answer = text_field({"gold": gold}, "gold")
    try:
        return Gsm8k().parse({"question": "-", "answer": answer if "####" in answer else f"#### {answer}"})
    except ValueError as error:
        raise ValueError('field "gold" must be a number, or the published answer that ends with "#### N"') from error


def _spans(gold: Any) -> Row:
    if not isinstance(gold, list) or not gold or not all(isinstance(answer, str) for answer in gold):
        raise ValueError('field "gold" must be a list with at least one accepted answer, all strings')
    return {"answers": gold}


def _program(gold: Any) -> Row:
    return {field: text_field(_mapping(gold), field) for field in ("prompt", "entry_point", "test")}


def _mapping(gold: Any) -> Mapping[str, Any]:
    if not isinstance(gold, Mapping):
        raise ValueError('field "gold" must be an object')
    return gold


_GOLD: dict[str, Callable[[Any], Row]] = {
    "arc_challenge": _choices,
    "hellaswag": _endings,
    "gsm8k": _number,
    "squad": _spans,
    "humaneval": _program,
}
