"""The user's own data: rows {"prompt", "answer"}, optionally "id", compared exactly, as a number or as a letter.

`data.match` says how: "exact" ignores case, runs of whitespace and one final full stop; "number" and "choice" read the
output as GSM8K's (number.py) and ARC's (choice.py) are read; "judge" is exact here, and what is not the same the judge
grades (nodes/grading.py). The prompt is sent as it is, the answer trained as it is.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pada_graph.config import Match
from pada_graph.state import Row
from pada_graph.tasks.base import Task, Verdict, text_field
from pada_graph.tasks.choice import LETTERS, judge_letter, letter_field
from pada_graph.tasks.number import exact_number, judge_number

_THOUSANDS = re.compile(r"(?<![0-9,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9,])")


class Jsonl(Task):
    """Rows: {"prompt", "answer"}."""

    name = "jsonl"
    max_new_tokens = 256
    generated_fields: ClassVar[dict[str, str]] = {
        "prompt": "the whole prompt, in the form of the examples' prompts",
        "answer": "the correct answer, in the form of the examples' answers",
    }
    reworded = "prompt"

    def __init__(self, match: Match = "exact"):
        self.match = match

    def parse(self, raw: Mapping[str, Any]) -> Row:
        """Make a row.

        Raises:
            ValueError: a field is missing, or the answer is not what `match` compares.
        """
        prompt = text_field(raw, "prompt")
        if self.match == "choice":
            return {"prompt": prompt, "answer": letter_field(raw, "answer", len(LETTERS))}
        value = raw.get("answer")
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if self.match in ("exact", "judge"):
            try:
                return {"prompt": prompt, "answer": text_field(raw, "answer").strip()}
            except ValueError as error:
                if is_number:
                    error.add_note("write it in quotes, or set data.match: number")
                raise
        answer = str(value) if is_number else text_field(raw, "answer").strip()
        if exact_number(answer) is None:
            raise ValueError(f'field "answer" must be one number (data.match is "number"), but is {answer!r}')
        if "," in _THOUSANDS.sub("", answer):
            meant = answer.replace(",", "." if answer.count(",") == 1 and "." not in answer else "")
            raise ValueError(f'field "answer": "{answer}" has a comma that is no thousands separator; write {meant}')
        return {"prompt": prompt, "answer": answer}

    def prompt(self, row: Row) -> str:
        """The row's prompt."""
        return str(row["prompt"])

    def target(self, row: Row) -> str:
        """The row's answer."""
        return str(row["answer"])

    def score(self, output: str, row: Row) -> Verdict:
        """Compare as `match` says."""
        answer = row["answer"]
        if self.match == "choice":
            return judge_letter(output, LETTERS, answer)
        if self.match == "number":
            return judge_number(output, exact_number(answer) or answer)
        if not output.strip():
            return Verdict(False, None, "format error: the output is empty")
        correct = _normalised(output) == _normalised(answer)
        return Verdict(correct, output.strip(), "" if correct else f"the correct answer is {answer!r}")

    def question(self, row: Row) -> str:
        """The prompt."""
        return str(row["prompt"])


def _normalised(text: str) -> str:
    plain = " ".join(text.casefold().split())
    return plain.removesuffix(".").rstrip() or plain
