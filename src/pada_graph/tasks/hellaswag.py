"""HellaSwag: choose the ending that continues a description (Zellers et al., 2019; arXiv 1905.07830).

Texts are cleaned by the rule of lm-evaluation-harness' hellaswag task, which turns WikiHow's "[title]" into a full stop
and removes other markers; here no second stop is set after one, and all runs of spaces become one. The context is
"activity: ctx_a ctx_b", ctx_b with a capital first letter and otherwise as it is. As in lighteval, the endings are
listed and the letter is generated; choice.py says how it is read. The hub's test split has no labels: validation and
test come from its validation. Not covered: ending likelihoods (acc, acc_norm), whose scores are not comparable with
these.
"""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pada_graph.state import Row, Split
from pada_graph.tasks.base import Task, Verdict, text_field
from pada_graph.tasks.choice import LETTERS, choice_question, judge_letter, letter_field, listed, texts_field

_TITLE_AFTER_STOP = re.compile(r"(?<=[.!?]) \[title\]")
_MARKER = re.compile(r"\[.*?\]")


class HellaSwag(Task):
    """Rows: {"context", "endings": [texts], "answer": letter}."""

    name = "hellaswag"
    hub = ("Rowan/hellaswag", None)
    pools: ClassVar[dict[Split, str]] = {"train": "train", "validation": "validation", "test": "validation"}
    chance = 0.25
    max_new_tokens = 64  # the letter is one or two; an untuned model writes a sentence
    stop = ("\n\n", "Question:")
    generated_fields: ClassVar[dict[str, str]] = {
        "context": "a description that begins with the activity and a colon, and breaks off before its ending",
        "endings": "a JSON array with four endings, without letters; exactly one of them is plausible",
        "answer": "the letter of the plausible ending: A for the first ending, B for the second, and so on",
    }
    reworded = "context"

    def parse(self, raw: Mapping[str, Any]) -> Row:
        """Make a row from the hub's layout (activity_label, ctx_a, ctx_b, endings, label) or from a row's own fields.

        Raises:
            ValueError: names the field and what is wrong with it.
        """
        if "context" in raw:
            endings = texts_field(raw, "endings")
            answer = letter_field(raw, "answer", len(endings))
            return {"context": text_field(raw, "context").strip(), "endings": endings, "answer": answer}
        parts = [raw.get(field) for field in ("ctx_a", "ctx_b")]
        if not all(isinstance(part, str) for part in parts):
            raise ValueError('fields "ctx_a" and "ctx_b" must be strings (one of them may be empty)')
        start, end = (str(part).strip() for part in parts)
        if not start and not end:
            raise ValueError('fields "ctx_a" and "ctx_b" are both empty')
        context = f"{text_field(raw, 'activity_label')}: {start} {end[:1].upper()}{end[1:]}"
        if not isinstance(raw.get("endings"), list) or not all(isinstance(text, str) for text in raw["endings"]):
            raise ValueError('field "endings" must be a list of strings')
        endings = texts_field({"endings": [_clean(text) for text in raw["endings"]]}, "endings")
        label = str(raw.get("label", "")).strip()
        if label not in [str(index) for index in range(len(endings))]:
            hint = " (the hub's test split has no labels; take the validation split)" if not label else ""
            raise ValueError(f'field "label" must be "0" to "{len(endings) - 1}", but is {label!r}{hint}')
        return {"context": _clean(context), "endings": endings, "answer": LETTERS[int(label)]}

    def prompt(self, row: Row) -> str:
        """Context, endings, and what to answer with."""
        return (
            f"Which ending continues the text best?\n\nText: {row['context']}\n{listed(row['endings'])}\n\n"
            "Answer with the letter of the best ending alone.\nAnswer:"
        )

    def target(self, row: Row) -> str:
        """The letter alone."""
        return str(row["answer"])

    def score(self, output: str, row: Row) -> Verdict:
        """Compare the letter read from the output with the correct one."""
        return judge_letter(output, LETTERS[: len(row["endings"])], row["answer"])

    def question(self, row: Row) -> str:
        """Context and endings."""
        return choice_question(row, "context", "endings")


def _clean(text: str) -> str:
    with_stops = _TITLE_AFTER_STOP.sub(" ", text).replace(" [title]", ". ")
    return " ".join(_MARKER.sub("", with_stops).split())
