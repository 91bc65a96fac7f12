"""SQuAD: exact match by the official normaliser, answers as spans."""

import random

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


def test_an_empty_output_is_unparsed_unless_an_answer_is_nothing_but_articles():
    row = SQUAD.parse({**HUB, "answers": ["the"]})
    assert SQUAD.score("the", row).correct
    assert SQUAD.score(" \n", row).correct
    empty = SQUAD.score(" \n", SQUAD.parse(HUB))
    assert (empty.correct, empty.parsed, empty.reason) == (False, None, "format error: the output is empty")


@pytest.mark.parametrize(
    ("output", "f1"),
    [
        ("Oregon", 1.0),
        ("in Oregon", 2 / 3),
        ("state of Texas", 4 / 7),  # "state" and "of" of three words and of four; articles are no words
        ("of of Oregon", 4 / 7),  # a word counts as often as both have it; "Oregon" alone gives 1 / 2
        ("Texas", 0.0),
        ("", 0.0),
        ("the", 0.0),
    ],
)
def test_f1_is_the_best_overlap_of_words_over_all_answers(output, f1):
    assert SQUAD.score(output, SQUAD.parse(HUB)).measures == {"f1": pytest.approx(f1)}


def test_f1_of_nothing_and_nothing_is_one():
    assert SQUAD.score("an", SQUAD.parse({**HUB, "answers": ["x", "The."]})).measures == {"f1": 1.0}


def test_the_reason_names_each_accepted_answer_once():
    row = SQUAD.parse({**HUB, "answers": ["Oregon", "Oregon", "the state"]})
    assert SQUAD.score("Texas", row).reason == "answered 'Texas', but only 'Oregon' or 'the state' is accepted"
    assert SQUAD.score("oregon", row).reason == ""


@pytest.mark.slow
def test_exact_match_and_f1_agree_with_torchmetrics_on_random_strings():
    squad = pytest.importorskip("torchmetrics.functional.text").squad
    pieces = ["a", "an", "the", "A", "The", "THE", "an-", "theory", "anthem", "B", "b", "b", "0", "1", "1,0", "x.y"]
    pieces += [*".,-'!_\u201c\u2013\u7b54\u3002\u00e9\u0130\u00df\t\r\u00a0\u2028\x1f", "e\u0301", "  ", "", *" " * 30]
    draw = random.Random(0)

    def text():
        return "".join(draw.choices(pieces, k=draw.randrange(12)))

    scores = []
    for _ in range(1000):
        output = text()
        near = draw.choice(
            [output.upper(), f"The {output}", f"{output}.", f"{output} b", output.replace("a", ""), text()]
        )
        answers = draw.sample([near, text(), text()], draw.randrange(1, 4))
        expected = squad(
            {"prediction_text": output, "id": "0"},
            {"answers": {"text": answers, "answer_start": [0] * len(answers)}, "id": "0"},
        )
        verdict = SQUAD.score(output, {"answers": answers})
        assert 100 * verdict.correct == expected["exact_match"].item(), (output, answers)
        assert 100 * verdict.measures["f1"] == pytest.approx(expected["f1"].item(), abs=1e-4), (output, answers)
        scores.append((verdict.correct, verdict.measures["f1"]))
    assert 100 < sum(correct for correct, _ in scores) < 900
    assert sum(0 < f1 < 1 for _, f1 in scores) > 100


def test_rows_keep_every_accepted_answer_and_train_the_first():
    row = SQUAD.parse(HUB)
    assert row["answers"] == ["the U.S. state of Oregon", "Oregon"]
    assert SQUAD.target(row) == "the U.S. state of Oregon"
    assert SQUAD.prompt(row).index(row["context"]) < SQUAD.prompt(row).index(row["question"])
    assert SQUAD.prompt(row).startswith("Answer the question with the exact span of the passage")
    assert SQUAD.question(row) == row["question"]
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
    with pytest.raises(ValueError, match=r"^field") as error:
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
    assert (verdict.parsed is None) == (not output.strip() and not verdict.correct)
    assert verdict.correct <= (verdict.measures["f1"] == 1)
    own = SQUAD.score(SQUAD.target(row), row)
    assert (own.correct, own.measures) == (True, {"f1": 1.0})
