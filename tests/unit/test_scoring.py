"""`pada-graph score`: golds of every task, order, and errors by line."""

import json
import shutil
from pathlib import Path

import pytest

from pada_graph.errors import InputError
from pada_graph.scoring import score_lines

CASES = [json.loads(line) for line in (Path(__file__).parents[1] / "data" / "score_cases.jsonl").open(encoding="utf-8")]
needs_sandbox = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=[needs_sandbox] if case["task"] == "humaneval" else [], id=f"{number}-{case['why']}")
        for number, case in enumerate(CASES, 1)
    ],
)
def test_a_case_of_the_table_is_scored_right(case):
    (result,) = score_lines([json.dumps({key: case[key] for key in ("task", "output", "gold")})], "case")
    assert result["correct"] is case["correct"]
    assert result["parsed"] == case.get("parsed", result["parsed"])
    assert bool(result["reason"]) != result["correct"]


def test_blank_lines_are_passed_over():
    good = '{"task": "gsm8k", "output": "1", "gold": "1"}\n'
    assert len(list(score_lines(["\n", good, "  \n", good], "f"))) == 2


def test_a_published_solution_as_gold_may_begin_with_a_number():
    (result,) = score_lines([json.dumps({"task": "gsm8k", "output": "#### 18", "gold": "3 bags\n#### 18"})], "f")
    assert result["correct"]


def test_the_table_covers_every_task_both_ways_and_repeats_nothing():
    assert len(CASES) >= 170
    assert {(case["task"], case["correct"]) for case in CASES} == {
        (task, correct)
        for task in ("arc_challenge", "hellaswag", "gsm8k", "squad", "humaneval")
        for correct in (True, False)
    }
    assert len({json.dumps([case["task"], case["output"], case["gold"]]) for case in CASES}) == len(CASES)


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


@needs_sandbox
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
        ('{"task": "gsm8k", "output": null, "gold": "1"}', ': field "output" must be a string. Mend'),
        ('{"task": "gsm8k", "output": "1"}', ': field "gold" is missing. Mend'),
        (
            '{"task": "gsm8k", "output": "1", "gold": "one"}',
            ': field "gold" must be a number, or the published answer that ends with "#### N". Mend',
        ),
        ('{"task": "squad", "output": "1", "gold": "one"}', ': field "gold" must be a list'),
        ('{"task": "squad", "output": "1", "gold": []}', "at least one accepted answer, all strings. Mend"),
        ('{"task": "arc_challenge", "output": "A", "gold": "A"}', ': field "gold" must be an object. Mend'),
        ('{"task": "arc_challenge", "output": "A", "gold": {"answer": "C", "choices": ["x", "y"]}}', "letters A, B"),
        ('{"task": "arc_challenge", "output": "A", "gold": {"answer": "3", "choices": ["x", "y"]}}', "letters A, B"),
        ('{"task": "arc_challenge", "output": "A", "gold": {"answer": "A", "choices": {}}}', "list of strings"),
        (
            '{"task": "arc_challenge", "output": "A", "gold": {"answer": "A", "choices": {"text": "x"}}}',
            '"text" must be',
        ),
        ('{"task": "hellaswag", "output": "A", "gold": {"answer": "C", "choices": ["x", "y"]}}', "letters A, B"),
        ('{"task": "hellaswag", "output": "A", "gold": {"answer": "1", "choices": ["x", "y"]}}', "letters A, B"),
        ('{"task": "humaneval", "output": "A", "gold": {"prompt": "x"}}', 'field "entry_point" must be a string'),
        ('{"task": "gsm8k", "output": "\\ud83d", "gold": "1"}', "lone surrogate"),
    ],
)
def test_a_bad_line_is_named_by_file_and_number_before_anything_is_scored(line, message):
    good = '{"task": "gsm8k", "output": "1", "gold": "1"}\n'
    results = score_lines([good, line], "out.jsonl")
    with pytest.raises(InputError) as error:
        next(results)
    assert str(error.value).startswith("out.jsonl, line 2: ")
    assert message in str(error.value)
