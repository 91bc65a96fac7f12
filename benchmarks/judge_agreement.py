"""How far a judge's grading of open answers (data.match: judge) agrees with people.

Run: python benchmarks/judge_agreement.py FOLDER OUT --base-url URL [--model openai:NAME] [--count N] [--seed N]

FOLDER holds SQuAD 1.1's validation.jsonl[.gz], whose questions were answered by several people. The reference is the
first answer. Right answers are another person's, in words that the exact rule does not accept; wrong ones are accepted
answers to another question on the same passage that share no word with this one's. Each is graded by one call with
prompts/answer_grading.txt. Prints every verdict that goes against the people, and the shares with Wilson 95 %
intervals. The calls are kept in OUT, and the same command asks none of them again.
"""

import argparse
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from pada_graph.config import Limits, Model, Models
from pada_graph.nodes.grading import Grade
from pada_graph.prompts import render
from pada_graph.sources import read_source
from pada_graph.tasks.jsonl import Jsonl
from pada_graph.tasks.squad import Squad
from pada_graph.teacher.ask import ask_object
from pada_graph.teacher.journaled import JournaledTeacher


@dataclass(frozen=True)
class Case:
    """One answer, and what people say of it."""

    id: str
    question: str  # the whole prompt
    reference: str
    answer: str
    right: bool


def cases(rows: list[dict[str, Any]], count: int, seed: int) -> list[Case]:
    """`count` right and as many wrong answers, a question each."""
    order = random.Random(seed).sample(rows, len(rows))
    found: dict[bool, list[Case]] = {True: [], False: []}
    used: set[str] = set()
    for right in (True, False):
        for row in order:
            if len(found[right]) == count:
                break
            answers = list(_others(row)) if right else list(_foreign(row, rows))
            if answers and row["id"] not in used:
                used.add(row["id"])
                reference = row["answers"]["text"][0]
                found[right].append(Case(row["id"], Squad().prompt(Squad().parse(row)), reference, answers[0], right))
    return found[True] + found[False]


def _others(row: dict[str, Any]) -> Iterator[str]:
    """Answers of other people in words that the exact rule does not accept."""
    reference, *others = row["answers"]["text"]
    rule, truth = Jsonl("judge"), {"answer": reference}
    return (answer for answer in others if not rule.score(answer, truth).correct)


def _foreign(row: dict[str, Any], rows: list[dict[str, Any]]) -> Iterator[str]:
    """Answers to other questions on the passage that share no word with this one's."""
    own = {word for answer in row["answers"]["text"] for word in answer.lower().split()}
    for other in rows:
        if other["context"] == row["context"] and other["id"] != row["id"]:
            answer = other["answers"]["text"][0]
            if not own & set(answer.lower().split()) and not any(answer in text for text in row["answers"]["text"]):
                yield answer


def graded(teacher: JournaledTeacher, case: Case) -> bool | None:
    """The judge's verdict; None where it gave none."""
    shown = {"question": case.question, "reference_answer": case.reference, "answer": case.answer}
    prompt = render("answer_grading", graded=shown)
    grade = ask_object(teacher, "judge", item=f"agreement/grade/{case.id}", prompt=prompt, schema=Grade)
    return None if grade is None else grade.correct


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path, help="folder for the calls' journal")
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--model", default="openai:judge")
    parser.add_argument("--count", type=int, default=50, help="right answers, and as many wrong ones")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rows = [dict(record) for _, _, record in read_source(Squad(), str(given.folder), "validation")]
    given.out.mkdir(parents=True, exist_ok=True)
    judge = Model.model_validate({"model": given.model, "base_url": given.base_url, "api_key": "none", "timeout": 1800})
    limits = Limits(concurrency=4)
    teacher = JournaledTeacher(Models(judge=judge), limits, given.out / "teacher_calls.sqlite", ("judge",))
    asked = cases(rows, given.count, given.seed)
    with ThreadPoolExecutor(limits.concurrency) as pool:
        verdicts = list(pool.map(lambda case: graded(teacher, case), asked))
    teacher.close()
    for case, verdict in zip(asked, verdicts, strict=True):
        if verdict is not case.right:
            said = {True: "correct", False: "incorrect", None: "no verdict"}[verdict]
            question = next(line for line in case.question.splitlines() if line.startswith("Question"))
            print(f"{case.id} {said}: {question!r} reference {case.reference!r}, answer {case.answer!r}")
    for right, words in ((True, "right, in other words"), (False, "wrong")):
        found = [verdict for case, verdict in zip(asked, verdicts, strict=True) if case.right is right]
        agreed = sum(verdict is right for verdict in found)
        low, high = binomtest(agreed, len(found)).proportion_ci(method="wilson")
        none = sum(verdict is None for verdict in found)
        print(f"{words}: {agreed} of {len(found)} graded so ({agreed / len(found):.0%}, {low:.0%} to {high:.0%}), "
              f"{none} without a verdict")  # fmt: skip


if __name__ == "__main__":
    main()
