"""GSM8K and the reading of numbers."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pada_graph.tasks.gsm8k import Gsm8k
from pada_graph.tasks.number import exact_number, read_number

GSM = Gsm8k()
HUB = {
    "question": "Ann has 3 bags of 6 eggs. How many eggs?",
    "answer": "There are 3*6=<<3*6=18>>18 eggs.\n#### 18",
}


@pytest.mark.parametrize(
    ("output", "number"),
    [
        ("3*6=18\n#### 18", "18"),
        ("####18", "18"),
        ("#### $1,234.50", "1234.50"),
        ("#### -5", "-5"),
        ("#### \u22125", "-5"),
        ("#### -$5", "-5"),
        ("#### $-5", "-5"),
        ("**#### 18**", "18"),
        ("#### **18**", "18"),
        ("#### $\\boxed{18}$", "18"),
        ("#### 18\n#### 19", "18"),
        ("#### 18 dollars, not 20", "18"),
        ("#### Step 1: multiply\n#### 20", "20"),
        ("#### 18\nQuestion: Ben has 2.\n#### 2", "18"),
        ("first \\boxed{5}, then \\boxed{\\$1{,}200}, so 7", "1200"),
        ("\\boxed{x = 18}", "18"),
        ("\\boxed{18\\text{ eggs}}", "18"),
        ("The answer is 5. No: the answer is 18, from 20.", "18"),
        ("Answer: $18.00", "18.00"),
        ("It is 36/2 = 18 eggs.", "18"),
        ("10-5", "5"),
        ("10 - 5", "5"),
        ("(-4)", "-4"),
        ("12,345,678.", "12345678"),
        ("1, 2, 3", "3"),
        ("half is .5", ".5"),
    ],
)
def test_the_stated_number_is_read(output, number):
    assert read_number(output) == number


@pytest.mark.parametrize(
    "output",
    [
        "",
        "none",
        "#### eighteen",
        "18 eggs\n#### 3/4",
        "#### 3 1/2",
        "the answer is 3/4",
        "\\boxed{\\frac{1}{2}}",
        "7 \\boxed{}",
    ],
)
def test_an_unreadable_or_fractional_statement_is_unparsed(output):
    assert read_number(output) is None


@pytest.mark.parametrize("output", ["#### 18", "#### 18.00", "#### $18", "so it is 18", "\\boxed{18}"])
def test_equal_numbers_are_equal_however_they_are_written(output):
    assert GSM.score(output, GSM.parse(HUB)).correct


def test_verdicts_name_both_numbers():
    wrong, unread = GSM.score("#### 1,800", GSM.parse(HUB)), GSM.score("many", GSM.parse(HUB))
    assert (wrong.correct, wrong.parsed) == (False, "1800")
    assert wrong.reason == "final answer 1800, but the correct answer is 18"
    assert (unread.correct, unread.parsed) == (False, None)


def test_the_target_has_no_calculator_annotations_and_a_plain_number():
    row = GSM.parse(HUB)
    assert GSM.target(row) == "There are 3*6=18 eggs.\n#### 18"
    assert GSM.parse({**HUB, "answer": "It is\n#### $1,200."})["answer"] == "It is\n#### 1200"
    assert "Ann has 3 bags" in GSM.prompt(row)


@pytest.mark.parametrize(
    "answer",
    ["18", "It is\n#### 18 eggs", "It is\n#### 3/4", "It is\n####", "#### 5\nso\n#### 18", "So\nQuestion: x\n#### 18"],
)
def test_an_answer_whose_number_could_be_misread_is_refused(answer):
    with pytest.raises(ValueError, match='field "answer" must'):
        GSM.parse({**HUB, "answer": answer})


def test_a_generated_answer_is_normalised_only_where_it_is_plain():
    row = GSM.variant({"question": "Q?", "answer": "3*6=18\n**The final answer is $18.**"}, {})
    assert row["answer"] == "3*6=18\n#### 18"
    with pytest.raises(ValueError, match='must end with a line "#### N"'):
        GSM.variant({"question": "Q?", "answer": "3*6=18\nSo there are 18."}, {})
    with pytest.raises(ValueError, match="must show the steps"):
        GSM.variant({"question": "Q?", "answer": "#### 18"}, {})
    with pytest.raises(ValueError, match='field "answer" must be a string, but is a int'):
        GSM.variant({"question": "Q?", "answer": 18}, {})


@given(st.text())
def test_scoring_never_raises(output):
    verdict = GSM.score(output, GSM.parse(HUB))
    assert verdict.correct == (verdict.parsed is not None and Decimal(verdict.parsed) == 18)


@given(st.text("0123456789,.$-+/ \n#\\boxed{}answeri:Q"))
def test_whatever_is_read_is_a_decimal(output):
    number = read_number(output)
    assert number is None or Decimal(number).is_finite()


@given(st.decimals(allow_nan=False, allow_infinity=False, places=2), st.text(max_size=40))
def test_the_own_target_of_every_parsed_row_is_correct(value, steps):
    try:
        row = GSM.parse({"question": "Q?", "answer": f"{steps}\n#### {value:,}"})
    except ValueError:
        return
    assert GSM.score(GSM.target(row), row).correct
    assert Decimal(exact_number(f"{value:,}")) == value
