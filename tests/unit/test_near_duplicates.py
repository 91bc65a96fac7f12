"""When two questions are the same but for a few words, and that none is overlooked."""

import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rapidfuzz.distance import Indel

from pada_graph.near_duplicates import SIMILARITY, NearDuplicates, Template, normalise, numbers

QUESTION = "Ann had 45 eggs in her basket and gave 12 of them to Ben. How many eggs are left in the basket?"


@pytest.mark.parametrize(
    "copy",
    [
        QUESTION.upper(),
        QUESTION.replace(" ", "\n\t "),
        QUESTION.replace(".", " --"),
        QUESTION.replace("45", "forty-five").replace("12", "twelve"),
        QUESTION.replace("her", "a big"),
        f"Well, {QUESTION}",
    ],
)
def test_copies_with_a_word_or_two_changed_match(copy):
    match = NearDuplicates([("other", "What is the capital of France?"), ("eggs", QUESTION)]).find(copy)
    assert match is not None and match.id == "eggs" and SIMILARITY <= match.similarity <= 1


@pytest.mark.parametrize(
    "other",
    [
        QUESTION.replace("45", "46"),
        QUESTION.replace("12", "a few"),
        QUESTION.replace("Ann", "Zoe").replace("Ben", "Tom").replace("eggs", "nuts"),
        "How many eggs are left in the basket?",
        "Ann had 45 hens and sold 12 of them to Ben on the market. How many hens does she still have?",
    ],
)
def test_other_numbers_and_other_words_do_not_match(other):
    assert NearDuplicates([("eggs", QUESTION)]).find(other) is None


def test_the_same_words_come_before_nearly_the_same():
    index = NearDuplicates([("near", f"Well, {QUESTION}"), ("same", QUESTION)])
    match = index.find(QUESTION.lower())
    assert match is not None and (match.id, match.similarity) == ("same", 1.0)


def test_texts_too_short_for_trigrams_match_as_a_whole():
    index = NearDuplicates([("short", "Why?"), ("two", "Why not?")])
    assert [index.find(text) and index.find(text).id for text in ("why", "WHY NOT", "why so")] == ["short", "two", None]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("45 eggs and 45 hens", ("45",)),
        ("$1,200.50, 007 and 3.0", ("1200.5", "3", "7")),
        ("sets 1,2,3", ("2", "3")),
        ("Forty-five, sixteen and ninety two", ("16", "45", "92")),
        ("the second and the third", ("2", "3")),
        ("one of them, 1 more, none, 0", ()),
        ("someone weighs often", ()),
        ("５ cups", ("5",)),
        ("9" * 5000, ("9" * 5000,)),
    ],
)
def test_numbers_are_read_from_figures_and_words(text, found):
    assert numbers(text) == found


_texts = st.lists(st.sampled_from("abcde"), min_size=1, max_size=24).map(" ".join)


@settings(max_examples=300, deadline=None)
@given(_texts, st.lists(st.tuples(st.integers(0, 23), st.sampled_from(["", "a x", "y"])), max_size=4))
def test_no_near_duplicate_is_overlooked(text, edits):
    words = text.split()
    for place, word in edits:
        if place < len(words):
            words[place] = word
    other = normalise(" ".join(words))
    similarity = Indel.normalized_similarity(text.split(), other.split())
    alike = text == other or (similarity >= SIMILARITY and min(len(text.split()), len(other.split())) >= 3)
    assert (NearDuplicates([("known", text)]).find(other) is not None) == alike


def test_ten_thousand_rows_of_a_few_forms_take_seconds():
    rng = random.Random(0)
    names, things = ([f"{kind}{n}" for n in range(60)] for kind in ("name", "thing"))
    forms = [
        "{} has {} {} and {} has {}. How many {} do the two of them have together on that day?",
        "{} gave {} {} to {} and has {} left. How many {} were there before the two of them met?",
    ]
    rows = []
    for _ in range(10_000):
        (one, two), thing = rng.sample(names, 2), rng.choice(things)
        rows.append(rng.choice(forms).format(one, rng.randint(2, 30), thing, two, rng.randint(2, 30), thing))
    start, index, matches = time.process_time(), NearDuplicates(), 0
    for number, row in enumerate(rows):
        matches += index.find(row) is not None
        index.add(str(number), row)
    assert time.process_time() - start < 15
    assert 0 < matches < 300


def test_what_most_rows_say_alike_is_no_part_of_a_row():
    instruction = "Read the review below and say whether its writer liked the film or not."
    template = Template(
        f"{instruction} Review {number}: {words}" for number, words in enumerate(("good", "bad", "dull"))
    )
    assert template.without(f"{instruction} Review 9: a quiet film") == "9: a quiet film"  # all say "Review"
    assert template.without("a quiet film") == "a quiet film"
    assert template.without(instruction) == instruction  # nothing else in it


def test_rows_that_share_little_have_no_template():
    texts = [f"row {number} has its own words {'abcdefgh'[number]}" for number in range(8)]
    template = Template(texts)
    assert [template.without(text) for text in texts] == texts


def test_a_long_common_instruction_keeps_the_search_quick():
    instruction = " ".join(f"word{number}" for number in range(150))
    rows = [f"{instruction} " + " ".join(f"own{row}x{place}" for place in range(50)) for row in range(2000)]
    template = Template(rows)
    index = NearDuplicates()
    begin = time.perf_counter()
    for row, text in enumerate(rows):
        assert index.find(template.without(text)) is None
        index.add(str(row), template.without(text))
    assert time.perf_counter() - begin < 10
