"""A task in one Python file: the very file of docs/tasks.md, through the graph with a tiny student, and afterwards."""

import contextlib
import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pada_graph import RunConfig, run
from pada_graph.compare import compare_runs
from pada_graph.config_file import load_config
from pada_graph.errors import InputError
from pada_graph.executors.local import LocalTrainer
from pada_graph.report import build_report
from pada_graph.student.inference import TransformersPredictor
from tests.doc_blocks import ROOT, fenced
from tests.fakes import FakeTeacher, KilledError, fake_services, jsonl

pytest.importorskip("trl")

FILE = next(block.text for block in fenced(ROOT / "docs/tasks.md") if block.first == "# lengths.py")
PLACES = [first + last for first in ("Ask", "Bro", "Ulv", "Mor") for last in ("by", "dal", "nes", "ros", "vik", "um")]


def written_as_lengths(role, item, attempt, text):
    """The generator writes lengths where the fake teacher writes sums; the last one of a first attempt has no unit."""
    if role != "generator":
        return text
    samples = json.loads(text)
    for sample in samples:
        number = sample.pop("answer")
        sample |= {"question": f"How far is it to place {sample.pop('prompt')}", "answer": f"{number} m"}
    if attempt == 0:
        samples[-1]["answer"] = "far"
    return json.dumps(samples)


class Speaking(TransformersPredictor):
    """The tiny student, whose first output becomes a right length in another unit and whose second a wrong one."""

    def predict(self, adapter, prompts, **options):
        for completion in super().predict(adapter, prompts, **options):
            text = {0: f"It is {completion.index + 1}000 m.", 1: "7 mm"}.get(completion.index, completion.text)
            yield replace(completion, text=text)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which commands are started."""
    monkeypatch.chdir(tmp_path)
    return furnished(tmp_path)


def furnished(folder: Path) -> Path:
    """Put the task file and its rows there, all of them 1 km so that any of them may come first."""
    (folder / "lengths.py").write_text(FILE)
    pairs = zip(PLACES, reversed(PLACES), strict=True)
    rows = [{"question": f"How far is it from {a} to {b}?", "answer": "1 km"} for a, b in pairs]
    (folder / "lengths.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def settings(**changes) -> RunConfig:
    raw = {
        "task": "./lengths.py",
        "iterations": 1,
        "data": {"source": "lengths.jsonl", "train_size": 12, "validation_size": 6, "test_size": 6},
        "student": {"model": "builtin:tiny", "training": {"epochs": 1}, "inference": {"max_new_tokens": 4}},
        "generation": {"batch_size": 3},
    }
    return RunConfig.model_validate({**raw, **changes})


def services(config: RunConfig, **teacher):
    return fake_services(
        teacher=FakeTeacher(mangle=written_as_lengths, **teacher),
        trainer=LocalTrainer(),
        predictor=Speaking(config.student),
    )


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with contextlib.chdir(furnished(tmp_path_factory.mktemp("once"))):
        config = settings()
        run(config, "runs/one", services=services(config))
        return Path("runs/one").resolve()


@pytest.fixture
def finished(once: Path, folder: Path) -> Path:
    shutil.copytree(once, folder / "runs/one")
    return folder / "runs/one"


def test_the_file_parses_rows_scores_outputs_and_checks_what_the_generator_writes(finished):
    predictions = jsonl(finished / "iteration_0/predictions_test.jsonl")
    assert predictions[0]["correct"] and predictions[0]["parsed"] == "1000 m"
    assert predictions[1]["reason"] == "answered 0.007 m, but the correct answer is 1 km"
    assert all(prediction["prompt"].endswith("\nAnswer with the length alone.") for prediction in predictions)
    samples = jsonl(finished / "iteration_1/synthetic_accepted.jsonl")
    assert samples and all(sample["row"].keys() >= {"question", "answer"} for sample in samples)
    assert not any(sample["row"]["answer"] == "far" for sample in samples)
    refused = [draft for draft in jsonl(finished / "iteration_1/synthetic_raw.jsonl") if draft["fate"] == "failed"]
    assert refused and all("must be a number and one of mm" in str(draft) for draft in refused)


def test_the_run_directory_alone_is_enough_for_everything_that_comes_after(finished, folder):
    sha256 = hashlib.sha256(FILE.encode()).hexdigest()
    recorded = json.loads((finished / "resolved_config.json").read_text())
    assert (recorded["task_sha256"], (finished / "task.py").read_text()) == (sha256, FILE)
    metrics = json.loads((finished / "metrics.json").read_text())
    assert metrics["task"] == "lengths.py"
    moved = folder / "elsewhere/moved"
    shutil.copytree(finished, moved)
    shutil.rmtree(finished)
    (folder / "lengths.py").unlink()
    assert sha256 in build_report(moved).read_text()
    assert {row["task"] for row in compare_runs([moved])["models"]} == {"lengths.py"}
    assert run(load_config(moved / "resolved_config.json"), moved) == metrics

    from pada_graph.export import export_run

    exported = export_run(moved, folder / "export", iteration=1, merged=False)
    assert "# builtin:tiny, tuned for lengths\n" in (exported.folder / "adapter/README.md").read_text()
    prompts = [row["prompt"] for row in jsonl(exported.folder / "dataset/train.jsonl")]
    assert prompts and all(prompt.endswith("Answer with the length alone.") for prompt in prompts)


def test_a_run_that_goes_on_takes_the_same_file_wherever_it_lies_and_refuses_another_one(folder):
    config = settings()
    with pytest.raises(KilledError):
        run(config, "runs/one", services=services(config, stop_at=3))
    (folder / "lengths.py").write_text(FILE.replace('"km": Decimal(1000)', '"km": Decimal(1024)'))
    with pytest.raises(InputError, match=r"runs/one: .*copy is there, as task\.py; \./lengths\.py is another one"):
        run(settings(), "runs/one", services=services(config))
    (folder / "kept").mkdir()
    (folder / "kept/lengths.py").write_text(FILE)
    config = settings(task="kept/lengths.py")
    metrics = run(config, "runs/one", services=services(config))
    assert metrics["accounting"]["accepted"] > 0 and (folder / "runs/one/task.py").read_text() == FILE


def test_a_copy_that_was_changed_is_not_run(finished):
    (finished / "task.py").write_text(FILE.replace("Decimal(1000)", "Decimal(1)"))
    with pytest.raises(InputError, match=r"task\.py: was changed since the run began"):
        build_report(finished)


def test_runs_scored_by_different_versions_of_a_file_are_not_compared(finished, folder):
    (folder / "lengths.py").write_text(FILE + "\n# Another version.\n")
    config = settings(method="vanilla")
    run(config, "runs/two", services=services(config))
    with pytest.raises(InputError, match=r"runs/two: cannot be compared .* another version of lengths\.py"):
        compare_runs([finished, folder / "runs/two"])


def test_a_start_that_is_refused_leaves_nothing_behind(folder):
    (folder / "lengths.py").write_text(FILE.replace("def prompt", "def promt"))
    config = settings()
    with pytest.raises(InputError, match=r"class Lengths lacks prompt\. Write them"):
        run(config, "runs/one", services=services(config))
    assert not (folder / "runs").exists()
