"""`pada-graph score`: golds of every task, order, and errors by line."""

import json
import shutil

import pytest

from pada_graph.errors import InputError
from pada_graph.scoring import score_lines


def _lines(*records):
    return [json.dumps(record) + "\n" for record in records]


def test_every_tasks_gold_is_scored_in_order():
    choices = ["oak", "iron", "wool"]
    lines = _lines(
        {"task": "arc_challenge", "output": "B", "gold": {"answer": "B", "choices": choices}},
        {"task": "hellaswag", "output": "The answer is C", "gold": {"answer": "A", "choices": choices}},
        {"task": "gsm8k", "output": "so 1,200", "gold": "1200"},
        {"task": "gsm8k", "output": "none", "gold": "It is\n#### 1,200"},
        {"task": "squad", "output": "the Oregon.", "gold": ["Texas", "Oregon"]},
    )
    results = list(score_lines([*lines, "\n"], "f.jsonl"))
    assert [result["correct"] for result in results] == [True, False, True, False, True]
    assert [result["parsed"] for result in results] == ["B", "C", "1200", None, "the Oregon."]
    assert results[1]["reason"] == "chose C, but the correct choice is A"
    assert list(results[0]) == ["correct", "parsed", "reason"]


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
def test_humaneval_runs_the_gold_tests():
    gold = {
        "task_id": "x",
        "prompt": 'def one():\n    """Return 1."""\n',
        "entry_point": "one",
        "test": "def check(candidate):\n    assert candidate() == 1\n",
    }
    lines = _lines(*({"task": "humaneval", "output": f"    return {value}", "gold": gold} for value in (1, 2)))
    assert [result["correct"] for result in score_lines(lines, "f")] == [True, False]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not valid JSON"),
        ("[1]", "found a JSON list"),
        ('{"task": "x", "output": "", "gold": ""}', 'field "task" must be one of arc_challenge, hellaswag, gsm8k'),
        ('{"output": "", "gold": ""}', 'field "task" must be a string, but is missing'),
        ('{"task": "gsm8k", "output": null, "gold": "1"}', 'field "output" must be a string'),
        ('{"task": "gsm8k", "output": "1"}', 'field "gold" is missing'),
        ('{"task": "gsm8k", "output": "1", "gold": "one"}', 'field "gold" must be a number, or the published answer'),
        ('{"task": "squad", "output": "1", "gold": "one"}', 'field "gold" must be a list'),
        ('{"task": "squad", "output": "1", "gold": []}', "at least one accepted answer"),
        ('{"task": "arc_challenge", "output": "A", "gold": "A"}', 'field "gold" must be an object'),
        ('{"task": "arc_challenge", "output": "A", "gold": {"answer": "C", "choices": ["x", "y"]}}', "letters A, B"),
        ('{"task": "humaneval", "output": "A", "gold": {"prompt": "x"}}', 'field "entry_point" must be a string'),
        ('{"task": "gsm8k", "output": "\\ud83d", "gold": "1"}', "lone surrogate"),
    ],
)
def test_a_bad_line_is_named_by_file_and_number(line, message):
    good = '{"task": "gsm8k", "output": "1", "gold": "1"}\n'
    results = score_lines([good, line], "out.jsonl")
    assert next(results)["correct"]
    with pytest.raises(InputError) as error:
        next(results)
    assert str(error.value).startswith("out.jsonl, line 2: ")
    assert message in str(error.value)
