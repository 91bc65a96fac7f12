"""The user's own rows under each way of comparing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pada_graph.tasks import get_task
from pada_graph.tasks.jsonl import Jsonl


@pytest.mark.parametrize("output", ["Paris", "paris.", "  PARIS \n", "Paris ."])
def test_exact_ignores_case_space_and_a_final_full_stop(output):
    assert Jsonl("exact").score(output, {"prompt": "Capital?", "answer": "Paris."}).correct


@pytest.mark.parametrize("output", ["Paris!", "It is Paris", "Paris..", ""])
def test_exact_forgives_nothing_else(output):
    assert not Jsonl("exact").score(output, {"prompt": "Capital?", "answer": "Paris"}).correct


def test_an_exact_verdict_names_what_was_said_and_what_is_right():
    row = Jsonl().parse({"prompt": "Capital of France?", "answer": " Paris "})
    assert row == {"prompt": "Capital of France?", "answer": "Paris"}
    assert Jsonl().prompt(row) == Jsonl().question(row) == row["prompt"]
    right, wrong, empty = (Jsonl().score(output, row) for output in (" paris", " New  York ", " "))
    assert (right.parsed, right.reason) == ("paris", "")
    assert (wrong.parsed, wrong.reason) == ("New  York", "the correct answer is 'Paris'")
    assert (empty.parsed, empty.reason) == (None, "format error: the output is empty")
    assert Jsonl().score("new york", {"prompt": "?", "answer": "New  York"}).correct


def test_exact_does_not_take_a_full_stop_for_nothing():
    assert Jsonl().score(".", {"prompt": "Which sign?", "answer": "."}).correct
    assert Jsonl().score(" ", {"prompt": "Which sign?", "answer": "."}).parsed is None


def test_number_compares_values_and_takes_json_numbers():
    task = get_task("jsonl", "number")
    row = task.parse({"prompt": "2.5 * 2?", "answer": 5})
    assert row == {"prompt": "2.5 * 2?", "answer": "5"}
    assert task.score("That makes $5.00", row).correct
    assert task.score("-5", row).parsed == "-5"
    assert task.score("1200", task.parse({"prompt": "?", "answer": "$1,200"})).correct
    assert task.target(row) == "5"


@pytest.mark.parametrize(
    ("answer", "meant"), [("3,5", "3.5"), ("1,2345", "1.2345"), ("1,23,456", "123456"), ("0,1.5", "01.5")]
)
def test_a_comma_that_is_no_thousands_separator_is_refused_with_what_is_meant(answer, meant):
    with pytest.raises(ValueError, match=f'"{answer}" has a comma that is no thousands separator; write {meant}'):
        get_task("jsonl", "number").parse({"prompt": "?", "answer": answer})


@pytest.mark.parametrize("answer", ["1,200", "$12,345,678.90", "-3,500"])
def test_thousands_separators_stay(answer):
    assert get_task("jsonl", "number").parse({"prompt": "?", "answer": answer})["answer"] == answer


def test_choice_reads_the_letter():
    task = get_task("jsonl", "choice")
    row = task.parse({"prompt": "A. oak B. iron?", "answer": "b."})
    assert row == {"prompt": "A. oak B. iron?", "answer": "B"}
    assert task.score("The answer is B.", row).correct
    assert not task.score("iron", row).correct
    assert task.score("B, I think", row).correct
    assert task.score("The answer is I think iron. The answer is B.", row).correct
    assert task.score("The answer is X rays", task.parse({"prompt": "A to Z?", "answer": "X"})).correct
    assert task.score("The answer is I.", task.parse({"prompt": "A to J?", "answer": "I"})).correct


@pytest.mark.parametrize(
    ("match", "record", "message"),
    [
        ("exact", {"answer": "x"}, 'field "prompt" must be a string, but is missing'),
        ("exact", {"prompt": "p", "answer": 5}, 'field "answer" must be a string, but is of type int'),
        ("number", {"prompt": "p", "answer": "five"}, "must be one number (data.match is \"number\"), but is 'five'"),
        ("number", {"prompt": "p", "answer": True}, 'field "answer" must be a string, but is of type bool'),
        ("choice", {"prompt": "p", "answer": "BC"}, "one of the letters A, B"),
    ],
)
def test_a_bad_row_is_refused_by_field(match, record, message):
    with pytest.raises(ValueError, match="field") as error:
        Jsonl(match).parse(record)
    assert message in str(error.value)


@given(st.text(), st.text(min_size=1), st.sampled_from(["exact", "number", "choice"]))
def test_scoring_never_raises_and_targets_are_correct(output, answer, match):
    task = Jsonl(match)
    try:
        row = task.parse({"prompt": "p", "answer": answer})
    except ValueError:
        return
    assert task.score(output, row).correct in (True, False)
    assert task.score(task.target(row), row).correct


def test_a_generated_row_is_checked_like_a_real_one():
    task = Jsonl("number")
    fields = {"prompt": "2+2?", "answer": "4"}
    assert task.variant(fields, {"id": "s", "prompt": "1+1?", "answer": "2"}) == fields
    assert task.example({"id": "s", **fields}) == fields
