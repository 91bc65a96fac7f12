"""What AugGPT changes of a row, and what it leaves."""

from typing import get_args

import pytest

from pada_graph.config import TaskName
from pada_graph.tasks import get_task

HEAD = 'def double(x: int) -> int:\n    """{}"""\n'
ROW = {
    "id": "HumanEval/0",
    "prompt": HEAD.format("Return twice x."),
    "entry_point": "double",
    "canonical_solution": "    return 2 * x\n",
    "test": "def check(candidate):\n    assert candidate(2) == 4\n",
}


@pytest.mark.parametrize("name", get_args(TaskName))
def test_the_reworded_field_is_one_that_the_generator_knows(name):
    task = get_task(name)
    assert task.reworded in task.generated_fields


def test_all_but_the_question_stays():
    task = get_task("arc_challenge")
    seed = task.parse(
        {"question": "Why is the sky blue?", "choices": {"text": ["a", "b"], "label": ["A", "B"]}, "answerKey": "B"}
    )
    row = task.reword({"id": "x", **seed}, " What makes the sky look blue? ")
    assert row == {**seed, "question": "What makes the sky look blue?"}
    assert task.target(row) == "B"


def test_humaneval_keeps_its_code():
    task = get_task("humaneval")
    row = task.reword(ROW, HEAD.format("Give back x times two."))
    assert row["prompt"] == HEAD.format("Give back x times two.") and "id" not in row
    assert {key: row[key] for key in ("entry_point", "canonical_solution", "test")} == {
        key: ROW[key] for key in ("entry_point", "canonical_solution", "test")
    }


@pytest.mark.parametrize(
    "head",
    [
        'def twice(x: int) -> int:\n    """Return twice x."""\n',
        'def double(x: int, y: int) -> int:\n    """Return twice x."""\n',
        'import os\ndef double(x: int) -> int:\n    """Return twice x."""\n',
        'def double(x: int) -> int:\n    """Return twice x."""\n    return 2 * x\n',
        "def double(x: int) -> int:\n",
    ],
)
def test_humaneval_refuses_a_head_whose_code_changed(head):
    with pytest.raises(ValueError, match="prompt"):
        get_task("humaneval").reword(ROW, head)
