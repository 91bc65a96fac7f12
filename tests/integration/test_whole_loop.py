"""The whole graph with nothing faked: TRL, PEFT, embeddings, k-means, the journal; tiny student, rule-based teacher."""

import json
from pathlib import Path

import pytest

from pada_graph import build_graph, run
from pada_graph.config import Data, Inference, Student, Training
from pada_graph.demo.studio import TinyDemo
from tests.fakes import jsonl

pytestmark = pytest.mark.slow
SETTINGS = TinyDemo(
    iterations=2,
    data=Data(source="builtin:demo", train_size=24, validation_size=12, test_size=12),
    student=Student(model="builtin:tiny", training=Training(epochs=1), inference=Inference(max_new_tokens=8)),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("whole") / "run"
    run(SETTINGS, directory)
    return directory


def test_two_iterations_train_three_adapters_with_sfttrainer(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert [entry["iteration"] for entry in metrics["iterations"]] == [0, 1, 2]
    for iteration in range(3):
        folder = finished / f"iteration_{iteration}"
        assert (folder / "adapter/adapter_model.safetensors").stat().st_size > 0
        rows = len(jsonl(folder / "train.jsonl"))
        assert jsonl(folder / "training_log.jsonl")[-1]["step"] == -(-rows // 8)
    config = json.loads((finished / "iteration_2/adapter/adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (32, 32, 0.05)


def test_the_adapter_loads_in_plain_peft(finished):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from pada_graph.student.models import resolve

    base = AutoModelForCausalLM.from_pretrained(resolve("builtin:tiny"))
    model = PeftModel.from_pretrained(base, str(finished / "iteration_2/adapter"))
    trained = [p for name, p in model.named_parameters() if "lora_B" in name]
    assert trained and any(p.abs().sum() > 0 for p in trained)


def test_every_stage_left_its_files_and_the_books_are_closed(finished):
    for iteration in (1, 2):
        folder = finished / f"iteration_{iteration}"
        batches = jsonl(folder / "batches.jsonl")
        accepted = jsonl(folder / "synthetic_accepted.jsonl")
        rejected = jsonl(folder / "rejected.jsonl")
        assert sum(batch["requested"] for batch in batches) == len(accepted) + len(rejected) == 12
        assert len(jsonl(folder / "strategies.jsonl")) == len(jsonl(folder / "patterns.jsonl")) >= 2
        assert json.loads((folder / "clustering.json").read_text())["k"] >= 2
    assert "<html" in (finished / "report.html").read_text()


def test_no_held_out_question_is_trained_on(finished):
    trained = "\n".join(row["prompt"] for row in jsonl(finished / "iteration_2/train.jsonl"))
    for split in ("validation", "test"):
        assert all(row["question"] not in trained for row in jsonl(finished / f"data/{split}.jsonl"))


def test_the_same_command_on_a_finished_run_changes_nothing(finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*.safetensors")}
    calls = (finished / "teacher_calls.sqlite").stat().st_size
    run(SETTINGS, finished)
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*.safetensors")} == before
    assert (finished / "teacher_calls.sqlite").stat().st_size == calls


def test_the_compiled_graph_can_be_invoked_without_a_checkpointer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = SETTINGS.model_copy(update={"iterations": 1})
    result = build_graph().invoke({"run_dir": "here", "train_size": 16, "seed": 1}, context=config)
    assert result["stop_reason"] == "the only round is done"
    assert json.loads((tmp_path / "here/resolved_config.json").read_text())["data"]["train_size"] == 16
    assert (tmp_path / "here/report.html").exists()
