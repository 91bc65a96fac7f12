"""ARC and HellaSwag: rows from the hub's layout, letters read from outputs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pada_graph.tasks.arc_challenge import ArcChallenge
from pada_graph.tasks.choice import LETTERS, read_letter
from pada_graph.tasks.hellaswag import HellaSwag

ARC = ArcChallenge()
SWAG = HellaSwag()
HUB_ARC = {
    "id": "x",
    "question": "Which is a mineral?",
    "choices": {"text": ["oak", "quartz", "wool", "rain"], "label": ["A", "B", "C", "D"]},
    "answerKey": "B",
}
HUB_SWAG = {
    "activity_label": "Roof repair",
    "ctx_a": "A man sits on a roof.",
    "ctx_b": "he",
    "endings": ["sings a song.", "lifts old tiles.", "boils an egg.", "feeds a horse."],
    "label": "1",
}


@pytest.mark.parametrize(
    ("output", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        (" (b). ", "B"),
        ("**B**", "B"),
        ('"C"', "C"),
        ("[D]", "D"),
        ("B) quartz", "B"),
        ("B. quartz", "B"),
        ("B: quartz", "B"),
        ("B, a mineral", "B"),
        ("(B) quartz", "B"),
        ("B\nbecause it is a crystal", "B"),
        ("The answer is B", "B"),
        ("The correct answer is (A) oak", "A"),
        ("Answer:\nC", "C"),
        ("The answer is option D, since it falls", "D"),
        ("The answer is A because oak is wood", "A"),
        ("The answer is not B. The answer is C.", "C"),
        ("The incorrect answer is B. The answer is C.", "C"),
        ("The answer is B. The final answer is C.", "C"),
        ("The answer is B. The answer is C.", "B"),
        ("B\nQuestion: Which is wool?\nAnswer: C", "B"),
        ("B\n\nThe answer is C", "B"),
    ],
)
def test_a_stated_letter_is_read(output, letter):
    assert read_letter(output, "ABCD") == letter


@pytest.mark.parametrize(
    "output",
    [
        "",
        " \n ",
        "A good reason is that quartz is a crystal",
        "The answer is A good example of a mineral",
        "The answer is a mineral",
        "quartz",
        "I think B",
        "B quartz",
        "The answer is not B",
        "The answer is A or B",
        "The answer is B/C",
        "Answer: (A) and (B)",
        "B, C",
        "A or B",
        "A. oak\nB. quartz\nC. wool\nD. rain",
        "E",
        "The answer is E",
        "The answer is B-cells",
        "The reason is D.N.A. in the cell",
        "ABCD",
        "\u212a",  # the Kelvin sign, which ignores case with k
    ],
)
def test_an_output_without_one_stated_letter_is_unparsed(output):
    assert read_letter(output, "ABCD") is None


@pytest.mark.parametrize(
    ("output", "letter"),
    [
        ("2", "B"),
        ("(2).", "B"),
        ("2. quartz", "B"),
        ("The answer is 1 oak", "A"),
        ("B", "B"),
        ("3 or 4", None),
        ("5", None),
    ],
)
def test_numbers_are_letters_only_where_the_options_were_numbered(output, letter):
    assert read_letter(output, "ABCD", numbered=True) == letter
    assert read_letter(output, "ABCD") == ("B" if output == "B" else None)


@pytest.mark.parametrize("output", ["3.5", "The answer is 3.5", "-3", "30", "The answer is 3%", "3:30", "1/3", "3/4"])
def test_a_quantity_is_no_number_of_an_option(output):
    assert read_letter(output, "ABCD", numbered=True) is None


@pytest.mark.parametrize(
    "output",
    [
        "A\n" * 60_000,
        "B, " * 60_000,
        "answer is " * 20_000,
        "n't think that the " * 10_000,
        "\n \n" * 30_000,
        "(" * 60_000,
    ],
    ids=lambda output: repr(output[:9]),
)
@pytest.mark.timeout(10)
def test_long_hostile_outputs_are_read_in_linear_time(output):
    assert read_letter(output, "ABCD") in ("A", "B", None)


def test_three_and_five_choices_have_their_own_letters():
    assert read_letter("D", "ABC") is None
    assert read_letter("E", "ABCDE") == "E"


@given(
    st.one_of(st.text(), st.text("ABCDEabcde ().:,\n*\"'isanwerotQu/"), st.text().map("answer is {}".format)),
    st.integers(2, 26),
)
def test_reading_never_invents_a_letter(output, count):
    letter = read_letter(output, LETTERS[:count])
    assert letter is None or (letter in LETTERS[:count] and letter in output.upper())


def test_arc_prompt_lists_the_choices_and_asks_for_the_letter():
    row = ARC.parse(HUB_ARC)
    assert row == {"question": "Which is a mineral?", "choices": ["oak", "quartz", "wool", "rain"], "answer": "B"}
    assert "\nA. oak\nB. quartz\nC. wool\nD. rain\n" in ARC.prompt(row)
    assert ARC.prompt(row).endswith("letter of the correct choice alone.\nAnswer:")
    assert ARC.target(row) == "B"
    assert set(ARC.example(row)) == set(ARC.generated_fields)


def test_arc_number_labels_become_letters_and_row_widths_are_kept():
    numbers = {**HUB_ARC, "choices": {"text": ["oak", "quartz", "wool"], "label": ["1", "2", "3"]}, "answerKey": "3"}
    assert ARC.parse(numbers)["answer"] == "C"
    five = {"text": ["a1", "b2", "c3", "d4", "e5"], "label": list("ABCDE")}
    row = ARC.parse({**HUB_ARC, "choices": five, "answerKey": "E"})
    assert ARC.score("E", row).correct
    assert ARC.score("5", row).parsed is None  # the prompt lists letters
    assert len(row["choices"]) == 5


def test_two_to_as_many_choices_as_letters_are_taken():
    row = ARC.parse({"question": "Which?", "choices": [f"text {letter}" for letter in LETTERS], "answer": "z"})
    assert (row["answer"], ARC.score("Z", row).correct) == ("Z", True)
    with pytest.raises(ValueError, match="2 to 26 texts, but holds 27"):
        ARC.parse({"question": "Which?", "choices": [str(number) for number in range(27)], "answer": "A"})


def test_only_the_first_listing_letter_of_a_choice_is_taken_off():
    row = ARC.parse({"question": "Which?", "choices": ["A. figure A. iron", "(B) oak"], "answer": "A"})
    assert row["choices"] == ["figure A. iron", "oak"]
    assert ARC.question(row) == "Which?\nfigure A. iron\noak"


def test_arc_choices_that_differ_in_case_alone_are_different():
    row = ARC.parse({"question": "Which genotype?", "choices": ["RR", "Rr", "rr"], "answer": "B"})
    assert row["choices"] == ["RR", "Rr", "rr"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": " "}, 'field "question" is empty'),
        ({"choices": None}, 'field "choices" must be a list of strings'),
        ({"choices": {"text": ["oak"], "label": ["A"]}}, "2 to 26 texts, but holds 1"),
        ({"choices": {"text": ["oak", " "], "label": ["A", "B"]}}, "text 2 is empty"),
        ({"choices": {"text": ["oak", "oak "], "label": ["A", "B"]}}, "'oak' is there twice"),
        ({"choices": {"text": ["oak", "elm"], "label": ["A"]}}, "one label for each text"),
        ({"answerKey": "E"}, "field \"answerKey\" must be one of the labels ['A', 'B', 'C', 'D'], but is 'E'"),
    ],
)
def test_a_bad_arc_row_is_refused_by_field(change, message):
    with pytest.raises(ValueError, match=r"^field") as error:
        ARC.parse({**HUB_ARC, **change})
    assert message in str(error.value)


def test_arc_variant_takes_letters_in_brackets_and_strips_listed_choices():
    fields = {"question": "Which is a metal?", "choices": ["A. iron", "B. oak", "C. wool"], "answer": "(a)"}
    expected = {"question": "Which is a metal?", "choices": ["iron", "oak", "wool"], "answer": "A"}
    assert ARC.variant(fields, ARC.parse(HUB_ARC)) == expected


@pytest.mark.parametrize("answer", ["D", "iron", "", None, 1, "A or B"])
def test_arc_variant_refuses_an_answer_that_is_no_letter_of_its_choices(answer):
    with pytest.raises(ValueError, match="one of the letters A, B, C"):
        ARC.variant({"question": "Which?", "choices": ["iron", "oak", "wool"], "answer": answer}, {})


def test_verdicts_say_what_was_chosen_and_what_is_right():
    row = ARC.parse(HUB_ARC)
    right, wrong, unread = ARC.score("B", row), ARC.score("C", row), ARC.score("wool", row)
    assert (right.correct, right.parsed, right.reason) == (True, "B", "")
    assert (wrong.correct, wrong.parsed, wrong.reason) == (False, "C", "chose C, but the correct choice is B")
    assert (unread.correct, unread.parsed) == (False, None)
    assert "A, B, C, D" in unread.reason


def test_hellaswag_text_is_cleaned_and_joined():
    row = SWAG.parse(HUB_SWAG)
    assert row["context"] == "Roof repair: A man sits on a roof. He"
    assert row["answer"] == "B"
    wikihow = {**HUB_SWAG, "ctx_a": "[header] How to tile [title] Start. [step] Buy tiles.", "ctx_b": ""}
    assert SWAG.parse(wikihow)["context"] == "Roof repair: How to tile. Start. Buy tiles."
    assert SWAG.parse({**HUB_SWAG, "label": 3})["answer"] == "D"
    stops = {**HUB_SWAG, "ctx_a": "[header] Tile! [title] Buy tiles. [title] Lay   them [substeps] flat.", "ctx_b": " "}
    assert SWAG.parse(stops)["context"] == "Roof repair: Tile! Buy tiles. Lay them flat."
    assert SWAG.parse({**HUB_SWAG, "ctx_b": "then Ann"})["context"] == "Roof repair: A man sits on a roof. Then Ann"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": ""}, "but is '' (the hub's test split has no labels; take the validation split)"),
        ({"label": "4"}, 'must be "0" to "3", but is \'4\''),
        ({"ctx_a": None}, '"ctx_a" and "ctx_b" must be strings'),
        ({"ctx_a": "", "ctx_b": " "}, "both empty"),
        ({"endings": ["[step]", "b"]}, "text 1 is empty"),
        ({"endings": [1, 2]}, "list of strings"),
    ],
)
def test_a_bad_hellaswag_row_is_refused_by_field(change, message):
    with pytest.raises(ValueError, match=r"^fields? ") as error:
        SWAG.parse({**HUB_SWAG, **change})
    assert message in str(error.value)


def test_hellaswag_rows_name_the_missing_label_and_their_own_letters():
    with pytest.raises(ValueError, match="take the validation split"):
        SWAG.parse({key: value for key, value in HUB_SWAG.items() if key != "label"})
    with pytest.raises(ValueError, match=r"'4'$"):
        SWAG.parse({**HUB_SWAG, "label": "4"})
    with pytest.raises(ValueError, match="letters A, B, but"):
        SWAG.parse({"context": "He", "endings": ["sings.", "boils."], "answer": "C"})


def test_hellaswag_prompt_lists_the_endings_and_asks_for_the_letter():
    row = SWAG.parse(HUB_SWAG)
    assert SWAG.prompt(row).startswith("Which ending continues the text best?\n\nText: Roof repair: A man sits")
    assert "\nA. sings a song.\nB. lifts old tiles.\nC. boils an egg.\nD. feeds a horse.\n" in SWAG.prompt(row)
    assert SWAG.prompt(row).endswith("\n\nAnswer with the letter of the best ending alone.\nAnswer:")
    assert SWAG.question(row) == "\n".join([row["context"], *row["endings"]])


def test_hellaswag_round_trips_through_a_generator():
    row = SWAG.parse(HUB_SWAG)
    assert SWAG.variant(SWAG.example(row), row) == row
    assert SWAG.score(SWAG.target(row), row).correct


@given(st.text())
def test_scoring_a_choice_never_raises_and_is_wrong_when_unparsed(output):
    for task, row in ((ARC, ARC.parse(HUB_ARC)), (SWAG, SWAG.parse(HUB_SWAG))):
        verdict = task.score(output, row)
        assert verdict.correct == (verdict.parsed == "B")
        assert bool(verdict.reason) != verdict.correct


def test_equal_questions_with_other_choices_are_different_rows():
    other = {**HUB_ARC, "choices": {**HUB_ARC["choices"], "text": ["oak", "gold", "wool", "rain"]}}
    assert ARC.question(ARC.parse(HUB_ARC)) != ARC.question(ARC.parse(other))
