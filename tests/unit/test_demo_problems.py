"""The demo's word problems, its data set and its task."""

import random
from collections import Counter
from pathlib import Path

import pytest

from pada_graph.config_file import load_config
from pada_graph.demo.data import COMMON, RARE, demo_rows
from pada_graph.demo.problems import KINDS, make_problem, recognise
from pada_graph.leakage import normalise
from pada_graph.tasks import get_task


@pytest.mark.parametrize("kind", KINDS)
def test_recognise_inverts_make_problem(kind: str) -> None:
    for seed in range(300):
        made = make_problem(kind, random.Random(f"{kind} {seed}"))
        problem = recognise(made["question"])
        assert problem is not None
        assert (problem.kind, problem.answer) == (kind, made["answer"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_of_a_problem_stand_in_its_question_in_order(kind: str) -> None:
    question = make_problem(kind, random.Random(3))["question"]
    problem = recognise(question)
    assert problem is not None
    assert [int(word.strip(",.")) for word in question.split() if word.strip(",.").isdigit()] == list(problem.numbers)


def test_every_phrasing_is_recognised_as_its_own_kind() -> None:
    for kind in KINDS.values():
        for phrasing in kind.phrasings:
            question = phrasing.format(who="Uma", other="Vic", things="beads", x=14, y=3)
            problem = recognise(question)
            assert problem is not None
            assert (problem.kind, problem.numbers, problem.things) == (kind.name, (14, 3), "beads")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Ann has 3 apples and Ben has 4. How many apples do they have together?", "3 + 4 = 7\n#### 7"),
        ("Ann had 9 apples and lost 4. How many apples are left?", "9 - 4 = 5\n#### 5"),
        ("Ann lost 4 apples and has 5 left. How many apples were there before?", "4 + 5 = 9\n#### 9"),
        ("Ann has 9 apples, 4 more than Ben. How many apples does Ben have?", "9 - 4 = 5\n#### 5"),
        ("Ann doubles 4 apples and loses 3. How many apples are left?", "4 + 4 = 8, 8 - 3 = 5\n#### 5"),
        ("Ann has 3 apples, Ben has 2 more than Ann. How many apples do both have?", "3 + 2 = 5, 3 + 5 = 8\n#### 8"),
    ],
)
def test_answers_worked_out_by_hand(question: str, answer: str) -> None:
    problem = recognise(question)
    assert problem is not None
    assert problem.answer == answer


@pytest.mark.parametrize(
    "question",
    [
        "",
        "What is the capital of France?",
        "Ann has 3 apples and Ben has 4. How many pears do they have together?",  # other things are asked for
        "Ann has three apples and Ben has 4. How many apples do they have together?",
        "Ann has 3 apples and Ben has 4. How many apples do they have together? Why?",
    ],
)
def test_other_questions_are_not_recognised(question: str) -> None:
    assert recognise(question) is None


def test_answers_are_never_negative_and_stay_small() -> None:
    for kind in KINDS:
        results = [recognise(make_problem(kind, random.Random(seed))["question"]) for seed in range(300)]
        assert all(problem is not None and 1 <= problem.result <= 30 for problem in results)


def test_train_has_the_planted_gap_and_the_other_splits_are_balanced() -> None:
    counts = {split: Counter(_kind(row["question"]) for row in rows) for split, rows in demo_rows().items()}
    assert min(counts["train"][kind] for kind in COMMON) >= 5 * max(counts["train"][kind] for kind in RARE)
    assert all(counts["train"][kind] > 0 for kind in RARE)
    for split in ("validation", "test"):
        assert set(counts[split]) == set(KINDS)
        assert len(set(counts[split].values())) == 1


def test_the_example_config_uses_all_rows() -> None:
    data = load_config(Path(__file__).parents[2] / "examples" / "demo.yaml").data
    sizes = {"train": data.train_size, "validation": data.validation_size, "test": data.test_size}
    assert sizes == {split: len(rows) for split, rows in demo_rows().items()}


def test_no_question_stands_twice() -> None:
    questions = [normalise(row["question"]) for rows in demo_rows().values() for row in rows]
    assert len(questions) == len(set(questions))


def test_rows_are_parsed_and_their_own_targets_are_right() -> None:
    task = get_task("demo")
    for rows in demo_rows().values():
        for raw in rows:
            row = task.parse(raw)
            assert task.prompt(row) == raw["question"]
            assert task.score(task.target(row), row).correct


def test_ids_are_unique() -> None:
    ids = [row["id"] for rows in demo_rows().values() for row in rows]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("output", "correct", "parsed"),
    [
        ("3 + 4 = 7\n#### 7", True, "7"),
        ("It is 7.", True, "7"),
        ("3 + 4 = 8\n#### 8", False, "8"),
        ("3 + 4 = 7\n#### 8", False, "8"),
        ("I do not know", False, None),
        ("", False, None),
    ],
)
def test_scoring_compares_the_final_number(output: str, correct: bool, parsed: str | None) -> None:
    verdict = get_task("demo").score(output, {"question": "q", "answer": "3 + 4 = 7\n#### 7"})
    assert (verdict.correct, verdict.parsed) == (correct, parsed)
    assert bool(verdict.reason) is not correct


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        ({"question": "q"}, '"answer"'),
        ({"question": " ", "answer": "#### 1"}, '"question"'),
        ({"question": "q", "answer": "7"}, "####"),
        ({"question": "q", "answer": "#### seven"}, "####"),
        ({"question": "q", "answer": "#### 7\nand more"}, "####"),
    ],
)
def test_bad_records_are_refused_by_name(raw: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        get_task("demo").parse(raw)


def _kind(question: str) -> str:
    problem = recognise(question)
    assert problem is not None
    return problem.kind
