"""Row 13: SIGKILL in training and its saves. Row 19: a loss that is not finite. Row 20: out of memory.

The student is builtin:tiny, really trained by TRL in LocalTrainer's child process.
"""

import json
import os
from pathlib import Path

import pytest

pytest.importorskip("trl")

from pada_graph import run
from pada_graph.errors import DivergedError, StoppedError
from pada_graph.executors import local
from pada_graph.executors.local import LocalTrainer
from pada_graph.nodes import abandoned, orchestrator
from pada_graph.services import TrainJob
from pada_graph.student import checkpoints, manifest, training
from tests.fakes import FakeTrainer, KilledError, fake_services, write_sums
from tests.faults.driver import PromptPredictor
from tests.faults.worker import sabotage
from tests.graph.test_loop import config

STEPS = list(range(1, 9))  # 8 rows, batches of 4, 4 epochs: checkpoints after steps 2, 4, 6 and 8


def make_job(folder: Path, dropout: float = 0.05) -> TrainJob:
    folder.mkdir(parents=True, exist_ok=True)
    rows = folder / "train.jsonl"
    rows.write_text(
        "".join(json.dumps({"prompt": f"What is {n}+{n}?", "completion": f"{2 * n}"}) + "\n" for n in STEPS)
    )
    return TrainJob(
        model="builtin:tiny", dtype="auto", rows=rows, adapter=folder / "adapter", log=folder / "training_log.jsonl",
        lora={"r": 4, "alpha": 8, "dropout": dropout, "target_modules": "all-linear"},
        training={"epochs": 4, "learning_rate": 1e-2, "batch_size": 4}, seed=0,
    )  # fmt: skip


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def read_log(job: TrainJob) -> list[dict]:
    return [json.loads(line) for line in job.log.read_text().splitlines()]


def train(job: TrainJob) -> list[dict]:
    events: list[dict] = []
    LocalTrainer().train(job, events.append)
    return events


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """A job that nothing disturbed, trained in this process."""
    job = make_job(tmp_path_factory.mktemp("unbroken"))
    training.train(job, lambda event: None)
    return job


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_row_13_training_killed_at_every_stage_ends_in_the_same_adapter(unbroken, tmp_path, monkeypatch):
    job = make_job(tmp_path)
    stages = [
        ({"at": "step", "nth": 4, "when": "before", "do": "kill"}, 2),
        ({"at": "save_pretrained", "nth": 1, "when": "after", "do": "torn"}, 2),  # checkpoint-4
        ({"at": "torch.save", "nth": 1, "when": "after", "do": "torn"}, 2),
        ({"at": "manifest", "nth": 1, "when": "before", "do": "kill"}, 2),  # between save and manifest
        ({"at": "manifest", "nth": 2, "when": "after", "do": "kill"}, 6),
        ({"at": "save_pretrained", "nth": 2, "when": "after", "do": "torn"}, 8),  # checkpoint-8 is first
        ({"at": "rename", "nth": 1, "when": "before", "do": "kill"}, 8),
        ({"at": "rename", "nth": 1, "when": "after", "do": "kill"}, 8),
    ]
    children = sabotage(monkeypatch, *(fault for fault, _ in stages))
    for fault, whole in stages:
        with pytest.raises(StoppedError, match=r"SIGKILL.*same command again"):
            train(job)
        step, folder = checkpoints.newest_checkpoint(job)
        assert (step, manifest.damage(folder)) == (whole, None), fault
        assert job.adapter.exists() == (fault["at"] == "rename" and fault["when"] == "after")
    assert train(job) == [] and len(children) == len(stages)  # the adapter was whole; what was left beside it is gone
    assert not checkpoints.work_dir(job).exists()
    assert contents(job.adapter) == contents(unbroken.adapter)
    assert [event["step"] for event in read_log(job)] == STEPS


@pytest.fixture
def half_trained(tmp_path, monkeypatch):
    """A job that died when its third checkpoint was closed; the second is still there."""
    closed = 0
    write = manifest.write

    def write_and_die(*args):
        nonlocal closed
        write(*args)
        closed += 1
        if closed == 3:
            raise KilledError

    job = make_job(tmp_path / "half")
    with monkeypatch.context() as patch:
        patch.setattr(manifest, "write", write_and_die)
        with pytest.raises(KilledError):
            training.train(job, lambda event: None)
    return job


def test_row_13_a_checkpoint_with_any_file_torn_is_never_resumed_from(unbroken, half_trained):
    job, work = half_trained, checkpoints.work_dir(half_trained)
    newest = work / "checkpoint-6"
    assert checkpoints.newest_checkpoint(job) == (6, newest)
    names = sorted(path.name for path in newest.iterdir())
    assert {"adapter_model.safetensors", "optimizer.pt", "trainer_state.json", "manifest.json"} <= set(names)
    for name in names:
        whole = (newest / name).read_bytes()
        (newest / name).write_bytes(whole[: len(whole) // 2])
        assert checkpoints.newest_checkpoint(job) == (4, work / "checkpoint-4"), name
        (newest / name).unlink()
        assert checkpoints.newest_checkpoint(job) == (4, work / "checkpoint-4"), name
        (newest / name).write_bytes(whole)
    weights = newest / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    events: list[dict] = []
    training.train(job, events.append)
    assert [event["step"] for event in events] == [5, 6, 7, 8]
    assert contents(job.adapter) == contents(unbroken.adapter)


def test_row_13_with_every_checkpoint_torn_training_begins_anew(unbroken, half_trained):
    for folder in checkpoints.work_dir(half_trained).glob("checkpoint-*"):
        os.truncate(folder / "optimizer.pt", 100)
    assert checkpoints.newest_checkpoint(half_trained) is None
    training.train(half_trained, lambda event: None)
    assert [event["step"] for event in read_log(half_trained)] == STEPS
    assert contents(half_trained.adapter) == contents(unbroken.adapter)


def test_row_13_an_adapter_with_any_file_torn_is_refused(unbroken):
    for path in sorted(unbroken.adapter.iterdir()):
        whole = path.read_bytes()
        os.truncate(path, len(whole) // 2)
        try:
            assert not manifest.matches(unbroken.adapter, manifest.job_hash(unbroken)), path.name
            with pytest.raises(StoppedError, match="trained anew"):
                manifest.check(unbroken.adapter, unbroken.model, unbroken.lora)
        finally:
            path.write_bytes(whole)
    manifest.check(unbroken.adapter, unbroken.model, unbroken.lora)


class DivergingTrainer(FakeTrainer):
    """Its n-th training diverges."""

    def __init__(self, nth: int):
        super().__init__()
        self.nth, self.tried = nth, 0

    def train(self, job, progress):
        if len(self.jobs) == self.nth:
            self.tried += 1
            (checkpoints.work_dir(job) / "checkpoint-2").mkdir(parents=True, exist_ok=True)
            raise DivergedError("Training stopped at step 3 of 8: loss is nan.")
        super().train(job, progress)


@pytest.mark.parametrize("iteration", [1, 2])
def test_row_19_a_round_that_diverges_leaves_the_earlier_students_and_their_report(tmp_path, iteration):
    sums = write_sums(tmp_path / "sums")
    services = fake_services(trainer=DivergingTrainer(nth=iteration))
    metrics = run(config(sums), tmp_path / "run", services=services)
    assert [entry["iteration"] for entry in metrics["iterations"]] == list(range(iteration))
    assert metrics["best_iteration"] < iteration and metrics["iterations"][metrics["best_iteration"]]["test"]["n"] == 12
    assert metrics["stop_reason"] == f"round {iteration}: training diverged"
    assert any("loss is nan" in note and "left out" in note for note in metrics["notes"])
    report = (tmp_path / "run/report.html").read_text()
    assert "training diverged" in report
    assert run(config(sums), tmp_path / "run", services=services) == metrics  # finished: nothing is tried again


@pytest.mark.parametrize("removed", [False, True])
def test_row_19_the_checkpoints_of_a_round_that_diverged_go_once_nothing_can_need_them(tmp_path, monkeypatch, removed):
    sums, root = write_sums(tmp_path / "sums"), tmp_path / "run"
    services = fake_services(trainer=DivergingTrainer(nth=1))

    def die(*args):
        if removed:
            abandoned.set_aside(*args)
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(orchestrator, "set_aside", die)
        with pytest.raises(KilledError):
            run(config(sums), root, services=services)
    assert (root / "iteration_1/adapter.tmp").exists() is not removed
    metrics = run(config(sums), root, services=services)
    assert services.trainer.tried == 1  # the decision was made before
    assert metrics["stop_reason"] == "round 1: training diverged"
    assert [note.count("loss is nan") for note in metrics["notes"]] == [1]
    assert not (root / "iteration_1/adapter.tmp").exists()


def test_row_19_without_an_earlier_student_the_run_stops_and_says_what_to_change(tmp_path):
    sums = write_sums(tmp_path / "sums")
    with pytest.raises(StoppedError, match=r"loss is nan.*another --run-dir.*learning_rate"):
        run(config(sums), tmp_path / "run", services=fake_services(trainer=DivergingTrainer(nth=0)))


TINY = {"model": "builtin:tiny", "training": {"epochs": 2, "batch_size": 4}, "lora": {"r": 4}}


@pytest.mark.slow
def test_row_19_a_nan_in_the_second_training_ends_the_run_with_the_first_student(tmp_path, monkeypatch):
    sums = write_sums(tmp_path / "sums")
    sabotage(monkeypatch, {"at": "step", "nth": 3, "when": "after", "do": "nan"}, only="iteration_1")
    services = fake_services(trainer=LocalTrainer(), predictor=PromptPredictor())
    metrics = run(config(sums, student=TINY), tmp_path / "run", services=services)
    assert metrics["best_iteration"] == 0 and len(metrics["iterations"]) == 1
    assert any("step 3 of 16: loss is nan" in note for note in metrics["notes"])
    assert manifest.damage(tmp_path / "run/iteration_0/adapter") is None
    assert not (tmp_path / "run/iteration_1/adapter").exists()


@pytest.mark.slow
@pytest.mark.parametrize("what", ["oom", "allocate"])
def test_row_20_out_of_memory_training_goes_on_with_half_the_rows_at_once_and_the_same_steps(
    tmp_path, monkeypatch, what
):
    whole, halved = make_job(tmp_path / "whole", dropout=0.0), make_job(tmp_path / "halved", dropout=0.0)
    training.train(whole, lambda event: None)
    children = sabotage(monkeypatch, *[{"at": "step", "nth": 4, "when": "before", "do": what, "size": 4}] * 2)
    train(halved)
    assert len(children) == 2
    assert [event["step"] for event in read_log(halved)] == STEPS
    assert [event["rows_together"] for event in read_log(halved)] == [4, 4, 2, 2, 2, 2, 2, 2]
    for value in ("loss", "learning_rate"):
        assert [event[value] for event in read_log(halved)] == pytest.approx(
            [event[value] for event in read_log(whole)], rel=1e-3
        )
    assert manifest.matches(halved.adapter, manifest.job_hash(halved))


@pytest.mark.slow
def test_row_20_out_of_memory_twice_stops_the_run_with_what_to_do(tmp_path, monkeypatch):
    children = sabotage(monkeypatch, *[{"at": "step", "nth": 1, "when": "before", "do": "oom"}] * 3)
    with pytest.raises(StoppedError, match=r"CUDA out of memory.*half as many rows.*more memory.*batch_size"):
        train(make_job(tmp_path))
    assert len(children) == 2  # one retry


@pytest.mark.slow
def test_row_20_a_child_that_the_system_killed_for_memory_gets_its_retry(unbroken, tmp_path, monkeypatch):
    counter = tmp_path / "vmstat"
    counter.write_text("nr_free_pages 5\noom_kill 3\n")
    monkeypatch.setattr(local, "VMSTAT", counter)
    children = sabotage(monkeypatch, {"at": "step", "nth": 4, "when": "before", "do": "kill"})
    follow = local._follow

    def follow_and_count(child, log, progress):
        follow(child, log, progress)
        counter.write_text("nr_free_pages 5\noom_kill 4\n")

    monkeypatch.setattr(local, "_follow", follow_and_count)
    job = make_job(tmp_path)
    train(job)
    assert children[0].returncode == -9 and len(children) == 2
    assert [event["rows_together"] for event in read_log(job)] == [4, 4, 2, 2, 2, 2, 2, 2]


@pytest.mark.slow
def test_row_20_a_killed_worker_is_reported_and_the_run_goes_on_where_it_stopped(tmp_path, monkeypatch):
    sums = write_sums(tmp_path / "sums")
    settings = config(sums, iterations=0, student=TINY)
    services = fake_services(trainer=LocalTrainer(), predictor=PromptPredictor())
    children = sabotage(monkeypatch, {"at": "step", "nth": 7, "when": "before", "do": "kill"})
    with pytest.raises(StoppedError, match=r"Training ended by SIGKILL .*out of memory.*last whole checkpoint"):
        run(settings, tmp_path / "run", services=services)
    metrics = run(settings, tmp_path / "run", services=services)
    assert metrics["iterations"][0]["validation"]["n"] == 12
    log = (tmp_path / "run/iteration_0/training_log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in log] == list(range(1, 11))
    assert len(children) == 2
