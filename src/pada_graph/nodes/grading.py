"""Answers in words of one's own (`data.match: judge`; A.1: "evaluations can be conducted with LLM-as-a-judge").

The judge sees the question, the reference and one answer, and nothing of the run: an answer's grade does not depend on
which others there are. Each call is named by its row, so the journal answers when a later model says the same again.
"""

from dataclasses import replace

from pydantic import BaseModel

from pada_graph.nodes.run import Run
from pada_graph.state import Row
from pada_graph.tasks.base import Verdict
from pada_graph.teacher.ask import ask_object

UNGRADED = "no verdict: the judge gave no usable reply"


class Grade(BaseModel):
    """The judge's verdict on one answer."""

    comparison: str = ""
    correct: bool


def verdict(run: Run, row: Row, output: str, item: str) -> Verdict:
    """Not Fail(y-hat, y, x): the task's own rule and, where that finds an open answer wrong, the judge.

    An output without a readable answer is wrong by itself. One that the judge does not grade (refused, malformed three
    times) is wrong too, and counts among the unparsed ones. The measure "exact" is what the rule alone would count.

    Args:
        run: whose task and judge.
        row: x and y.
        output: y-hat.
        item: names the question in the journal.

    Raises:
        StoppedError: the judge's provider failed for good, or a limit was met.
    """
    found = run.task.score(output, row)
    if not run.grades_answers:
        return found
    measures = {**found.measures, "exact": float(found.correct)}
    if found.correct or found.parsed is None:
        return replace(found, measures=measures)
    graded = {"question": run.task.prompt(row), "reference_answer": run.task.target(row), "answer": output.strip()}
    prompt = run.render("answer_grading", graded=graded)
    grade = ask_object(run.services.teacher, "judge", item=item, prompt=prompt, schema=Grade)
    if grade is None:
        return Verdict(False, None, UNGRADED, measures)
    return Verdict(grade.correct, found.parsed, "" if grade.correct else grade.comparison or found.reason, measures)


def grading_notes(run: Run) -> list[str]:
    """What a reader of the scores should know where a judge had a part in them."""
    if not run.grades_answers:
        return []
    return [
        f"an answer in other words than the reference's is right where {run.config.models.judge.model} says so "
        '(data.match: judge); the measure "exact" counts the others alone. Read some of its verdicts, in '
        "predictions_*.jsonl, before you trust the accuracies"
    ]
