"""SQuAD 1.1: answer a question with a span of a passage (Rajpurkar et al., 2016; arXiv 1606.05250).

Exact match by the rule of the official evaluation script: lower case, punctuation deleted, articles deleted, whitespace
collapsed, best over all accepted answers; nothing else is forgiven. An output ends at its first line break. Validation
and test come from the hub's validation split, whole articles apart. Not covered: F1, unanswerable questions (2.0).
"""

import re
import string
from collections.abc import Mapping
from typing import Any, ClassVar

from pada_graph.state import Row, Split
from pada_graph.tasks.base import Task, Verdict, text_field

_LONGEST = 20  # words of a generated answer: 99 % of the published ones have 16 at most
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Squad(Task):
    """Rows: {"question", "context", "answers": [texts], "title"}."""

    name = "squad"
    hub = ("rajpurkar/squad", "plain_text")
    pools: ClassVar[dict[Split, str]] = {"train": "train", "validation": "validation", "test": "validation"}
    max_new_tokens = 64
    stop = ("\n",)
    generated_fields: ClassVar[dict[str, str]] = {
        "question": "a question that the example's context answers, other than the example's question",
        "answer": "the answer: a few words copied from that context, character by character",
    }

    def parse(self, raw: Mapping[str, Any]) -> Row:
        """Make a row from the hub's layout (answers.text) or from a row's own fields (answers: list of strings).

        Raises:
            ValueError: names the field and what is wrong with it.
        """
        question, context = text_field(raw, "question").strip(), text_field(raw, "context").strip()
        answers = raw.get("answers")
        texts = answers.get("text") if isinstance(answers, Mapping) else answers
        if not isinstance(texts, list) or not texts:
            raise ValueError(
                'field "answers" must hold at least one accepted answer: {"text": [...]} or a list of strings'
            )
        if not all(isinstance(text, str) and text.strip() for text in texts):
            raise ValueError('field "answers": every accepted answer must be a string that is not empty')
        title = raw.get("title", "")
        if not isinstance(title, str):
            raise ValueError('field "title" must be a string')
        return {
            "question": question,
            "context": context,
            "answers": [" ".join(text.split()) for text in texts],
            "title": title,
        }

    def example(self, row: Row) -> dict[str, Any]:
        """The passage, the question and the first accepted answer."""
        return {"context": row["context"], "question": row["question"], "answer": row["answers"][0]}

    def variant(self, fields: Mapping[str, Any], seed: Row) -> Row:
        """Make a row on the seed's passage from a generated question and answer.

        Raises:
            ValueError: a field is missing, or the answer is not a short span of the passage.
        """
        question, answer = text_field(fields, "question"), " ".join(text_field(fields, "answer").split())
        passage = seed["context"]
        if answer not in passage:
            answer = answer.rstrip(".")
        if answer not in passage:
            spans = {found[0] for found in re.finditer(re.escape(answer), passage, re.IGNORECASE)}
            if len(spans) != 1:
                raise ValueError(
                    f'field "answer" must be a span of the passage, copied exactly, but {answer!r} is not in it'
                )
            (answer,) = spans
        if len(answer.split()) > _LONGEST:
            raise ValueError(f'field "answer" must be a few words, but has {len(answer.split())}')
        return self.parse({"question": question, "context": passage, "answers": [answer], "title": seed["title"]})

    def prompt(self, row: Row) -> str:
        """Passage, question, and what to answer with."""
        return (
            "Answer the question with the exact span of the passage that answers it, as short as possible, and nothing "
            f"else.\n\nPassage: {row['context']}\n\nQuestion: {row['question']}\nAnswer:"
        )

    def target(self, row: Row) -> str:
        """The first accepted answer."""
        return str(row["answers"][0])

    def score(self, output: str, row: Row) -> Verdict:
        """Exact match of the output's first line with any accepted answer."""
        lines = output.strip().splitlines()
        if not lines:
            return Verdict(False, None, "format error: the output is empty")
        span = lines[0].strip()
        correct = any(_normalised(span) == _normalised(answer) for answer in row["answers"])
        accepted = " or ".join(repr(answer) for answer in dict.fromkeys(row["answers"]))
        return Verdict(correct, span, "" if correct else f"answered {span!r}, but only {accepted} is accepted")

    def question(self, row: Row) -> str:
        """The question alone: a passage is shared by many rows, and by every variant of a row."""
        return str(row["question"])

    def group(self, row: Row) -> str | None:
        """The article; the passage where no title is given."""
        return str(row["title"] or row["context"])


def _normalised(text: str) -> str:
    bare = text.lower().translate(_NO_PUNCTUATION)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())
