"""Answer verification (`quality.verify_answers`, off by default: not in the paper).

A verifiable task need not trust a rating: the judge answers each synthetic question without seeing its answer, and the
task's own Fail compares the two. Where they disagree one of them is wrong, and the sample is a fault with feedback.
HumanEval needs no judge for this: its samples have passed their own tests in the sandbox before they get here.
"""

from collections.abc import Sequence

from pydantic import BaseModel, Field

from pada_graph.nodes.grading import verdict
from pada_graph.nodes.run import Run
from pada_graph.state import BatchState, Draft
from pada_graph.teacher.ask import ask_items

LONGEST = 80  # characters of an answer in the feedback


class AnswerReply(BaseModel):
    """The judge's own answer to one synthetic question."""

    sample_id: str
    answer: str = Field(min_length=1, coerce_numbers_to_str=True)


def verify_answers(state: BatchState, run: Run, drafts: list[Draft]) -> list[Draft]:
    """Mark the usable drafts whose answer the judge does not arrive at by itself."""
    rows = {
        f"s{number}": draft["row"]
        for number, draft in enumerate(drafts, start=1)
        if draft["fate"] == "ok" and draft["row"] is not None
    }

    def prompt(ids: Sequence[str]) -> str:
        questions = [{"sample_id": id_, "question": run.task.prompt(rows[id_])} for id_ in ids]
        return run.render("answer_verification", questions=questions)

    plan = state["plan"]
    item = f"t{plan['iteration']}/verify_answers/{plan['batch_id']}"
    replies = ask_items(
        run.services.teacher,
        "judge",
        item=item,
        attempt=state["attempt"],
        ids=list(rows),
        prompt=prompt,
        schema=AnswerReply,
    )
    verified: list[Draft] = []
    for number, draft in enumerate(drafts, start=1):
        row = rows.get(f"s{number}")
        reply = replies.found.get(f"s{number}")
        grade = f"{item}/s{number}/grade"
        if row is None or (reply and verdict(run, row, reply.answer, grade).correct):
            verified.append(draft)
        else:
            verified.append({**draft, "fate": "failed", "fault": _disagreement(reply)})
    return verified


def _disagreement(reply: AnswerReply | None) -> str:
    if reply is None:
        return "a second look could not answer it; ask something clear that has one answer"
    answer = reply.answer if len(reply.answer) <= LONGEST else f"{reply.answer[:LONGEST]}..."
    return f"a second look at the question alone gave the answer {answer!r}; check the answer, or ask more clearly"
