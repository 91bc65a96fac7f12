"""The offline demo's task: short word problems with a rationale line and "#### n", after GSM8K's form.

Rows come from `pada_graph.demo.data`, or from files of the same form. The prompt is the bare question: the answer's
form is learnt from D_train, and every token saved shortens the demo. Not covered: answers that are not integers.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pada_graph.state import Row
from pada_graph.tasks.base import Task, Verdict, text_field
from pada_graph.tasks.number import judge_number

_FINAL = re.compile(r"#### (-?[0-9]+)\s*\Z")


class Demo(Task):
    """Row: question, answer (rationale, then "#### n" on a line of its own)."""

    name = "demo"
    max_new_tokens = 40
    generated_fields: ClassVar[dict[str, str]] = {
        "question": "the text of the new word problem",
        "answer": 'one line with the calculation, then a line "#### " followed by the integer answer',
    }

    def parse(self, raw: Mapping[str, Any]) -> Row:
        """Make a row from {"question", "answer"}.

        Raises:
            ValueError: a field is missing or empty, or the answer does not end with "#### " and an integer.
        """
        question, answer = text_field(raw, "question"), text_field(raw, "answer")
        if not _FINAL.search(answer):
            raise ValueError('field "answer" must end with a line "#### " and an integer')
        return {"question": question.strip(), "answer": answer.strip()}

    def prompt(self, row: Row) -> str:
        """The question alone."""
        return str(row["question"])

    def target(self, row: Row) -> str:
        """The rationale and the final number."""
        return str(row["answer"])

    def score(self, output: str, row: Row) -> Verdict:
        """Compare final numbers; the last number counts where there is no "####"."""
        return judge_number(output, self.target(row).rpartition("#### ")[2])

    def question(self, row: Row) -> str:
        """The question."""
        return str(row["question"])
