"""The public data sets, where they are at hand: every row parses, and its own target is correct."""

import gzip
import json
from pathlib import Path

import pytest

from pada_graph.config import Data
from pada_graph.data import load_splits
from pada_graph.tasks import get_task

DATA = Path(__file__).parents[2].parent / "shared" / "data"
FILES = [
    ("arc_challenge", "train", 1119),
    ("arc_challenge", "validation", 299),
    ("arc_challenge", "test", 872),
    ("gsm8k", "train", 7473),
    ("gsm8k", "test", 1019),
    ("hellaswag", "train", 6000),
    ("hellaswag", "validation", 10042),
    ("squad", "train", 6000),
    ("squad", "validation", 4000),
]
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not here")


def _rows(name, file):
    with gzip.open(DATA / name / f"{file}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [get_task(name).parse(json.loads(line)) for line in lines]


@pytest.mark.parametrize(("name", "file", "count"), FILES)
def test_every_rows_own_target_is_correct(name, file, count):
    task = get_task(name)
    rows = _rows(name, file)
    assert len(rows) == count
    assert [row for row in rows if not task.score(task.target(row), row).correct] == []
    assert all(set(task.example(row)) >= set(task.generated_fields) for row in rows)


@pytest.mark.parametrize("file", ["train", "test"])
def test_every_published_gsm8k_solution_is_correct_for_itself_in_the_strict_form(file):
    task = get_task("gsm8k")
    with gzip.open(DATA / "gsm8k" / f"{file}.jsonl.gz", "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    verdicts = [task.score(record["answer"], task.parse(record)) for record in records]
    assert {(verdict.correct, verdict.measures["strict"]) for verdict in verdicts} == {(True, 1.0)}


@pytest.mark.parametrize(
    "form", ["{}. {}", "({}) {}", "{}: {}", "{}, {}", "The answer is {}. {}", "**Answer: {})** {}"]
)
@pytest.mark.parametrize(("name", "options"), [("arc_challenge", "choices"), ("hellaswag", "endings")])
def test_a_letter_is_read_whatever_text_of_its_option_follows(name, options, form):
    task = get_task(name)
    for row in _rows(name, "validation")[:2000]:
        output = form.format(row["answer"], row[options][ord(row["answer"]) - ord("A")])
        assert task.score(output, row).correct, output


@pytest.mark.parametrize(("name", "options"), [("arc_challenge", "choices"), ("hellaswag", "endings")])
def test_the_text_of_an_option_is_read_as_no_letter(name, options):
    task = get_task(name)
    assert {task.score(text, row).parsed for row in _rows(name, "validation")[:2000] for text in row[options]} == {None}


def test_humaneval_targets_pass_their_tests_and_bare_prompts_do_not():
    pytest.importorskip("shutil").which("bwrap") or pytest.skip("bubblewrap is not installed")
    task = get_task("humaneval")
    rows = _rows("humaneval", "test")
    assert len(rows) == 164
    for row in rows[::17]:
        assert task.score(task.target(row), row).reason == ""
        assert not task.score(f"```python\n{row['prompt']}```", row).correct


@pytest.mark.parametrize(
    ("name", "train", "validation", "test"),
    [
        ("arc_challenge", 1000, 298, 500),  # of 299: one nearly repeats a test row,
        ("gsm8k", 1000, 500, 500),
        ("hellaswag", 1000, 500, 500),
        ("squad", 1000, 500, 500),
        ("humaneval", 99, 32, 32),  # of 164: HumanEval/56 and /61 are nearly the same
    ],
)
def test_the_papers_sizes_load_and_nest(name, train, validation, test):
    task = get_task(name)
    sizes = {"validation_size": validation, "test_size": test, "overlap": "drop"}
    whole = load_splits(task, Data(source=str(DATA / name), train_size=train, **sizes))
    part = load_splits(task, Data(source=str(DATA / name), train_size=train // 3, **sizes))
    assert {split: len(rows) for split, rows in whole.items()} == {
        "train": train,
        "validation": validation,
        "test": test,
    }
    assert part["train"] == whole["train"][: train // 3]
    assert part["validation"] == whole["validation"]
    assert part["test"] == whole["test"]
    groups = [{task.group(row) for row in rows} - {None} for rows in whole.values()]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
