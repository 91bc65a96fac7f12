"""The whole graph with fake services: both loops, the books, lineage, what never happens."""

import errno
import json
from collections import Counter
from pathlib import Path

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from pada_graph import build_graph, run
from pada_graph.accounting import FATES
from pada_graph.errors import InputError
from pada_graph.nodes import evaluate
from pada_graph.nodes import open as opening
from pada_graph.nodes.orchestrator import best_iteration
from pada_graph.rundir import RunDir
from tests.fakes import (
    FakePredictor,
    FakeTeacher,
    FakeTrainer,
    KilledError,
    fake_services,
    json_blocks,
    jsonl,
    sums_config,
    write_sums,
)

config = sums_config


@pytest.fixture
def sums(tmp_path: Path) -> Path:
    return write_sums(tmp_path / "sums")


def test_two_rounds_grow_the_training_set_by_half_each(sums, tmp_path):
    trainer = FakeTrainer()
    metrics = run(config(sums), tmp_path / "run", services=fake_services(trainer=trainer))
    assert [job.rows.read_text().count("\n") for job in trainer.jobs] == [20, 30, 40]
    assert [entry["synthetic_rows"] for entry in metrics["iterations"]] == [0, 10, 20]
    books = metrics["accounting"]
    assert books["requested"] == 20 == sum(books[fate] for fate in FATES)
    assert metrics["stop_reason"] == "all 2 rounds are done"


def test_half_of_the_samples_come_from_patterns_and_half_from_train_errors(sums, tmp_path):
    run(config(sums, iterations=1), tmp_path / "run", services=fake_services())
    accepted = jsonl(tmp_path / "run/iteration_1/synthetic_accepted.jsonl")
    assert [sample["branch"] for sample in accepted].count("pattern") == 5
    assert [sample["branch"] for sample in accepted].count("error") == 5


def test_every_sample_carries_its_lineage(sums, tmp_path):
    run(config(sums, iterations=1), tmp_path / "run", services=fake_services())
    train = {row["id"] for row in jsonl(tmp_path / "run/data/train.jsonl")}
    strategies = {s["strategy_id"]: s for s in jsonl(tmp_path / "run/iteration_1/strategies.jsonl")}
    for sample in jsonl(tmp_path / "run/iteration_1/synthetic_accepted.jsonl"):
        assert sample["seed_id"] in train
        assert sample["iteration"] == 1 and sample["attempts"] == 1 and len(sample["prompt_sha256"]) == 64
        assert sample["review"]["score"] == 9.0
        if sample["branch"] == "pattern":
            assert strategies[sample["strategy_id"]]["pattern_id"] == sample["pattern_id"]


def test_a_low_score_sends_the_batch_back_with_the_judges_words(sums, tmp_path):
    teacher = FakeTeacher(rating=lambda item, attempt: 4.0 if attempt == 0 else 8.0)
    metrics = run(config(sums, iterations=1), tmp_path / "run", services=fake_services(teacher=teacher))
    regenerations = [p for role, _, attempt, p in teacher.prompts if role == "generator" and attempt == 1]
    assert regenerations and all("rated 4.0 of 10. try 0" in prompt for prompt in regenerations)
    batches = jsonl(tmp_path / "run/iteration_1/batches.jsonl")
    assert {tuple(batch["scores"]) for batch in batches} == {(4.0, 8.0)}
    assert metrics["accounting"]["accepted"] == 10


def test_a_batch_that_never_passes_is_dropped_after_three_regenerations(sums, tmp_path):
    teacher = FakeTeacher(rating=lambda item, attempt: 3.0 if item.startswith("t1/quality_control/t1-e-b0") else 9.0)
    metrics = run(config(sums, iterations=1), tmp_path / "run", services=fake_services(teacher=teacher))
    dropped = next(b for b in jsonl(tmp_path / "run/iteration_1/batches.jsonl") if b["batch_id"] == "t1-e-b0")
    assert dropped["attempts"] == 4 and dropped["rejected"] == 3 and dropped["accepted"] == 0
    assert metrics["accounting"] == {
        "requested": 10, "accepted": 7, "rejected": 3, "failed": 0, "duplicate": 0, "contaminated": 0
    }  # fmt: skip


def test_keep_best_accepts_the_best_attempt_of_an_exhausted_batch(sums, tmp_path):
    teacher = FakeTeacher(rating=lambda item, attempt: [3.0, 6.0, 5.0, 2.0][attempt])
    settings = config(sums, iterations=1, quality__on_exhausted="keep_best")
    run(settings, tmp_path / "run", services=fake_services(teacher=teacher))
    accepted = jsonl(tmp_path / "run/iteration_1/synthetic_accepted.jsonl")
    assert len(accepted) == 10 and {sample["review"]["score"] for sample in accepted} == {6.0}


def test_keep_best_with_the_sample_gate_keeps_the_best_attempt_of_each_sample(sums, tmp_path):
    def one_passes(role, item, attempt, text):
        if role == "judge" and attempt == 0:
            reviews = json.loads(text)
            reviews[0].update(adherence=8, utility=8, relevance=8)
            return json.dumps(reviews)
        return text

    teacher = FakeTeacher(rating=lambda item, attempt: [3.0, 6.0, 5.0, 2.0][attempt], mangle=one_passes)
    settings = config(sums, iterations=1, quality__on_exhausted="keep_best", quality__gate="sample")
    metrics = run(settings, tmp_path / "run", services=fake_services(teacher=teacher))
    accepted = jsonl(tmp_path / "run/iteration_1/synthetic_accepted.jsonl")
    batches = len(jsonl(tmp_path / "run/iteration_1/batches.jsonl"))
    assert sorted(s["review"]["score"] for s in accepted) == [*[6.0] * (10 - batches), *[8.0] * batches]
    assert {s["attempts"] for s in accepted if s["review"]["score"] == 6.0} == {2}
    assert metrics["accounting"]["accepted"] == 10


def test_the_sample_gate_rewrites_only_what_fell_short(sums, tmp_path):
    def first_sample_is_poor(role, item, attempt, text):
        if role == "judge" and attempt == 0:
            reviews = json.loads(text)
            reviews[0].update(adherence=2, utility=2, relevance=2)
            return json.dumps(reviews)
        return text

    teacher = FakeTeacher(mangle=first_sample_is_poor)
    settings = config(sums, iterations=1, quality__gate="sample")
    metrics = run(settings, tmp_path / "run", services=fake_services(teacher=teacher))
    second = [json_blocks(p) for role, _, attempt, p in teacher.prompts if role == "generator" and attempt == 1]
    assert second and all(len(blocks[-1]) == 1 for blocks in second)
    assert metrics["accounting"]["accepted"] == 10


def test_malformed_replies_count_as_attempts_and_are_told_so(sums, tmp_path):
    def prose_first(role, item, attempt, text):
        return "I would rather not." if role == "generator" and attempt == 0 else text

    teacher = FakeTeacher(mangle=prose_first)
    metrics = run(config(sums, iterations=1), tmp_path / "run", services=fake_services(teacher=teacher))
    assert metrics["accounting"]["accepted"] == 10
    second = [prompt for role, _, attempt, prompt in teacher.prompts if role == "generator" and attempt == 1]
    assert all("the sample based on e1: unusable, " in prompt for prompt in second)
    judged_first = [item for role, item, attempt, _ in teacher.prompts if role == "judge" and attempt == 0]
    assert judged_first == []  # nothing to judge, nothing paid


@pytest.mark.parametrize("rating", [float("nan"), 0, 11, "8/10", None])
def test_a_rating_outside_one_to_ten_never_passes(sums, tmp_path, rating):
    teacher = FakeTeacher(rating=lambda item, attempt: rating)
    metrics = run(config(sums, iterations=1), tmp_path / "run", services=fake_services(teacher=teacher))
    assert metrics["accounting"]["accepted"] == 0
    assert metrics["stop_reason"] == "round 1: none of the 10 synthetic samples was accepted"


def test_copies_of_train_rows_and_of_held_out_rows_are_dropped_and_counted(sums, tmp_path):
    train, validation = (jsonl(sums / f"{split}.jsonl") for split in ("train", "validation"))

    def copy(role, item, attempt, text):
        if role != "generator" or "/t1-e-b" not in item:
            return text
        samples = json.loads(text)
        for sample, source in zip(samples, [train[0], validation[0], {}], strict=False):
            sample.update({key: value.upper() for key, value in source.items()})
        return json.dumps(samples)

    settings = config(sums, iterations=1, quality__threshold=3)
    metrics = run(settings, tmp_path / "run", services=fake_services(teacher=FakeTeacher(mangle=copy)))
    books = metrics["accounting"]
    assert books["duplicate"] == 2 and books["contaminated"] == 2
    assert books["requested"] == sum(books[fate] for fate in FATES)
    questions = {row["prompt"].casefold() for row in jsonl(tmp_path / "run/iteration_1/train.jsonl")}
    assert validation[0]["prompt"].casefold() not in questions


def test_feedback_quotes_the_rejected_sample_but_never_held_out_text(sums, tmp_path):
    validation = jsonl(sums / "validation.jsonl")[0]

    def echo_once(role, item, attempt, text):
        if role != "generator" or attempt:
            return text
        samples = json.loads(text)
        samples[0].update(validation)
        return json.dumps(samples)

    teacher = FakeTeacher(rating=lambda item, attempt: 4.0 if attempt == 0 else 9.0, mangle=echo_once)
    run(config(sums, iterations=1), tmp_path / "run", services=fake_services(teacher=teacher))
    second = [prompt for role, _, attempt, prompt in teacher.prompts if role == "generator" and attempt == 1]
    assert second and all(
        "the sample based on e1: unusable, it is too close to well-known text" in prompt for prompt in second
    )
    assert all(validation["prompt"] not in prompt for prompt in second)
    longer = [prompt for prompt in second if '"e2"' in prompt]
    assert longer and all("the sample based on e2, 'What is " in prompt for prompt in longer)


def test_validation_and_test_rows_reach_no_generator_and_no_training_file(sums, tmp_path):
    teacher = FakeTeacher()
    run(config(sums), tmp_path / "run", services=fake_services(teacher=teacher))
    shown = "\n".join(prompt for role, _, _, prompt in teacher.prompts if role != "analyst")
    trained = (tmp_path / "run/iteration_2/train.jsonl").read_text()
    for split in ("validation", "test"):
        for row in jsonl(sums / f"{split}.jsonl"):
            assert row["prompt"] not in shown and row["prompt"] not in trained


@pytest.mark.parametrize(
    ("validation", "best"), [([0.5, 0.6, 0.4], 1), ([0.5, 0.5], 0), ([0.3, 0.5, 0.5], 1), ([0], 0)]
)
def test_validation_alone_chooses_the_iteration_and_the_earlier_of_two_that_are_level(validation, best):
    def scored(iteration, split, accuracy):
        return {"iteration": iteration, "split": split, "score": {"accuracy": accuracy}}

    evaluations = [scored(None, "validation", 0.9)]
    for iteration, accuracy in enumerate(validation):
        evaluations += [scored(iteration, "validation", accuracy), scored(iteration, "train", 1 - accuracy)]
    assert best_iteration(evaluations) == best


def test_iterations_that_got_worse_are_neither_chosen_nor_tested(sums, tmp_path):
    predictor = FakePredictor(known=10, per_row=-0.1)
    metrics = run(config(sums), tmp_path / "run", services=fake_services(predictor=predictor))
    correct = [entry["validation"]["correct"] for entry in metrics["iterations"]]
    assert correct == [8, 7, 6] and metrics["best_iteration"] == 0
    assert [bool(entry["test"]) for entry in metrics["iterations"]] == [True, False, False]
    assert metrics["untuned"]["test"]["correct"] == 10


@pytest.mark.parametrize(("share", "patterns"), [(0.0, 0), (0.3, 3), (1.0, 10)])
def test_a_round_is_shared_between_patterns_and_train_errors_as_the_configuration_says(sums, tmp_path, share, patterns):
    run(config(sums, iterations=1, generation__pattern_share=share), tmp_path / "run", services=fake_services())
    accepted = jsonl(tmp_path / "run/iteration_1/synthetic_accepted.jsonl")
    assert Counter(s["branch"] for s in accepted) == Counter({"pattern": patterns, "error": 10 - patterns})


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("analyze_errors", "round 1: no failure could be analysed"),
        ("categorize_pattern", "cluster 0 is left out"),
        ("draft_strategy", "the pattern has no strategy"),
    ],
)
def test_an_analyst_without_a_usable_word_leaves_the_round_to_the_train_errors(sums, tmp_path, step, said):
    def wordless(role, item, attempt, text):
        return "As you wish." if f"/{step}/" in item else text

    services = fake_services(teacher=FakeTeacher(mangle=wordless))
    metrics = run(config(sums, iterations=1), tmp_path / "run", services=services)
    assert any(said in note for note in metrics["notes"])
    assert "round 1: no strategy to follow; the error branch takes the whole share" in metrics["notes"]
    accepted = jsonl(tmp_path / "run/iteration_1/synthetic_accepted.jsonl")
    assert [sample["branch"] for sample in accepted] == ["error"] * 10


def test_a_round_with_neither_a_strategy_nor_train_errors_ends_the_run(sums, tmp_path):
    def wordless(role, item, attempt, text):
        return "As you wish." if "/draft_strategy/" in item else text

    teacher = FakeTeacher(mangle=wordless)
    metrics = run(config(sums, train_errors__enabled=False), tmp_path / "run", services=fake_services(teacher=teacher))
    assert metrics["stop_reason"].startswith("round 1: nothing to generate from")
    assert metrics["accounting"]["requested"] == 0 and metrics["best_iteration"] == 0
    assert {role for role, *_ in teacher.prompts} == {"analyst"}


@pytest.mark.parametrize(("on_exhausted", "accepted"), [("drop", 0), ("keep_best", 10)])
def test_without_regenerations_the_first_look_at_a_batch_is_the_last(sums, tmp_path, on_exhausted, accepted):
    teacher = FakeTeacher(rating=lambda item, attempt: 3.0)
    settings = config(sums, iterations=1, quality__max_regenerations=0, quality__on_exhausted=on_exhausted)
    metrics = run(settings, tmp_path / "run", services=fake_services(teacher=teacher))
    assert metrics["accounting"]["accepted"] == accepted
    assert {attempt for _, _, attempt, _ in teacher.prompts} == {0}


def test_the_test_split_is_answered_once_at_the_end(sums, tmp_path):
    predictor = FakePredictor()
    metrics = run(config(sums), tmp_path / "run", services=fake_services(predictor=predictor))
    assert metrics["best_iteration"] == 2
    assert metrics["iterations"][1]["test"] is None
    assert [str(adapter)[-20:] if adapter else None for adapter, _ in predictor.calls[-3:]] == [
        None, "/iteration_0/adapter", "/iteration_2/adapter"
    ]  # fmt: skip


def test_a_student_that_is_always_right_ends_the_run_and_says_why(sums, tmp_path):
    teacher = FakeTeacher()
    services = fake_services(teacher=teacher, predictor=FakePredictor(known=100))
    metrics = run(config(sums), tmp_path / "run", services=services)
    assert teacher.prompts == []
    assert metrics["stop_reason"] == "after round 0 there is no failure left to learn from: 0 on validation, 0 on train"


def test_a_note_tells_of_a_run_that_went_on_in_another_precision(sums, tmp_path):
    class MovingTrainer(FakeTrainer):
        def train(self, job, progress):
            super().train(job, progress)
            dtype = "bfloat16" if job.adapter.parent.name == "iteration_0" else "float32"
            files = {"adapter_model.safetensors": {"sha256": "0"}}
            (job.adapter / "manifest.json").write_text(json.dumps({"inputs": "0", "dtype": dtype, "files": files}))

    metrics = run(config(sums), tmp_path / "run", services=fake_services(trainer=MovingTrainer()))
    said = "iteration {} was trained in float32, iteration 0 in bfloat16"
    assert [note.partition(":")[0] for note in metrics["notes"] if "trained in" in note] == [
        said.format(1),
        said.format(2),
    ]


def test_one_validation_failure_is_one_cluster(sums, tmp_path):
    services = fake_services(predictor=FakePredictor(known=11, per_row=0))
    run(config(sums, iterations=1), tmp_path / "run", services=services)
    clustering = json.loads((tmp_path / "run/iteration_1/clustering.json").read_text())
    assert clustering["k"] == 1 and clustering["method"] == "single"


def test_an_empty_branch_gives_its_share_to_the_other(sums, tmp_path):
    for name, switched_off, branch in (("a", "patterns__enabled", "error"), ("b", "train_errors__enabled", "pattern")):
        run(config(sums, iterations=1, **{switched_off: False}), tmp_path / name, services=fake_services())
        accepted = jsonl(tmp_path / name / "iteration_1/synthetic_accepted.jsonl")
        assert len(accepted) == 10 and {sample["branch"] for sample in accepted} == {branch}


def test_without_quality_control_no_judge_is_asked(sums, tmp_path):
    teacher = FakeTeacher(rating=lambda item, attempt: 1.0)
    settings = config(sums, iterations=1, quality__enabled=False)
    metrics = run(settings, tmp_path / "run", services=fake_services(teacher=teacher))
    assert "judge" not in {role for role, *_ in teacher.prompts}
    assert metrics["accounting"]["accepted"] == 10


def test_vanilla_stops_after_fine_tuning(sums, tmp_path):
    teacher = FakeTeacher()
    metrics = run(config(sums, method="vanilla"), tmp_path / "run", services=fake_services(teacher=teacher))
    assert teacher.prompts == [] and len(metrics["iterations"]) == 1
    assert metrics["iterations"][0]["test"]["n"] == 12


@pytest.mark.parametrize("kill", [1, 4, 9, 17, 26])
def test_a_killed_run_resumes_to_the_same_training_set(sums, tmp_path, kill):
    run(config(sums), tmp_path / "whole", services=fake_services())
    with pytest.raises(KilledError):
        run(config(sums), tmp_path / "killed", services=fake_services(teacher=FakeTeacher(stop_at=kill)))
    metrics = run(config(sums), tmp_path / "killed", services=fake_services())
    whole, resumed = (tmp_path / name / "iteration_2/train.jsonl" for name in ("whole", "killed"))
    assert whole.read_bytes() == resumed.read_bytes()
    assert metrics["accounting"]["requested"] == 20


def test_a_finished_run_is_not_repeated(sums, tmp_path):
    first = run(config(sums), tmp_path / "run", services=fake_services())
    trainer, teacher = FakeTrainer(), FakeTeacher()
    again = run(config(sums), tmp_path / "run", services=fake_services(trainer=trainer, teacher=teacher))
    assert again == first and trainer.jobs == [] and teacher.prompts == []


@pytest.mark.parametrize("bare", [False, True])
def test_a_refused_start_leaves_no_directory_and_one_that_was_there_stays(sums, tmp_path, bare):
    settings = config(sums, data__train_size=21)  # there are 20
    for folder in (tmp_path / "runs/new", tmp_path / "mine"):
        if folder.name == "mine":
            folder.mkdir()
            (folder / "notes.txt").write_text("of mine")
        with pytest.raises(InputError, match="21"):
            if bare:
                build_graph(fake_services()).invoke({"run_dir": str(folder)}, context=settings)
            else:
                run(settings, folder, services=fake_services())
    assert not (tmp_path / "runs").exists()
    assert (tmp_path / "mine/notes.txt").read_text() == "of mine"
    assert run(config(sums, iterations=0), tmp_path / "mine", services=fake_services())["best_iteration"] == 0


def test_a_run_directory_refuses_another_configuration(sums, tmp_path):
    run(config(sums, method="vanilla"), tmp_path / "run", services=fake_services())
    with pytest.raises(InputError, match=r'generation.ratio: 0.5 is recorded, 1.0 is given, method: "vanilla" is rec'):
        run(config(sums, generation__ratio=1.0), tmp_path / "run", services=fake_services())


def test_a_raised_limit_is_no_other_configuration(sums, tmp_path):
    run(config(sums, method="vanilla"), tmp_path / "run", services=fake_services())
    run(config(sums, method="vanilla", limits__max_calls=5), tmp_path / "run", services=fake_services())
    stored = json.loads((tmp_path / "run/resolved_config.json").read_text())
    assert stored["limits"]["max_calls"] == 5


def test_a_moved_run_directory_resumes(sums, tmp_path):
    with pytest.raises(KilledError):
        run(config(sums), tmp_path / "here", services=fake_services(teacher=FakeTeacher(stop_at=9)))
    (tmp_path / "here").rename(tmp_path / "there")
    metrics = run(config(sums), tmp_path / "there", services=fake_services())
    assert metrics["stop_reason"] == "all 2 rounds are done" and not (tmp_path / "here").exists()


def test_api_keys_are_not_written_down(sums, tmp_path):
    judge = {
        "model": "openai:some",
        "api_key": "sk-canary-1234",
        "base_url": "http://me:sk-canary-1234@127.0.0.1:1/v1",
        "model_kwargs": {"extra_headers": [{"api_key": "sk-canary-1234"}]},
    }
    settings = config(sums, iterations=1, models={"judge": judge})
    run(settings, tmp_path / "run", services=fake_services())
    written = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(written) > 20
    assert [path for path in written if b"sk-canary-1234" in path.read_bytes()] == []


def test_one_call_at_a_time_is_enough(sums, tmp_path):
    metrics = run(config(sums, limits__concurrency=1), tmp_path / "run", services=fake_services())
    assert metrics["accounting"]["accepted"] == 20


def test_a_second_input_on_a_finished_thread_is_refused(sums, tmp_path):
    graph = build_graph(fake_services(), InMemorySaver())
    thread = {"configurable": {"thread_id": "t"}}
    graph.invoke({"run_dir": str(tmp_path / "a")}, thread, context=config(sums, method="vanilla"))
    with pytest.raises(InputError, match="start a new thread"):
        graph.invoke({"run_dir": str(tmp_path / "b")}, thread, context=config(sums, method="vanilla"))


@pytest.mark.parametrize("killed", [False, True])
def test_a_fork_with_other_strategies_does_not_score_the_other_students_answers(sums, tmp_path, monkeypatch, killed):
    graph = build_graph(fake_services(), InMemorySaver())
    thread = {"configurable": {"thread_id": "t"}}
    settings = config(sums, iterations=1)
    graph.invoke({"run_dir": str(tmp_path / "run")}, thread, context=settings)
    planned = next(s for s in graph.get_state_history(thread) if s.next == ("collect_batches",))
    file = tmp_path / "run/iteration_1/batches/t1-e-b0.json"
    batch = json.loads(file.read_text())
    batch["accepted"][0]["row"] = {"id": "t1-e-b0-1", "prompt": "What is 1 plus 2?", "answer": "3"}
    file.write_text(json.dumps(batch))
    predictor = FakePredictor()
    graph = build_graph(fake_services(predictor=predictor), graph.checkpointer)
    opening.close_run(tmp_path / "run")
    if killed:

        def written_and_killed(self, name, text, write=RunDir.write_text):
            write(self, name, text)
            if name == "iteration_1/train.jsonl":
                raise KilledError

        with monkeypatch.context() as patch, pytest.raises(KilledError):
            patch.setattr(RunDir, "write_text", written_and_killed)
            graph.invoke(None, planned.config, context=settings)
    graph.invoke(None, planned.config, context=settings)
    assert "What is 1 plus 2?" in (tmp_path / "run/iteration_1/train.jsonl").read_text()
    assert [str(adapter)[-11 - 8 :] for adapter, _ in predictor.calls if adapter] == ["iteration_1/adapter"] * 2


def test_many_threads_open_a_run_once(sums, tmp_path, monkeypatch):
    with pytest.raises(KilledError):
        run(config(sums), tmp_path / "run", services=fake_services(teacher=FakeTeacher(stop_at=9)))
    made = []
    make = opening._make
    monkeypatch.setattr(opening, "_make", lambda *arguments: made.append(1) or make(*arguments))
    run(config(sums), tmp_path / "run", services=fake_services())
    assert made == [1]


def test_data_that_change_under_a_run_are_refused(sums, tmp_path):
    with pytest.raises(KilledError):
        run(config(sums), tmp_path / "run", services=fake_services(teacher=FakeTeacher(stop_at=9)))
    file = tmp_path / "run/data/test.jsonl"
    file.write_text(file.read_text().replace("plus", "minus"))
    with pytest.raises(InputError, match=r"test\.jsonl: was changed since the run began"):
        run(config(sums), tmp_path / "run", services=fake_services())


def test_a_strategy_that_quotes_a_held_out_row_is_dropped(sums, tmp_path):
    secret = jsonl(sums / "validation.jsonl")[3]["prompt"]

    def quote(role, item, attempt, text):
        if "draft_strategy" not in item:
            return text
        return json.dumps([{**json.loads(text)[0], "generation_approach": f"Write more like: {secret.upper()}!"}])

    teacher = FakeTeacher(mangle=quote)
    metrics = run(config(sums, iterations=1), tmp_path / "run", services=fake_services(teacher=teacher))
    assert any("repeats the held-out row" in note for note in metrics["notes"])
    assert all(secret.upper() not in prompt for role, _, _, prompt in teacher.prompts if role != "analyst")


class DyingPredictor(FakePredictor):
    """Dies after five answers."""

    def predict(self, adapter, prompts, *, max_new_tokens, stop):
        for number, completion in enumerate(super().predict(adapter, prompts, max_new_tokens=9, stop=stop)):
            if number == 5:
                raise KilledError
            yield completion


def test_answers_given_before_a_kill_are_kept_and_not_asked_again(sums, tmp_path):
    with pytest.raises(KilledError):
        run(config(sums), tmp_path / "run", services=fake_services(predictor=DyingPredictor()))
    (partial,) = (tmp_path / "run").glob("*/predictions_validation.jsonl.partial")
    kept = partial.read_text().splitlines()
    assert 1 <= len(kept) <= 5
    partial.write_text("\n".join(kept) + "\n\0\0\0\n")  # and a line that the power took
    predictor = FakePredictor(known=12)
    run(config(sums), tmp_path / "run", services=fake_services(predictor=predictor))
    assert predictor.calls[0][1] == 12 - len(kept)
    predictions = jsonl(partial.with_suffix(""))
    assert sorted(p["id"] for p in predictions) == sorted(
        row["id"] for row in jsonl(tmp_path / "run/data/validation.jsonl")
    )
    assert [p for p in predictions if json.dumps(p, ensure_ascii=False) in kept] and not partial.exists()


@pytest.mark.parametrize("torn", [b"", '{"id": "c", "output": "né'.encode()[:-1], b'{"id": "\xff"}\n{"id": "d"}\n'])
def test_a_full_disk_takes_none_of_the_answers_that_a_kill_left(tmp_path, monkeypatch, torn):
    partial = tmp_path / "predictions_test.jsonl.partial"
    whole = '{"id": "a", "output": "naïve 日本"}\n{"id": "b", "output": "2"}\n'.encode()
    partial.write_bytes(whole + torn)

    def refuse(path, *_, **__):
        path.open("w").close()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", refuse)
    assert [prediction["id"] for prediction in evaluate._read_partial(partial)] == ["a", "b"]
    assert partial.read_bytes() == whole
