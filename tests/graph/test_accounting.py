"""Requested = accepted + rejected + failed + duplicate + contaminated: at every stage, whatever the models send."""

import json
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pada_graph import run
from pada_graph.accounting import FATES, check_identity, check_ids, check_requested, count_fates
from pada_graph.errors import StoppedError
from pada_graph.rundir import RunDir
from pada_graph.services import Reply
from tests.fakes import FakePredictor, FakeTeacher, FakeTrainer, fake_services, jsonl, write_sums
from tests.graph.test_loop import config

MISDEEDS = (
    "fine", "prose", "empty", "array", "missing", "extra", "doubled", "swapped", "torn", "no answer", "train row",
    "validation row", "same for all", "poor",
)  # fmt: skip


def misbehave(deed: str, role: str, text: str, sums: Path) -> str:
    """What a model makes of its right reply `text`."""
    values = json.loads(text)
    if role == "analyst" or deed == "fine":
        return text
    match deed:
        case "prose":
            return "I would rather not."
        case "empty":
            return ""
        case "array":
            return "[]"
        case "torn":
            return text[: len(text) // 2]
        case "missing":
            values = values[1:]
        case "extra":
            values.append({**values[0], "based_on_example": "e77", "sample_id": "s77"})
        case "doubled":
            values.append({**values[0], "prompt": "What is 1 plus 2?", "feedback": "another"})
        case "swapped":
            values.reverse()
        case "no answer" if role == "generator":
            values[0]["answer"] = None
        case "train row" if role == "generator":
            values[-1] |= jsonl(sums / "train.jsonl")[3]
        case "validation row" if role == "generator":
            values[-1] |= jsonl(sums / "validation.jsonl")[3]
        case "same for all" if role == "generator":
            values = [{**value, "prompt": "What is 71 plus 82?", "answer": "153"} for value in values]
        case "poor" if role == "judge":
            values = [{**value, "adherence": 2, "utility": 2, "relevance": 2} for value in values]
    return json.dumps(values)


def test_every_misdeed_once_leaves_the_books_balanced(tmp_path):
    sums = write_sums(tmp_path / "sums")
    calls = Counter()

    def in_turn(role, item, attempt, text):
        calls[role] += 1
        return misbehave(MISDEEDS[calls[role] % len(MISDEEDS)], role, text, sums)

    settings_ = config(sums, generation__ratio=2.0, limits__concurrency=1)
    metrics = run(settings_, tmp_path / "run", services=fake_services(teacher=FakeTeacher(mangle=in_turn)))
    check_books(tmp_path / "run", metrics)
    assert calls["generator"] > len(MISDEEDS) < calls["judge"]
    assert metrics["accounting"]["accepted"] and metrics["accounting"]["failed"]


@pytest.mark.slow
@given(
    deeds=st.lists(st.sampled_from(MISDEEDS), min_size=1, max_size=12),
    gate=st.sampled_from(["batch", "sample"]),
    on_exhausted=st.sampled_from(["drop", "keep_best"]),
    enabled=st.booleans(),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_sample_asked_for_has_one_fate_whatever_the_models_send(deeds, gate, on_exhausted, enabled):
    with tempfile.TemporaryDirectory() as folder:
        sums = write_sums(Path(folder) / "sums")
        calls = Counter()

        def mangle(role, item, attempt, text):
            calls[item] += 1
            place = sum(map(ord, f"{item}{attempt}")) + calls[item]
            return misbehave(deeds[place % len(deeds)], role, text, sums)

        quality = {"gate": gate, "on_exhausted": on_exhausted, "enabled": enabled, "max_regenerations": 1}
        changes = {f"quality__{key}": value for key, value in quality.items()}
        teacher = FakeTeacher(mangle=mangle)
        metrics = run(config(sums, **changes), Path(folder) / "run", services=fake_services(teacher=teacher))
        check_books(Path(folder) / "run", metrics)


def check_books(directory: Path, metrics: dict) -> None:
    """The identity and the multiset of ids: plan, attempts, batches, files, rounds, run."""
    balance(metrics["accounting"])
    accepted_so_far = requested_so_far = 0
    entries = {entry["iteration"]: entry for entry in metrics["iterations"]}
    rounds = sorted(file.parent for file in directory.glob("iteration_*/batches.jsonl"))
    assert rounds
    for folder in rounds:
        plan, batches = jsonl(folder / "plan.jsonl"), jsonl(folder / "batches.jsonl")
        slots = Counter(slot["sample_id"] for batch in plan for slot in batch["slots"])
        accepted, rejected = jsonl(folder / "synthetic_accepted.jsonl"), jsonl(folder / "rejected.jsonl")
        assert set(slots.values()) == {1}
        assert Counter(s["id"] for s in accepted) + Counter(r["sample_id"] for r in rejected) == slots
        fates = Counter({"accepted": len(accepted)}) + Counter(r["fate"] for r in rejected)
        assert all(r["reason"] for r in rejected)
        assert {fate: sum(batch[fate] for batch in batches) for fate in FATES} == {fate: fates[fate] for fate in FATES}
        for batch in batches:
            balance(batch)
            assert batch["accepted_batch"] == (batch["accepted"] > 0)
            assert len(batch["books"]) == batch["attempts"]
            for books in batch["books"]:
                balance(books)
        accepted_so_far += len(accepted)
        requested_so_far += slots.total()
        entry = entries.get(int(folder.name.removeprefix("iteration_")))
        assert bool(entry) == bool(accepted)  # nothing new is no new student
        if entry:
            assert entry["accounting"] == {"requested": slots.total(), **{fate: fates[fate] for fate in FATES}}
            trained = Counter(row["id"] for row in jsonl(folder / "train.jsonl"))
            assert max(trained.values()) == 1 and trained.total() == 20 + accepted_so_far
            assert entry["synthetic_rows"] == accepted_so_far
    assert metrics["accounting"]["requested"] == requested_so_far
    assert metrics["accounting"]["accepted"] == accepted_so_far


def balance(books: dict) -> None:
    assert books["requested"] == sum(books[fate] for fate in FATES)


def test_a_batch_whose_samples_were_all_taken_out_at_the_end_is_not_accepted(tmp_path):
    sums = write_sums(tmp_path / "sums")

    def same_everywhere(role, item, attempt, text):
        if role != "generator":
            return text
        values = json.loads(text)
        return json.dumps(
            [{**v, "prompt": f"What is 7{k} plus 82?", "answer": str(152 + k)} for k, v in enumerate(values)]
        )

    teacher = FakeTeacher(mangle=same_everywhere)
    run(config(sums, iterations=1), tmp_path / "run", services=fake_services(teacher=teacher))
    batches = jsonl(tmp_path / "run/iteration_1/batches.jsonl")
    emptied = [b for b in batches if b["duplicate"] == b["requested"]]
    assert emptied and not any(b["accepted_batch"] for b in emptied)
    assert any(b["accepted_batch"] for b in batches)


def test_a_missing_sample_of_a_batch_that_passes_is_written_in_the_attempts_left(tmp_path):
    sums = write_sums(tmp_path / "sums")

    def two_of_three(role, item, attempt, text):
        values = json.loads(text)
        return json.dumps(values[1:]) if role == "generator" and attempt == 0 and len(values) == 3 else text

    teacher = FakeTeacher(mangle=two_of_three)
    settings_ = config(sums, iterations=1, quality__threshold=6)
    metrics = run(settings_, tmp_path / "run", services=fake_services(teacher=teacher))
    assert metrics["accounting"]["accepted"] == 10
    (batch,) = [b for b in jsonl(tmp_path / "run/iteration_1/batches.jsonl") if b["batch_id"] == "t1-e-b0"]
    assert [(books["requested"], books["accepted"]) for books in batch["books"]] == [(3, 2), (1, 1)]


class FilteredTeacher(FakeTeacher):
    """Refuses every generator prompt that holds a poisoned question."""

    poison = ""

    def ask(self, role, prompt, *, item, attempt=0):
        reply = super().ask(role, prompt, item=item, attempt=attempt)
        return Reply("", "content_filter", 0, 0) if role == "generator" and self.poison in prompt else reply


def test_a_refused_sample_neither_weighs_on_its_batch_nor_is_asked_for_again(tmp_path):
    sums = write_sums(tmp_path / "sums")
    teacher = FilteredTeacher(rating=lambda item, attempt: 7.5)
    run(config(sums, iterations=1), tmp_path / "clean", services=fake_services(teacher=FakeTeacher()))
    batch = next(b for b in jsonl(tmp_path / "clean/iteration_1/plan.jsonl") if len(b["slots"]) == 3)
    seed = batch["slots"][1]["seed_id"]
    teacher.poison = next(r["prompt"] for r in jsonl(tmp_path / "clean/data/train.jsonl") if r["id"] == seed)
    run(config(sums, iterations=1), tmp_path / "run", services=fake_services(teacher=teacher))
    outcomes = {b["batch_id"]: b for b in jsonl(tmp_path / "run/iteration_1/batches.jsonl")}
    outcome = outcomes[batch["batch_id"]]
    assert (outcome["accepted"], outcome["failed"], outcome["attempts"], outcome["scores"]) == (2, 1, 1, [7.5])
    line = next(r for r in jsonl(tmp_path / "run/iteration_1/rejected.jsonl") if r["seed_id"] == seed)
    assert "content_filter" in line["reason"]


def test_a_batch_file_that_lost_a_sample_stops_the_run_and_names_the_batch(tmp_path):
    with pytest.raises(StoppedError, match=r"samples of batch b1 .*missing: b1-2.*unknown: x"):
        check_ids("batch b1", ["b1-1", "b1-2"], ["b1-1", "x"])
    with pytest.raises(StoppedError, match=r"doubled: b1-1"):
        check_ids("batch b1", ["b1-1"], ["b1-1", "b1-1"])
    with pytest.raises(StoppedError, match=r"books of batch b1 do not balance: 3 samples asked for, requested 2 = "):
        check_identity("batch b1", count_fates(["accepted", "failed"]), 3)
    with pytest.raises(StoppedError, match=r"3 samples wanted, 3 slots with 2 ids"):
        check_requested("the plan of round 1", ["a", "a", "b"], 3)


def test_rows_that_nobody_accepted_stop_the_run_before_they_are_trained_on(tmp_path, monkeypatch):
    settings, trainer, write = config(write_sums(tmp_path / "sums"), iterations=1), FakeTrainer(), RunDir.write_jsonl

    def one_twice(self, name, rows):
        rows = list(rows)
        return write(self, name, [*rows, *rows[:1]] if name.endswith("synthetic_accepted.jsonl") else rows)

    monkeypatch.setattr(RunDir, "write_jsonl", one_twice)
    with pytest.raises(StoppedError, match=r"iteration 1 holds 11 synthetic rows, 10 were accepted until then"):
        run(settings, tmp_path / "run", services=fake_services(trainer=trainer))
    assert [job.adapter.parent.name for job in trainer.jobs] == ["iteration_0"]


def test_the_books_of_the_run_are_checked_against_the_plans(tmp_path):
    settings = config(write_sums(tmp_path / "sums"), iterations=1)

    class Cutting(FakePredictor):
        def predict(self, *args, **kwargs):
            plan = tmp_path / "run/iteration_1/plan.jsonl"
            if plan.exists():
                plan.write_text("".join(plan.read_text().splitlines(keepends=True)[1:]))
            return super().predict(*args, **kwargs)

    with pytest.raises(StoppedError, match=r"The books of the run do not balance: \d samples asked for, requested 10"):
        run(settings, tmp_path / "run", services=fake_services(predictor=Cutting()))
