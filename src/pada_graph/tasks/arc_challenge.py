"""ARC Challenge: grade-school science questions with, mostly, four choices (Clark et al., 2018; arXiv 1803.05457).

The choices are listed and the letter is generated, as in lm-evaluation-harness' `arc_challenge_chat` (pull request
2829); choice.py says how it is read. Labels "1".."4" become A..D, in the prompt too, and rows with three or five
choices are kept, each with its own letters. Not covered: option likelihoods (`arc_challenge`), whose scores are not
comparable with these.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from pada_graph.state import Row
from pada_graph.tasks.base import Task, Verdict, text_field
from pada_graph.tasks.choice import LETTERS, choice_question, judge_letter, letter_field, listed, texts_field


class ArcChallenge(Task):
    """Rows: {"question", "choices": [texts], "answer": letter}."""

    name = "arc_challenge"
    hub = ("allenai/ai2_arc", "ARC-Challenge")
    chance = 0.25
    max_new_tokens = 64  # the letter is one or two; an untuned model writes a sentence
    stop = ("\n\n", "Question:")
    generated_fields: ClassVar[dict[str, str]] = {
        "question": "the question, without the choices",
        "choices": "a JSON array with the text of each choice, without letters; exactly one of them is correct",
        "answer": "the letter of the correct choice: A for the first choice, B for the second, and so on",
    }

    def parse(self, raw: Mapping[str, Any]) -> Row:
        """Make a row from the hub's layout (choices.text, choices.label, answerKey) or from a row's own fields.

        Raises:
            ValueError: names the field and what is wrong with it.
        """
        question = text_field(raw, "question").strip()
        hub_choices = raw.get("choices")
        if not isinstance(hub_choices, Mapping):
            choices = texts_field(raw, "choices")
            return {"question": question, "choices": choices, "answer": letter_field(raw, "answer", len(choices))}
        choices = texts_field(hub_choices, "text")
        labels = hub_choices.get("label")
        if not isinstance(labels, list) or len(labels) != len(choices):
            raise ValueError('field "choices.label" must be a list with one label for each text')
        key = text_field(raw, "answerKey")
        if labels.count(key) != 1:
            raise ValueError(f'field "answerKey" must be one of the labels {labels}, but is {key!r}')
        return {"question": question, "choices": choices, "answer": LETTERS[labels.index(key)]}

    def prompt(self, row: Row) -> str:
        """Question, choices, and what to answer with."""
        return (
            f"Question: {row['question']}\n{listed(row['choices'])}\n\n"
            "Answer with the letter of the correct choice alone.\nAnswer:"
        )

    def target(self, row: Row) -> str:
        """The letter alone."""
        return str(row["answer"])

    def score(self, output: str, row: Row) -> Verdict:
        """Compare the letter read from the output with the correct one; "numbered" rows were prompted with numbers."""
        return judge_letter(output, LETTERS[: len(row["choices"])], row["answer"], row.get("numbered", False))

    def question(self, row: Row) -> str:
        """Question and choices."""
        return choice_question(row, "question", "choices")
