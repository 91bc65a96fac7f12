"""The tiny student is really trained by TRL in the worker process, killed, resumed and asked."""

import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import pytest

pytest.importorskip("trl")

from pada_graph.config import Student
from pada_graph.errors import DivergedError, InputError, StoppedError
from pada_graph.executors import forks, local
from pada_graph.executors.local import LocalTrainer
from pada_graph.services import TrainJob
from pada_graph.student import checkpoints, manifest, models, sft, training, worker
from pada_graph.student.inference import TransformersPredictor

ROWS = [{"prompt": f"What is {n}+{n}?", "completion": str(n + n)} for n in range(8)]


def make_job(folder, epochs=30, learning_rate=1e-2, model="builtin:tiny"):
    folder.mkdir(parents=True, exist_ok=True)
    rows = folder / "train.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return TrainJob(
        model=model, dtype="auto", rows=rows, adapter=folder / "adapter", log=folder / "training_log.jsonl",
        lora={"r": 32, "alpha": 32, "dropout": 0.05, "target_modules": "all-linear"},
        training={"epochs": epochs, "learning_rate": learning_rate, "batch_size": 4}, seed=0,
    )  # fmt: skip


def read_log(job):
    return [json.loads(line) for line in job.log.read_text().splitlines()]


def weights_sha256(job):
    return manifest.file_sha256(job.adapter / "adapter_model.safetensors")


@pytest.fixture
def children(monkeypatch):
    """The child processes that LocalTrainer starts."""
    started = []

    start = forks.start

    def recorded(*args):
        started.append(start(*args))
        return started[-1]

    monkeypatch.setattr(forks, "start", recorded)
    return started


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A finished job and the progress it reported."""
    job = make_job(tmp_path_factory.mktemp("trained"))
    events = []
    LocalTrainer().train(job, events.append)
    return job, events


def test_eight_rows_are_memorised_and_every_answer_ends_with_eos(trained):
    job, events = trained
    assert events[-1]["loss"] < events[0]["loss"] / 3
    predictor = TransformersPredictor(Student(model="builtin:tiny"))
    answers = list(predictor.predict(job.adapter, [r["prompt"] for r in ROWS], max_new_tokens=20, stop=()))
    assert {c.index: c.text for c in answers} == {n: row["completion"] for n, row in enumerate(ROWS)}
    assert not any(c.truncated for c in answers)


def test_progress_is_the_log_one_event_a_step(trained):
    job, events = trained
    assert events == read_log(job)
    assert [event["step"] for event in events] == list(range(1, 61))  # 8 rows, batches of 4, 30 epochs
    assert set(events[0]) == {
        "step",
        "steps",
        "epoch",
        "loss",
        "learning_rate",
        "grad_norm",
        "rows_together",
        "seconds",
    }
    assert events[0]["learning_rate"] == pytest.approx(1e-2)  # no warm-up
    assert events[-1]["learning_rate"] == pytest.approx(1e-2 / 60)  # linear to 0
    assert events[-1]["epoch"] == 30


def test_the_adapter_loads_in_plain_peft_and_holds_no_pickle(trained):
    from peft import AutoPeftModelForCausalLM

    job, _ = trained
    model = AutoPeftModelForCausalLM.from_pretrained(job.adapter)
    assert model.active_peft_config.base_model_name_or_path == models.resolve("builtin:tiny")
    assert model.active_peft_config.r == 32
    assert {path.suffix for path in job.adapter.iterdir()} == {".json", ".jinja", ".md", ".safetensors"}
    assert not checkpoints.work_dir(job).exists()
    facts = json.loads((job.adapter / manifest.MANIFEST).read_text())
    assert facts["inputs"] == manifest.job_hash(job)
    assert set(facts["files"]) == {path.name for path in job.adapter.iterdir()} - {manifest.MANIFEST}


def test_a_finished_adapter_is_not_trained_again(trained, children):
    job, _ = trained
    before = {path.name: path.stat().st_mtime_ns for path in job.adapter.iterdir()}
    LocalTrainer().train(job, lambda event: pytest.fail("trained again"))
    assert children == []
    assert {path.name: path.stat().st_mtime_ns for path in job.adapter.iterdir()} == before


def test_other_inputs_or_a_damaged_file_mean_training_again(trained, tmp_path):
    job, _ = trained
    assert manifest.matches(job.adapter, manifest.job_hash(job))
    others = [
        replace(job, seed=1),
        replace(job, dtype="bfloat16"),
        replace(job, model="builtin:smollm2-135m"),
        replace(job, lora={**job.lora, "r": 8}),
        replace(job, training={**job.training, "epochs": 2}),
    ]
    for other in others:
        assert not manifest.matches(job.adapter, manifest.job_hash(other))
    moved = replace(job, adapter=tmp_path / "elsewhere", log=tmp_path / "log")
    assert manifest.job_hash(moved) == manifest.job_hash(job)


@pytest.mark.slow
def test_a_killed_worker_stops_the_run_and_the_next_call_resumes_to_the_same_adapter(trained, tmp_path, children):
    job = make_job(tmp_path)

    def kill(event):
        if event["step"] >= 6 and children[-1].poll() is None:
            os.kill(children[-1].pid, signal.SIGKILL)

    with pytest.raises(StoppedError, match=r"SIGKILL.*out of memory.*same command again"):
        LocalTrainer().train(job, kill)
    assert not job.adapter.exists()
    resumed_from, _ = checkpoints.newest_checkpoint(job)
    events = []
    LocalTrainer().train(job, events.append)
    assert events[0]["step"] == resumed_from + 1 > 2
    assert [event["step"] for event in read_log(job)] == list(range(1, 61))
    assert weights_sha256(job) == weights_sha256(trained[0])


@pytest.mark.slow
def test_the_same_job_gives_the_same_bytes(trained, tmp_path):
    job = make_job(tmp_path)
    LocalTrainer().train(job, lambda event: None)
    assert weights_sha256(job) == weights_sha256(trained[0])


@pytest.mark.slow
def test_an_interrupt_ends_the_child(tmp_path, children):
    def interrupt(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LocalTrainer().train(make_job(tmp_path, epochs=2000), interrupt)
    assert children[0].returncode == -signal.SIGTERM


def test_torn_checkpoints_and_those_of_other_jobs_are_passed_over(tmp_path):
    job = make_job(tmp_path)
    assert checkpoints.newest_checkpoint(job) is None
    for step, mark in ((2, manifest.job_hash(job)), (10, manifest.job_hash(job)), (12, "another job's"), (14, None)):
        folder = checkpoints.work_dir(job) / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / manifest.WEIGHTS).write_bytes(b"weights")
        if mark:
            manifest.write(folder, mark, {})
    assert checkpoints.newest_checkpoint(job) == (10, checkpoints.work_dir(job) / "checkpoint-10")


def test_a_log_is_cut_back_to_the_checkpoint_that_training_resumes_from(tmp_path):
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    checkpoints.trim_log(log, 2)
    assert log.read_text() == '{"step": 1}\n{"step": 2}\n'
    checkpoints.trim_log(tmp_path / "new.jsonl", 0)
    assert (tmp_path / "new.jsonl").read_text() == ""


def test_a_batch_computed_in_parts_takes_the_same_steps_as_one_computed_whole(tmp_path, monkeypatch):
    from safetensors.torch import load_file
    from torch.testing import assert_close

    runs = []
    for name, tokens in (("parts", 1), ("whole", 10**6)):
        monkeypatch.setattr(sft, "CPU_TOKENS", tokens)
        job = make_job(tmp_path / name, epochs=3)
        job = replace(job, lora={**job.lora, "dropout": 0.0}, training={**job.training, "batch_size": 3})  # 3 + 3 + 2
        training.train(job, lambda event: None)
        runs.append((read_log(job), load_file(job.adapter / "adapter_model.safetensors")))
    (parts, part_weights), (whole, whole_weights) = runs
    assert [event["step"] for event in parts] == list(range(1, 10))
    assert [event["loss"] for event in parts] == pytest.approx([event["loss"] for event in whole], rel=1e-3)
    assert_close(part_weights, whole_weights, rtol=1e-2, atol=1e-3)


def test_the_loss_is_the_one_that_trl_computes(tmp_path, monkeypatch):
    from trl import SFTTrainer

    logs = []
    for name in ("ours", "trl"):
        job = make_job(tmp_path / name, epochs=2)
        training.train(replace(job, lora={**job.lora, "dropout": 0.0}), lambda event: None)
        logs.append([(event["loss"], event["grad_norm"]) for event in read_log(job)])
        monkeypatch.setattr(sft, "_trainer_class", lambda: SFTTrainer)
    for ours, theirs in zip(*logs, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)


@pytest.mark.parametrize(
    ("batch_size", "longest", "expected", "half"),
    [(8, 60, 8, 4), (8, 100, 4, 2), (8, 300, 1, 1), (8, 5000, 1, 1), (7, 100, 1, 1), (1, 9, 1, 1), (6, 80, 6, 3)],
)
def test_rows_together_divide_the_batch_and_fit_the_tokens(batch_size, longest, expected, half):
    assert sft.rows_together(batch_size, longest, 512) == expected
    assert sft.rows_together(batch_size, longest, 512, parts=2) == half
    assert sft.rows_together(batch_size, longest, None) == batch_size


def test_only_layers_that_see_text_get_an_adapter():
    """What sees images or sound alone would not be trained, and not every server loads its adapter."""
    from peft import LoraConfig, get_peft_model
    from torch.nn import Linear, Module, ModuleDict

    class Seeing(Module):
        def __init__(self):
            super().__init__()
            self.language_model = ModuleDict({"q_proj": Linear(2, 2)})
            self.vision_tower = ModuleDict({"q_proj": Linear(2, 2)})
            self.multi_modal_projector = Linear(2, 2)
            self.revision = Linear(2, 2)

    assert sft._sees(Seeing()) and not sft._sees(ModuleDict({"q_proj": Linear(2, 2)}))
    config = LoraConfig(target_modules=["q_proj", "multi_modal_projector", "revision"], exclude_modules=sft.NOT_TEXT)
    layers = [name for name, _ in get_peft_model(Seeing(), config).base_model.model.named_modules()]
    adapted = {name.removesuffix(".lora_A") for name in layers if name.endswith(".lora_A")}
    assert adapted == {"language_model.q_proj", "revision"}


def test_the_student_is_trained_as_the_class_it_is_asked_as(tmp_path, monkeypatch):
    """TRL by itself takes the class that a checkpoint names; of a model that sees, that is not the one of its text."""
    job = make_job(tmp_path)
    base = models.resolve(job.model)
    tokenizer = models.load_tokenizer(base)
    loaded = []
    monkeypatch.setattr(
        models, "load_base", lambda *given, real=models.load_base: (loaded.append(given), real(*given))[1]
    )
    trainer = sft.build_trainer(job, base, tokenizer, training.read_rows(job, base, tokenizer), lambda event: None)
    assert len(loaded) == 1 and type(trainer.model.get_base_model()).__name__ == "LlamaForCausalLM"
    assert trainer.args.max_grad_norm == sft.MAX_GRAD_NORM


def test_a_loss_that_is_not_finite_stops_training_with_the_step_named(tmp_path):
    job = make_job(tmp_path, epochs=3, learning_rate=1e30)
    with pytest.raises(DivergedError, match=r"step \d of 6: (loss|grad_norm) is (nan|inf)\."):
        training.train(job, lambda event: None)
    assert not job.adapter.exists()
    assert all(event["loss"] < float("inf") for event in read_log(job))


def test_a_model_that_does_not_exist_is_bad_input_in_the_childs_words(tmp_path):
    with pytest.raises(InputError, match=r"somebody/a-model-nobody-has.*HF_HUB_OFFLINE"):
        LocalTrainer().train(make_job(tmp_path, model="somebody/a-model-nobody-has"), lambda event: None)


def test_a_child_that_fails_unforeseen_is_quoted(tmp_path):
    job = make_job(tmp_path)
    job.rows.write_text('{"prompt": "no completion"}\n')
    with pytest.raises(StoppedError, match=r"exit status 1: KeyError: 'completion' .*training_log\.worker\.txt"):
        LocalTrainer().train(job, lambda event: None)


def test_running_out_of_memory_is_told_apart(tmp_path, monkeypatch):
    def fail(job, progress):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB\nmore")

    monkeypatch.setattr(training, "train", fail)
    file = tmp_path / "job.json"
    file.write_text(worker.job_to_json(make_job(tmp_path)))
    report = io.StringIO()
    assert worker.main([str(file)], report) == 1
    expected = {"error": "RuntimeError: CUDA out of memory. Tried to allocate 2 GiB", "kind": "OutOfMemoryError"}
    assert json.loads(report.getvalue()) == expected


def test_a_job_survives_its_file(tmp_path):
    job = make_job(tmp_path)
    assert worker.job_from_json(worker.job_to_json(job)) == job


def test_a_worker_whose_parent_has_gone_ends(tmp_path):
    job = make_job(tmp_path, epochs=2000)
    file = tmp_path / "job.json"
    file.write_text(worker.job_to_json(job))
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    child = subprocess.run([sys.executable, "-m", "pada_graph.student.worker", str(file), gone.stdout], check=False)
    assert child.returncode == 143
    assert not job.adapter.exists()


def test_the_child_sees_one_gpu_and_reports_to_nobody_unless_told(monkeypatch):
    for name in ("CUDA_VISIBLE_DEVICES", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.delenv(name, raising=False)
    assert local.environment()["CUDA_VISIBLE_DEVICES"] == "0"
    assert local.environment()["HF_HUB_DISABLE_TELEMETRY"] == "1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "0")
    assert local.environment()["CUDA_VISIBLE_DEVICES"] == "3"
    assert local.environment()["HF_HUB_DISABLE_TELEMETRY"] == "0"
