"""The executor ray, really: training, prediction and runs on two workers of one machine, killed and compared.

The session's Ray has two CPUs whatever the machine has; how we start Ray ourselves is in test_ray_processes.py.
"""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest

pytest.importorskip("trl")
pytest.importorskip("ray")

import psutil
import ray

from pada_graph import run
from pada_graph.config import Ray, Student
from pada_graph.errors import DivergedError, InputError, StoppedError
from pada_graph.executors.local import LocalTrainer
from pada_graph.executors.ray import run_side_by_side
from pada_graph.executors.ray.cluster import connect, in_a_thread_that_stays, start, unseen
from pada_graph.executors.ray.predictor import RayPredictor
from pada_graph.executors.ray.trainer import RayTrainer
from pada_graph.services import default_services
from pada_graph.student import worker
from pada_graph.student.inference import TransformersPredictor
from tests.fakes import jsonl, sums_config, write_sums
from tests.graph import test_own_task as lengths
from tests.integration.test_training import make_job, read_log

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
EPOCHS = 4  # of 10 rows in batches of 4: steps 3, 6, 9 and 12 end an epoch with a checkpoint, its last batch has 2 rows
STEPS = list(range(1, 13))


@pytest.fixture(scope="module")
def two_cpus():
    """Ray with two CPUs, whose processes find the tests."""
    before = dict(os.environ)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    os.environ["OMP_NUM_THREADS"] = "1"  # sums are added in the same order on one CPU and on two
    in_a_thread_that_stays(lambda: start(cpus=2))
    yield
    ray.shutdown()
    os.environ.clear()
    os.environ.update(before)


def cluster(workers):
    return connect(Ray(workers=workers))


def ten_rows(folder, dropout=0.0):
    """A job whose rows do not fill its batches."""
    job = make_job(folder, epochs=EPOCHS)
    with job.rows.open("a") as file:
        file.writelines(json.dumps({"prompt": f"{n} times {n}?", "completion": str(n * n)}) + "\n" for n in (17, 23))
    return replace(job, lora={**job.lora, "dropout": dropout})


class StruckTrainer(RayTrainer):
    """Trains with faults."""

    def __init__(self, cluster, **faults):
        super().__init__(cluster)
        self._faults = faults

    def _command(self, job_file):
        command = super()._command(job_file)
        return [*command[:1], "tests.integration.ray_faults", json.dumps(self._faults), *command[2:]]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def train(trainer, job):
    events = []
    trainer.train(job, events.append)
    log = read_log(job)
    assert events[-3:] == log[-3:]  # also after a worker was lost, and the log cut back
    return log


@pytest.fixture(scope="module")
def alone(two_cpus, tmp_path_factory):
    """What one process makes of the ten rows."""
    job = ten_rows(tmp_path_factory.mktemp("alone"))
    return job, train(LocalTrainer(), job)


@pytest.fixture(scope="module")
def shared(two_cpus, tmp_path_factory):
    """What two workers make of them."""
    job = ten_rows(tmp_path_factory.mktemp("shared"))
    return job, train(StruckTrainer(cluster(2)), job)


def test_one_worker_makes_the_local_executors_adapter_byte_for_byte(two_cpus, tmp_path):
    jobs = [ten_rows(tmp_path / name, dropout=0.05) for name in ("local", "ray")]
    train(LocalTrainer(), jobs[0])
    train(RayTrainer(cluster(1)), jobs[1])
    assert contents(jobs[0].adapter) == contents(jobs[1].adapter)
    assert {path.name for path in (tmp_path / "local").iterdir()} == {
        path.name for path in (tmp_path / "ray").iterdir()
    }


def test_two_workers_take_the_steps_of_one_process_and_end_with_equal_weights(alone, shared):
    from safetensors.torch import load_file
    from torch.testing import assert_close

    (one, one_log), (two, two_log) = alone, shared
    hashes = [(two.adapter.parent / f"rank-{rank}.sha256").read_text() for rank in (0, 1)]
    assert hashes[0] == hashes[1]
    assert [event["step"] for event in two_log] == [event["step"] for event in one_log] == STEPS
    assert [event["rows_together"] for event in two_log] == [2] * 12
    for name in ("loss", "grad_norm"):
        assert [event[name] for event in two_log] == pytest.approx([event[name] for event in one_log], rel=1e-3)
    weights = [load_file(job.adapter / "adapter_model.safetensors") for job in (one, two)]
    assert_close(*weights, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("alone", "started with 2 workers, and accelerate sees 1"),
        ("apart", "2 training workers came to different"),
    ],
)
def test_workers_that_do_not_share_their_gradients_are_found(two_cpus, tmp_path, fault, said):
    job = make_job(tmp_path, epochs=1)
    with pytest.raises(StoppedError, match=said):
        StruckTrainer(cluster(2), **{fault: True}).train(job, lambda event: None)
    assert not job.adapter.exists()


def test_torchrun_starts_the_same_worker_to_the_same_adapter(shared, tmp_path):
    """As on Slurm or SageMaker: docs/scale.md."""
    job = ten_rows(tmp_path)
    (tmp_path / "job.json").write_text(worker.job_to_json(job))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*launch, "-m", "pada_graph.student.worker", str(tmp_path / "job.json")], check=True)
    assert contents(job.adapter) == contents(shared[0].adapter)


def test_lost_workers_are_replaced_and_the_job_ends_as_if_nothing_had_happened(shared, tmp_path):
    job = ten_rows(tmp_path)
    log = train(StruckTrainer(cluster(2), kill=[[1, 5], [0, 8]]), job)
    assert (tmp_path / "begun-0.jsonl").read_text().split() == ["0", "3", "6"]
    assert [event["step"] for event in log] == STEPS
    assert contents(job.adapter) == contents(shared[0].adapter)


def test_an_interrupt_ends_the_workers_and_the_next_call_goes_on(shared, tmp_path):
    job = ten_rows(tmp_path)

    def interrupt(event):
        if event["step"] == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        StruckTrainer(cluster(2), halt=6).train(job, interrupt)
    workers = [int((tmp_path / f"worker-{rank}.pid").read_text()) for rank in (0, 1)]
    ended = time.monotonic() + 60
    while any(map(psutil.pid_exists, workers)) and time.monotonic() < ended:
        time.sleep(0.1)
    assert not any(map(psutil.pid_exists, workers))
    assert not job.adapter.exists()

    log = train(RayTrainer(cluster(2)), job)
    assert [event["step"] for event in log] == STEPS
    assert contents(job.adapter) == contents(shared[0].adapter)


def test_what_a_worker_finds_wrong_is_told_in_its_words_and_not_tried_again(two_cpus, tmp_path):
    with pytest.raises(InputError, match=r"somebody/a-model-nobody-has.*HF_HUB_OFFLINE"):
        RayTrainer(cluster(2)).train(make_job(tmp_path / "1", model="somebody/a-model-nobody-has"), lambda event: None)
    job = make_job(tmp_path / "2", epochs=3, learning_rate=1e30)
    with pytest.raises(DivergedError, match=r"step \d of 6: (loss|grad_norm) is (nan|inf)\."):
        StruckTrainer(cluster(2)).train(job, lambda event: None)
    assert not job.adapter.exists() and not list(job.adapter.parent.glob("*failure*"))


PROMPTS = [f"What is {n}+{n}?" + " Please." * (n % 5) for n in range(40)]


@pytest.mark.parametrize("tuned", [False, True])
def test_several_workers_answer_as_the_local_predictor_does(alone, tuned):
    student = Student(model="builtin:tiny", dtype="float32", inference={"batch_size": 4}, lora=alone[0].lora)
    adapter = alone[0].adapter if tuned else None
    asked = {"max_new_tokens": 12, "stop": ["7"]}
    expected = list(TransformersPredictor(student).predict(adapter, PROMPTS, **asked))
    predictor = RayPredictor(cluster(2), student)
    found = list(predictor.predict(adapter, PROMPTS, **asked))
    predictor.release()
    assert sorted(found, key=lambda answer: answer.index) == sorted(expected, key=lambda answer: answer.index)
    assert len(found) == 40


def test_the_batch_of_a_killed_worker_is_answered_by_another(two_cpus):
    student = Student(model="builtin:tiny", dtype="float32", inference={"batch_size": 2})
    expected = {a.index: a for a in TransformersPredictor(student).predict(None, PROMPTS, max_new_tokens=60, stop=[])}
    predictor = RayPredictor(cluster(2), student)
    answers = predictor.predict(None, PROMPTS, max_new_tokens=60, stop=[])
    found = [next(answers)]
    victims = [ray.get(actor.__ray_call__.remote(lambda self: os.getpid())) for actor in predictor._workers]
    os.kill(victims[0], signal.SIGKILL)
    found += answers
    survivors = [ray.get(actor.__ray_call__.remote(lambda self: os.getpid())) for actor in predictor._workers]
    predictor.release()
    assert {answer.index: answer for answer in found} == expected and len(found) == len(PROMPTS)
    assert survivors[0] != victims[0] and survivors[1] == victims[1]


def test_a_damaged_adapter_is_refused_in_the_workers_words(two_cpus, tmp_path):
    predictor = RayPredictor(cluster(1), Student(model="builtin:tiny"))
    with pytest.raises(StoppedError, match=r"manifest\.json is missing.*--rebuild-state"):
        list(predictor.predict(tmp_path, ["?"], max_new_tokens=1, stop=[]))


def vanilla(folder, **changes):
    """A run of some seconds that asks no teacher."""
    settings = {
        "method": "vanilla",
        "iterations": 0,
        "student__model": "builtin:tiny",
        "student__dtype": "float32",
        "student__training": {"epochs": 20, "learning_rate": 0.01, "batch_size": 4},
        "student__inference": {"max_new_tokens": 8},
        "ray__workers": None,
    }
    return sums_config(write_sums(folder), **{**settings, **changes})


def results(directory):
    """Every file of a run that must not depend on where it was computed."""
    names = ("data/train.jsonl", "iteration_0/predictions_validation.jsonl", "iteration_0/predictions_test.jsonl")
    return {name: (directory / name).read_bytes() for name in names} | contents(directory / "iteration_0/adapter")


@pytest.fixture(scope="module")
def local_run(two_cpus, tmp_path_factory):
    folder = tmp_path_factory.mktemp("local")
    run(vanilla(folder / "sums"), folder / "run")
    return folder


def events(directory, kind):
    lines = [json.loads(line) for line in (directory / "events.jsonl").read_text().splitlines()]
    return [line["time"] for line in lines if line["event"] == kind]


def test_runs_go_side_by_side_and_a_bad_one_stops_no_other(local_run, tmp_path):
    good = vanilla(local_run / "sums", executor="ray")
    bad = vanilla(local_run / "sums", executor="ray", student__model="builtin:none")
    jobs = [(good, tmp_path / "a"), (bad, tmp_path / "bad"), (good.model_copy(update={"seed": 1}), tmp_path / "b")]
    ends = dict(run_side_by_side(jobs))
    assert ends[tmp_path / "a"] is None and ends[tmp_path / "b"] is None
    assert "builtin:none" in ends[tmp_path / "bad"]
    assert results(tmp_path / "a") == results(local_run / "run")
    assert list(run_side_by_side([(good, tmp_path / "a")])) == [(tmp_path / "a", None)]  # finished: nothing is run
    assert len(events(tmp_path / "a", "session")) == 1


def test_two_runs_overlap_in_time(local_run, tmp_path):
    config = vanilla(local_run / "sums", executor="ray", student__training={"epochs": 300, "batch_size": 4})
    ends = dict(run_side_by_side([(config, tmp_path / name) for name in "ab"]))
    assert set(ends.values()) == {None}
    spans = [(events(tmp_path / name, "training")[0], events(tmp_path / name, "training")[-1]) for name in "ab"]
    assert max(begin for begin, _ in spans) < min(end for _, end in spans)


def test_a_run_whose_worker_is_killed_goes_on_and_ends_as_the_local_one(local_run, tmp_path):
    directory, ended = tmp_path / "run", Event()

    def kill_in_training():
        while not ended.is_set():
            log = directory / "iteration_0/training_log.jsonl"
            if log.exists() and log.read_text().count("\n") > 12:
                for process in psutil.Process().children(recursive=True):
                    with suppress(psutil.NoSuchProcess):
                        if "".join(process.cmdline()[:1]).startswith("ray::_run"):
                            process.kill()
                return
            time.sleep(0.02)

    killer = Thread(target=kill_in_training)
    killer.start()
    ends = list(run_side_by_side([(vanilla(local_run / "sums", executor="ray"), directory)]))
    ended.set()
    killer.join()
    assert ends == [(directory, None)]
    assert len(events(directory, "session")) == 2
    assert results(directory) == results(local_run / "run")


def test_a_whole_run_on_ray_gives_the_local_runs_files_and_either_goes_on_with_the_others(local_run, tmp_path):
    config = vanilla(local_run / "sums", executor="ray", ray__workers=1)
    metrics = run(config, tmp_path / "run")
    assert results(tmp_path / "run") == results(local_run / "run")
    assert run(vanilla(local_run / "sums"), tmp_path / "run") == metrics


def test_a_task_in_a_file_of_ones_own_gives_the_local_runs_files_on_ray(two_cpus, tmp_path, monkeypatch):
    monkeypatch.chdir(lengths.furnished(tmp_path))
    student = {
        "model": "builtin:tiny",
        "dtype": "float32",
        "training": {"epochs": 40, "learning_rate": 0.01, "batch_size": 4},
        "inference": {"max_new_tokens": 8},
    }
    metrics = run(lengths.settings(method="vanilla", student=student), "runs/local")
    expected = results(tmp_path / "runs/local")
    assert {line["parsed"] for line in jsonl(tmp_path / "runs/local/iteration_0/predictions_test.jsonl")} == {"1000 m"}
    config = lengths.settings(method="vanilla", student=student, executor="ray", ray={"workers": 1})
    assert run(config, "runs/whole")["iterations"] == metrics["iterations"]
    assert list(run_side_by_side([(config, Path("runs/beside"))])) == [(Path("runs/beside"), None)]
    for name in ("whole", "beside"):
        assert results(tmp_path / "runs" / name) == expected
        assert (tmp_path / "runs" / name / "task.py").read_text() == lengths.FILE


def test_the_evaluation_of_a_run_leaves_its_devices_to_training(local_run, tmp_path):
    """The untuned student is asked before the first training, and has both CPUs."""
    config = vanilla(local_run / "sums", executor="ray", ray__workers=2)
    metrics = run(config, tmp_path / "run")
    assert metrics["iterations"][0]["validation"]["n"] == 12


def test_settings_that_this_ray_cannot_meet_are_told_before_anything_starts(two_cpus, tmp_path):
    config = vanilla(tmp_path / "sums", executor="ray", ray__workers=3)
    with pytest.raises(InputError, match=r"ray\.workers: 3 workers need a device each.*has 2 CPUs"):
        default_services(config, tmp_path / "run")
    odd = vanilla(tmp_path / "sums", executor="ray", ray__workers=2, student__training={"batch_size": 5})
    with pytest.raises(InputError, match=r"batch_size: 5 rows cannot be shared equally by 2 .* ray\.workers to 1 or 5"):
        default_services(odd, tmp_path / "run")


def test_a_machine_that_does_not_see_the_run_directory_is_named(two_cpus, tmp_path):
    assert unseen(tmp_path) == []
    (fault,) = unseen(tmp_path / "not there")
    assert fault.endswith(" does not see it")
