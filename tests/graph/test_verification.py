"""quality.verify_answers: the judge answers synthetic questions unseen, and disagreement is a fault with feedback."""

import json

import pytest

from pada_graph import run
from pada_graph.accounting import FATES
from pada_graph.tasks import get_task
from tests.fakes import FakeTeacher, fake_services, json_blocks, jsonl, write_sums
from tests.graph.test_loop import config


@pytest.fixture
def sums(tmp_path):
    return write_sums(tmp_path / "sums")


def wrong_first_sample(role, item, attempt, text):
    """The generator's first attempt at each batch has one wrong answer."""
    if role != "generator" or attempt:
        return text
    samples = json.loads(text)
    samples[0]["answer"] = str(int(samples[0]["answer"]) + 1)
    return json.dumps(samples)


def verifications(teacher):
    return [(item, prompt) for role, item, _, prompt in teacher.prompts if role == "judge" and "verify_answers" in item]


def test_it_is_off_by_default_and_wrong_answers_then_rest_on_the_rating(sums, tmp_path):
    teacher = FakeTeacher(mangle=wrong_first_sample)
    metrics = run(config(sums, iterations=1), tmp_path / "run", services=fake_services(teacher=teacher))
    assert verifications(teacher) == []
    assert metrics["accounting"]["accepted"] == 10


def test_a_wrong_answer_fails_its_sample_and_the_generator_is_told(sums, tmp_path):
    teacher = FakeTeacher(mangle=wrong_first_sample, rating=lambda item, attempt: 9.0)
    settings = config(sums, iterations=1, quality__verify_answers=True, quality__gate="sample")
    metrics = run(settings, tmp_path / "run", services=fake_services(teacher=teacher))
    assert metrics["accounting"]["accepted"] == 10  # all mended by the second attempt
    retries = [prompt for role, _, attempt, prompt in teacher.prompts if role == "generator" and attempt == 1]
    assert retries and all("a second look at the question alone gave the answer" in prompt for prompt in retries)
    accepted = jsonl(tmp_path / "run/iteration_1/synthetic_accepted.jsonl")
    assert {sample["attempts"] for sample in accepted} == {1, 2}


def test_the_judge_never_sees_the_answer_it_verifies(sums, tmp_path):
    teacher = FakeTeacher()
    run(
        config(sums, iterations=1, quality__verify_answers=True),
        tmp_path / "run",
        services=fake_services(teacher=teacher),
    )
    asked = [question for _, prompt in verifications(teacher) for question in json_blocks(prompt)[0]]
    accepted = jsonl(tmp_path / "run/iteration_1/synthetic_accepted.jsonl")
    assert len(asked) == len(accepted) == 10
    assert all(set(question) == {"sample_id", "question"} for question in asked)
    answers = {sample["row"]["prompt"]: sample["row"]["answer"] for sample in accepted}
    for question in asked:
        (answer,) = [answer for prompt, answer in answers.items() if prompt in question["question"]]
        assert answer not in question["question"]


@pytest.mark.parametrize("reply", ["I cannot.", "[]", '[{"sample_id": "s1", "answer": ""}]'])
def test_a_question_the_judge_cannot_answer_is_a_fault_and_the_books_balance(sums, tmp_path, reply):
    def mute(role, item, attempt, text):
        return reply if "verify_answers" in item else text

    settings = config(sums, iterations=1, quality__verify_answers=True)
    metrics = run(settings, tmp_path / "run", services=fake_services(teacher=FakeTeacher(mangle=mute)))
    books = metrics["accounting"]
    assert books["accepted"] == 0 and books["failed"] == books["requested"] == 10
    assert books["requested"] == sum(books[fate] for fate in FATES)
    rejected = jsonl(tmp_path / "run/iteration_1/rejected.jsonl")
    assert {entry["reason"] for entry in rejected} == {
        "a second look could not answer it; ask something clear that has one answer"
    }
    assert {entry["overlap"] for entry in rejected} == {None}


def test_a_task_that_proves_its_answers_is_not_put_to_the_judge(sums, tmp_path, monkeypatch):
    assert get_task("humaneval").proves_answers  # its sandbox has run every sample's own tests
    monkeypatch.setattr(type(get_task("jsonl")), "proves_answers", True)
    teacher = FakeTeacher()
    settings = config(sums, iterations=1, quality__verify_answers=True)
    run(settings, tmp_path / "run", services=fake_services(teacher=teacher))
    assert verifications(teacher) == []
    assert any("quality_control" in item for role, item, _, _ in teacher.prompts if role == "judge")
