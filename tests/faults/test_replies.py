"""Fault matrix, rows 6 to 10: what teachers reply, from malformed JSON to ratings that are none."""

import itertools
import json
import random
import threading
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from pada_graph import run
from pada_graph.nodes.quality_control import PatternRating
from pada_graph.services import Reply
from pada_graph.teacher.ask import ask_items, read_items
from tests.fake_provider import Answer
from tests.fakes import FakeTeacher, fake_services, json_blocks, jsonl, write_sums
from tests.faults.loop_run import balanced, config, run_over_http


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    return write_sums(tmp_path / "sums")


def half(text: str) -> str:
    """A reply that stops in the middle of its last number: 10 becomes 1, and a sum loses a digit."""
    last = max(place for place, letter in enumerate(text) if letter.isdigit())
    return text[:last]


BODIES = {
    "prose": (lambda text: "Here are your samples, as asked.", "stop", "malformed"),
    "broken in the middle": (lambda text: text.replace('": "', '": ""', 1), "stop", "malformed"),
    "cut off, as the provider says": (half, "length", "cut_off"),
    "cut off, unsaid": (half, "stop", "malformed"),
    "cut off before anything": (lambda text: "", "length", "cut_off"),
    "in a fence, with prose": (lambda text: f"Sure!\n```json\n{text}\n```\nDone.", "stop", None),
    "in two fences": (
        lambda text: "\n".join(f"```json\n{json.dumps([one])}\n```" for one in json.loads(text)),
        "stop",
        None,
    ),
    "one object a line": (lambda text: "\n".join(map(json.dumps, json.loads(text))), "stop", None),
    "trailing commas": (lambda text: text.replace("}", ",}"), "stop", "repaired"),
    "not a number": (lambda text: text[:-1] + ', {"x": NaN}]', "stop", "malformed"),
    "control character": (lambda text: text[:-1] + ', {"x": "\\u0007"}]', "stop", "malformed"),
}


@pytest.mark.parametrize("body", BODIES)
def test_row_06_malformed_and_truncated_replies_are_read_by_the_rules_and_counted(sums, tmp_path, body):
    """Two replies of the generator and two of the judge are spoiled."""
    spoil, stop, counted = BODIES[body]
    written: set[str] = set()
    spoiled: Counter[str] = Counter()
    lock = threading.Lock()

    def mangle(role, request, text):
        if role == "generator":
            written.update(sample["prompt"] for sample in json.loads(text))
        with lock:
            if role == "analyst" or spoiled[role] == 2:
                return text
            spoiled[role] += 1
        return Answer(spoil(text), stop=stop)

    metrics, _ = run_over_http(config(sums), tmp_path / "run", mangle)
    assert spoiled == {"generator": 2, "judge": 2}
    for role in ("generator", "judge"):
        found = {kind: count for kind, count in metrics["replies"][role].items() if kind != "replies" and count}
        assert found == ({counted: 2} if counted else {})
        assert metrics["replies"][role]["replies"] == metrics["teacher"][role]["calls"]
    books = metrics["accounting"]
    assert balanced(books) and books["accepted"] + books["failed"] == 10
    assert books["failed"] <= 2 * (spoil is half)  # the sample that was cut, where its batch of three passed
    samples = jsonl(tmp_path / "run/iteration_1/synthetic_accepted.jsonl")
    assert {sample["row"]["prompt"] for sample in samples} <= written
    assert {review["score"] for review in jsonl(tmp_path / "run/iteration_1/reviews.jsonl")} == {10.0}


class Written(BaseModel):
    model_config = ConfigDict(extra="allow")


IDS = ("s1", "s2", "s3")
items = st.lists(
    st.fixed_dictionaries(
        {"sample_id": st.sampled_from(IDS), "rating": st.integers(1, 10)},
        optional={"text": st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=9)},
    ),
    max_size=4,
)
wrappers = st.sampled_from(
    ["{}", "```json\n{}\n```", "Here: {} Bye {{x}}.", '{{"samples": {}}}', "<think>[{{</think>{}"]
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(items, wrappers, st.sampled_from(["length", "stop"]), st.booleans(), st.data())
def test_row_06_no_reply_yields_an_object_that_its_author_did_not_write(original, wrapper, stop, single, data):
    text = wrapper.format(json.dumps(original).replace('"', "'") if single else json.dumps(original))
    text = text[: data.draw(st.integers(0, len(text)))]
    found, problems, parsed = read_items(Reply(text, stop, 0, 0), IDS, Written)
    assert sorted([*found, *problems]) == sorted(IDS)
    if not single:  # the repair of single quotes reads an apostrophe as the end of a text
        assert all(value.model_dump() in original for value in found.values())
    else:
        assert all(value.model_dump()["rating"] in {one["rating"] for one in original} for value in found.values())
    if stop == "length":
        assert parsed.kind == "cut_off"


class Scripted:
    """Answers with what `reply` makes of the ids that a prompt asks for."""

    def __init__(self, reply):
        self.reply, self.asked = reply, []

    def ask(self, role, prompt, *, item, attempt=0):
        ids = prompt.split("\n")[0].split()
        self.asked.append(ids)
        return Reply(self.reply(ids), "stop", 0, 0)


@settings(deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 12))
def test_row_07_ids_are_matched_as_sets_and_every_id_ends_found_or_failed(rng, count):
    """Replies lose, repeat, contradict, invent and reorder ids at random."""
    ids = [f"s{number}" for number in range(1, count + 1)]
    never = set(rng.sample(ids, rng.randint(0, count)))

    def reply(asked):
        known = [id_ for id_ in asked if id_ not in never and rng.random() < 0.8]
        objects = [{"sample_id": id_, "rating": int(id_[1:])} for id_ in known]
        objects += rng.sample(objects, rng.randint(0, len(objects)))  # word for word the same: no contradiction
        objects += [{"sample_id": "s99", "rating": 3}, {"rating": 4}, {"sample_id": None, "rating": 5}]
        if twice := rng.sample(known, min(1, len(known))):
            objects.append({"sample_id": twice[0], "rating": 100})
        rng.shuffle(objects)
        return json.dumps(objects)

    teacher = Scripted(reply)
    answer = ask_items(teacher, "judge", item="x", ids=ids, prompt=" ".join, schema=Written)
    assert sorted([*answer.found, *answer.problems]) == sorted(ids)
    assert not never & answer.found.keys()
    assert all(value.model_dump() == {"sample_id": id_, "rating": int(id_[1:])} for id_, value in answer.found.items())
    assert len(teacher.asked) <= 3
    for asked, again in zip(teacher.asked, teacher.asked[1:], strict=False):
        assert set(again) <= set(asked)


def test_row_07_wrong_missing_repeated_and_reordered_ids_end_to_end(sums, tmp_path):
    """Samples stay with their seeds and ratings with their samples; what is never rated is marked failed."""
    rng = random.Random(7)

    def worth(question: str) -> float:
        return 7 + sum(question.encode()) % 4

    def mangle(role, request, text):
        blocks = json_blocks(request.prompt)
        if role == "generator":
            examples = blocks[0] if "TRAINING_ERROR_EXAMPLES" in request.prompt else blocks[1]
            by_id = {one["example_id"]: one.get("QUESTION/TASK", one)["prompt"] for one in examples}
            objects = json.loads(text)
            for one in objects:
                one["prompt"] += f" ({by_id[one['based_on_example']]})"
        elif role == "judge":
            rate = {p["sample_id"]: worth(p["synthetic"]["prompt"]) for p in blocks[-1]}
            objects = [{"sample_id": id_, "adherence": r, "utility": r, "relevance": r} for id_, r in rate.items()]
            objects = [one for one in objects if one["sample_id"] != "s2" or len(objects) == 1]
            if '"adherence"' not in request.prompt:  # the error branch
                objects = [one for one in objects if one["sample_id"] != "s3"] or [{"sample_id": "s4"}]
        else:
            return text
        rng.shuffle(objects)
        key = "based_on_example" if role == "generator" else "sample_id"
        return json.dumps([*objects, {**objects[0], key: "e77"}, objects[0]])

    metrics, provider = run_over_http(
        config(sums, generation__batch_size=5, quality__gate="sample"), tmp_path / "run", mangle
    )
    folder = tmp_path / "run/iteration_1"
    train = {row["id"]: row["prompt"] for row in jsonl(tmp_path / "run/data/train.jsonl")}
    accepted = jsonl(folder / "synthetic_accepted.jsonl")
    assert accepted and all(sample["row"]["prompt"].endswith(f"({train[sample['seed_id']]})") for sample in accepted)
    assert all(sample["review"]["score"] == worth(sample["row"]["prompt"]) for sample in accepted)
    ids = [sample["id"] for sample in accepted] + [entry["sample_id"] for entry in jsonl(folder / "rejected.jsonl")]
    assert Counter(ids).most_common(1)[0][1] == 1 and len(ids) == 10 == metrics["accounting"]["requested"]
    unrated = [d for d in jsonl(folder / "synthetic_raw.jsonl") if d["fault"] == "the judge gave it no valid rating"]
    assert unrated and {draft["fate"] for draft in unrated} == {"failed"}
    alone = [r for r in provider.requests if r.model == "judge" and "An earlier reply could not be used" in r.prompt]
    assert alone and all(len(json_blocks(request.prompt)[-1]) <= 2 for request in alone)  # the missing ones, no other


WITHHELD = {
    "content filter": (Answer("", stop="content_filter"), "refused"),
    "filtered half-way": (lambda text: Answer(text, stop="content_filter"), "refused"),
    "refusal in prose": (Answer("I'm sorry, but I can't help with that request."), "refused"),
    "empty string": (Answer(""), "empty"),
    "empty array": (Answer("```json\n[]\n```"), "empty"),
}


@pytest.mark.parametrize("body", WITHHELD)
def test_row_08_refusals_and_empty_replies_are_counted_and_never_become_samples(sums, tmp_path, body):
    """The generator withholds every sample of the error branch, the analyst its first batch of failures."""
    answer, counted = WITHHELD[body]
    first: list[str] = []

    def mangle(role, request, text):
        failures = role == "analyst" and request.prompt.startswith("Analyze these")
        if failures and not first:
            first.append(json_blocks(request.prompt)[0][0]["USER_QUERY"])
        if (failures and first[0] in request.prompt) or "TRAINING_ERROR_EXAMPLES" in request.prompt:
            return answer if isinstance(answer, Answer) else answer(text)
        return text

    metrics, _ = run_over_http(config(sums), tmp_path / "run", mangle)
    books = metrics["accounting"]
    assert balanced(books) and (books["accepted"], books["failed"]) == (5, 5)
    accepted = jsonl(tmp_path / "run/iteration_1/synthetic_accepted.jsonl")
    assert {sample["branch"] for sample in accepted} == {"pattern"}
    generator, analyst = metrics["replies"]["generator"], metrics["replies"]["analyst"]
    assert generator[counted] == 8 and generator["replies"] - 8 == 2  # two batches, four attempts each
    assert analyst[counted] >= 3
    assert any("no analysis of v1" in note for note in metrics["notes"])
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "What could be read of the replies" in page and "✓ adds up" in page
    assert f'<th scope="row">generator</th><td class="n">{generator["replies"]}</td>' in page


BAD_RATINGS = [float("nan"), float("inf"), 0, 11, -3, "8/10", "high", None, [9], {"value": 9}, "", "missing"]


def badly_rating(only_first: bool) -> FakeTeacher:
    """A judge who rates the utility of one sample after another with each of BAD_RATINGS; then again and again."""
    bad = itertools.cycle(BAD_RATINGS)
    lock = threading.Lock()

    def mangle(role, item, attempt, text):
        if role != "judge" or (only_first and "reask" in item):
            return text
        with lock:
            reviews = [{**review, "utility": next(bad)} for review in json.loads(text)]
        for review in reviews:
            if review["utility"] == "missing":
                del review["utility"]
        return json.dumps(reviews)

    return FakeTeacher(mangle=mangle)


def test_row_09_a_rating_outside_one_to_ten_never_passes(sums, tmp_path):
    teacher = badly_rating(only_first=False)
    metrics = run(config(sums, quality__threshold=1), tmp_path / "run", services=fake_services(teacher=teacher))
    assert metrics["accounting"]["accepted"] == 0 and metrics["accounting"]["failed"] == 10
    assert jsonl(tmp_path / "run/iteration_1/reviews.jsonl") == []
    judged = sum(prompt.count('"sample_id"') for role, *_, prompt in teacher.prompts if role == "judge")
    assert judged >= 2 * len(BAD_RATINGS)  # every bad rating had its turn


def test_row_09_a_rating_outside_one_to_ten_is_asked_again(sums, tmp_path):
    teacher = badly_rating(only_first=True)
    metrics = run(config(sums), tmp_path / "run", services=fake_services(teacher=teacher))
    assert metrics["accounting"]["accepted"] == 10
    asked = Counter("reask" in item for role, item, *_ in teacher.prompts if role == "judge")
    assert asked == {False: 4, True: 4}


@pytest.mark.parametrize("bad", [value for value in BAD_RATINGS if value != "missing"], ids=str)
def test_row_09_the_gate_itself_lets_no_bad_rating_through(bad):
    """One reply, read by the judge's own schema."""
    review = {"sample_id": "s1", "adherence": 9, "utility": bad, "relevance": 9}
    found, problems, _ = read_items(Reply(json.dumps([review]), "stop", 0, 0), ["s1"], PatternRating)
    assert found == {} and "s1" in problems


def test_a_rating_without_words_is_one():
    review = {"sample_id": "s1", "adherence": 9, "utility": 9, "relevance": 9}
    for words in ({}, {"feedback": None}, {"feedback": ""}):
        found, problems, _ = read_items(Reply(json.dumps([review | words]), "stop", 0, 0), ["s1"], PatternRating)
        assert problems == {} and not found["s1"].feedback


def test_row_10_a_batch_that_never_passes_is_regenerated_three_times_and_dropped(sums, tmp_path):
    teacher = FakeTeacher(rating=lambda item, attempt: 3.0)
    metrics = run(config(sums), tmp_path / "run", services=fake_services(teacher=teacher))
    assert metrics["accounting"]["rejected"] == metrics["accounting"]["requested"] == 10
    assert metrics["stop_reason"] == "round 1: none of the 10 synthetic samples was accepted"
    batches = jsonl(tmp_path / "run/iteration_1/batches.jsonl")
    assert all(batch["attempts"] == 4 and batch["scores"] == [3.0] * 4 for batch in batches)
    prompts = {(item, attempt): prompt for role, item, attempt, prompt in teacher.prompts if role == "generator"}
    assert len(prompts) == 4 * len(batches)
    for (_, attempt), prompt in prompts.items():
        assert ("QUALITY_CONTROL_FEEDBACK" in prompt) == (attempt > 0)
        assert attempt == 0 or f"rated 3.0 of 10. try {attempt - 1}" in prompt
    page = (tmp_path / "run/report.html").read_text(encoding="utf-8")
    assert "0 of 3 samples" in page and "none of the 10 synthetic samples was accepted" in page
