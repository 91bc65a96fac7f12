"""SQuAD: exact match by the official normaliser, answers as spans."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pada_graph.tasks.squad import Squad

SQUAD = Squad()
HUB = {
    "title": "Lake",
    "context": "The Blue Lake lies in the U.S. state of Oregon. In 1853, a gold-seeker called it the deep lake.",
    "question": "Where is the lake?",
    "answers": {"text": ["the U.S. state of Oregon", "Oregon"], "answer_start": [22, 40]},
}


@pytest.mark.parametrize(
    ("output", "correct"),
    [
        ("Oregon", True),
        ("  oregon. \n", True),
        ("the Oregon", True),
        ("a US  state of Oregon!", True),
        ("Oregon\nQuestion: and the river?", True),
        ("in Oregon", False),
        ("The answer is Oregon", False),
        ("Oregon state", False),
        ("Orégon", False),
        ("\nOregon", True),
    ],
)
def test_exact_match_forgives_case_punctuation_and_articles_alone(output, correct):
    assert SQUAD.score(output, SQUAD.parse(HUB)).correct is correct


def test_articles_go_only_as_whole_words():
    row = SQUAD.parse({**HUB, "answers": {"text": ["Anthem"]}})
    assert SQUAD.score("an Anthem", row).correct
    assert not SQUAD.score("them", row).correct


def test_an_empty_output_is_unparsed_even_if_the_answer_is_an_article():
    row = SQUAD.parse({**HUB, "answers": ["the"]})
    assert SQUAD.score("the", row).correct
    assert SQUAD.score(" \n", row).parsed is None


def test_rows_keep_every_accepted_answer_and_train_the_first():
    row = SQUAD.parse(HUB)
    assert row["answers"] == ["the U.S. state of Oregon", "Oregon"]
    assert SQUAD.target(row) == "the U.S. state of Oregon"
    assert SQUAD.prompt(row).index(row["context"]) < SQUAD.prompt(row).index(row["question"])
    assert SQUAD.group(row) == "Lake"
    assert SQUAD.parse(row) == row
    assert SQUAD.stop == ("\n",)


def test_without_a_title_the_passage_is_the_group():
    row = SQUAD.parse({key: value for key, value in HUB.items() if key != "title"})
    assert SQUAD.group(row) == row["context"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"context": ""}, 'field "context" is empty'),
        ({"answers": {"text": []}}, "at least one accepted answer"),
        ({"answers": "Oregon"}, "at least one accepted answer"),
        ({"answers": {"text": ["Oregon", " "]}}, "must be a string that is not empty"),
        ({"title": 3}, 'field "title" must be a string'),
    ],
)
def test_a_bad_row_is_refused_by_field(change, message):
    with pytest.raises(ValueError, match="field") as error:
        SQUAD.parse({**HUB, **change})
    assert message in str(error.value)


def test_a_variant_keeps_the_passage_and_copies_its_spelling():
    seed = SQUAD.parse(HUB)
    row = SQUAD.variant({"question": "Who named it?", "answer": "A Gold-Seeker"}, seed)
    assert row == {**seed, "question": "Who named it?", "answers": ["a gold-seeker"]}
    assert SQUAD.example(row) == {"context": seed["context"], "question": "Who named it?", "answer": "a gold-seeker"}


@pytest.mark.parametrize("answer", ["a miner", "THE", "Oregon state"])
def test_a_variant_whose_answer_is_no_unique_span_is_refused(answer):
    with pytest.raises(ValueError, match="must be a span of the passage"):
        SQUAD.variant({"question": "Who?", "answer": answer}, SQUAD.parse(HUB))


@given(st.text(), st.lists(st.text(min_size=1).filter(str.strip), min_size=1))
def test_scoring_never_raises_and_targets_are_correct(output, answers):
    row = SQUAD.parse({**HUB, "answers": answers})
    verdict = SQUAD.score(output, row)
    assert (verdict.parsed is None) == (not output.strip())
    assert SQUAD.score(SQUAD.target(row), row).correct
