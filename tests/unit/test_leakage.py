"""Word-for-word overlap with held-out rows."""

import pytest

from pada_graph.leakage import OverlapIndex, normalise

HELD_OUT = {
    "v1": "A farmer collects 45 eggs on Monday and 38 eggs on Tuesday and packs them in boxes of six; how many boxes?",
    "v2": "Name the capital of France.",
}
COMMON = ["How many apples are left on the table if three of the ten are eaten by the children before supper time"]


@pytest.fixture
def index() -> OverlapIndex:
    return OverlapIndex(HELD_OUT, COMMON)


@pytest.mark.parametrize(
    "text",
    [
        HELD_OUT["v1"],
        HELD_OUT["v1"].upper(),
        HELD_OUT["v1"].replace(" ", "  \n"),
        "Please solve: " + HELD_OUT["v1"].replace(";", " --") + " Thank you.",
        "He wrote that a farmer collects 45 eggs on Monday and 38 eggs on Tuesday.",
    ],
)
def test_verbatim_recased_respaced_and_partial_copies_are_found(index, text):
    assert index.find(text) == "v1"


def test_a_short_row_is_found_only_as_a_whole(index):
    assert index.find("NAME the capital of France") == "v2"
    assert index.find("Name the capital of France and of Spain and say which of them is larger.") is None


def test_a_short_row_quoted_inside_a_longer_text_is_found_where_quotations_matter(index):
    assert index.find_quoted("Write questions like «Name the capital of France»!") == "v2"
    assert index.find_quoted("Name the capital of Franconia.") is None


def test_another_question_of_the_same_kind_is_no_hit(index):
    assert index.find("A baker makes 12 rolls on Friday and 30 rolls on Sunday; how many trays of six?") is None


def test_phrases_that_train_rows_use_too_are_no_leak():
    phrase = "how many apples are left on the table if three of the ten are eaten by the children"
    held_out = {"v": f"{phrase} and two more by the dog"}
    assert OverlapIndex(held_out, []).find(f"{phrase} of the neighbours") == "v"
    assert OverlapIndex(held_out, COMMON).find(f"{phrase} of the neighbours") is None


def test_normalisation_drops_case_punctuation_and_spacing():
    assert normalise("  It's  A “Test”… ") == normalise("it s a test")
