"""What the leakage guard finds: copies of held-out rows, word for word and rephrased, and nothing else."""

import json
from pathlib import Path

import numpy as np
import pytest

from pada_graph.clustering import SentenceEmbedder
from pada_graph.leakage import LeakageGuard, OverlapIndex
from pada_graph.near_duplicates import normalise

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


def test_the_same_form_with_other_numbers_is_no_hit(index):
    assert index.find(HELD_OUT["v1"].replace("45", "60").replace("38", "24").replace("six", "seven")) is None
    assert index.find(HELD_OUT["v1"].replace("six", "eight")) == "v1"  # the figures are in the shared words


def test_prose_that_quotes_a_row_is_a_hit_whatever_its_other_numbers(index):
    quoted = HELD_OUT["v1"].partition(";")[0]
    assert index.find_quoted(f"Take numbers up to 500, e.g. {quoted}, and 3 to 7 sentences.") == "v1"


def test_phrases_that_train_rows_use_too_are_no_leak():
    phrase = "how many apples are left on the table if three of the ten are eaten by the children"
    held_out = {"v": f"{phrase} and two more by the dog"}
    assert OverlapIndex(held_out, []).find(f"{phrase} of the neighbours") == "v"
    assert OverlapIndex(held_out, COMMON).find(f"{phrase} of the neighbours") is None


def test_normalisation_drops_case_punctuation_and_spacing():
    assert normalise("  It's  A “Test”… ") == normalise("it s a test")


def by_topic(texts):
    """An embedding that knows three topics, and a fourth for the rest."""
    topics = [["dew", "moisture"], ["eggs", "hen"], ["capital", "seat of government"]]
    found = [next((k for k, words in enumerate(topics) if any(w in t for w in words)), 3) for t in texts]
    return np.eye(4, dtype=np.float32)[found]


TOPICS = {"dew": "Which change makes dew on the grass?", "eggs": "Ann sells 45 eggs. How many eggs is that in all?"}


def test_a_rephrased_copy_is_found_by_its_embedding_and_named():
    guard = LeakageGuard(TOPICS, [], by_topic)
    hits = guard.check(["What process brings moisture to a lawn?", "Why is the sky blue?", "45 come from which hen?"])
    assert [hit and (hit.kind, hit.id, hit.similarity) for hit in hits] == [
        ("embedding", "dew", 1.0), None, ("embedding", "eggs", 1.0)
    ]  # fmt: skip
    assert guard.check([TOPICS["dew"].upper()])[0].kind == "ngram"


def test_other_numbers_make_another_question_however_close_the_embedding():
    guard = LeakageGuard(TOPICS, [], by_topic)
    assert guard.check(["Ann sells 44 eggs. How many eggs is that?", "How many eggs has Ann?"]) == [None, None]


def test_held_out_rows_are_embedded_once_and_a_batch_in_one_call_without_those_of_other_numbers():
    calls = []
    numbered = {"a": "How many are 44 eggs and 3 hens?", "b": "How many eggs make 45?"}
    guard = LeakageGuard(numbered, [], lambda texts: calls.append(len(texts)) or by_topic(texts))
    guard.check(["Why?", "What are 45 eggs?", "What are 44 eggs?"])
    guard.check(["What are 44 eggs?"])
    guard.check([])
    assert calls == [2, 1]


def test_a_batch_gets_what_each_text_gets_alone():
    held_out = {
        f"v{k}": f"Which {topic} has {k % 3 or 'no'} of it?" for k, topic in enumerate(["dew", "hen", "capital"] * 4)
    }
    texts = [
        f"{word} and {number} more"
        for word in ("moisture", "eggs", "seat of government", "sky")
        for number in (0, 1, 2, "")
    ]
    guard = LeakageGuard(held_out, [], by_topic)
    hits = guard.check(texts)
    assert hits == [guard.check([text])[0] for text in texts]
    assert None in hits and len({hit.id for hit in hits if hit}) > 2


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Write on weather. Ask what brings moisture to the lawn. Keep it short.", "embedding"),
        ("Write questions like: which change makes dew on the grass?", "ngram"),
        ("Write on weather.\nVary the words.\nKeep it short and clear.", None),
    ],
)
def test_a_strategy_is_compared_sentence_by_sentence(text, kind):
    hit = LeakageGuard(TOPICS, [], by_topic).check_prose(text)
    assert (hit and hit.kind) == kind


PAIRS = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data" / "rephrasings.jsonl").read_text(encoding="utf-8").splitlines()
]
MECHANICAL = {"verbatim", "recased", "respaced", "punctuation"}


def flagged(embed):
    found = []
    for task in sorted({pair["task"] for pair in PAIRS}):
        pairs = [pair for pair in PAIRS if pair["task"] == task]
        guard = LeakageGuard({pair["original"]: pair["original"] for pair in pairs}, [], embed)
        found += zip(pairs, guard.check([pair["rephrased"] for pair in pairs]), strict=True)
    return found


def test_the_pairs_are_many_and_of_every_task():
    assert sum(pair["leak"] for pair in PAIRS) >= 120 and sum(not pair["leak"] for pair in PAIRS) >= 120
    assert {pair["task"] for pair in PAIRS} == {"arc_challenge", "gsm8k", "hellaswag", "squad"}
    assert len({(pair["original"], pair["rephrased"]) for pair in PAIRS}) == len(PAIRS)


def test_mechanical_copies_are_found_without_an_embedding():
    no_meaning = flagged(lambda texts: np.zeros((len(texts), 1), dtype=np.float32))
    missed = [pair for pair, hit in no_meaning if pair["kind"] in MECHANICAL and (hit and hit.id) != pair["original"]]
    assert missed == []


@pytest.mark.slow
def test_measured_recall_and_precision_on_rephrasings_hold():
    found = flagged(SentenceEmbedder("builtin:minilm").embed)
    hits = [pair for pair, hit in found if hit]
    recall = sum(pair["leak"] for pair in hits) / sum(pair["leak"] for pair in PAIRS)
    precision = sum(pair["leak"] for pair in hits) / len(hits)
    assert recall >= 0.92 and precision >= 0.96
    assert not [pair for pair in hits if pair["kind"] == "new numbers"]


def test_words_in_a_row_belong_to_every_row_that_has_them():
    alike = "A baker sells seven kinds of bread in her small shop and wants to know about {} loaves"
    index = OverlapIndex({"a": alike.format(12), "b": alike.format(31)}, [])
    assert index.find(alike.format(12)) == "a"
    assert index.find(alike.format(31)) == "b"


def test_a_number_added_to_a_copy_of_a_row_without_numbers_changes_nothing():
    class Same:
        def __call__(self, texts):
            return np.ones((len(texts), 1), dtype=np.float32)

    guard = LeakageGuard({"a": "Which process forms dew on cold grass?"}, [], Same())
    (hit,) = guard.check(["In 2024, how does dew come about on grass that is cold?"])
    assert hit is not None and (hit.kind, hit.id) == ("embedding", "a")


def test_short_answers_and_labels_that_rows_share_are_no_runs():
    label = "there is not enough information to say"
    index = OverlapIndex({"a": label, "b": "one two three four five six seven eight nine ten eleven twelve"}, [], 12)
    assert index.find_run(label) is None
    assert index.find_run("zero one two three four five six seven eight nine ten eleven twelve thirteen") == "b"
