"""The report of a run that goes on: built from copies of a run directory that end where a run may stand."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pada_graph import run
from pada_graph.report import build_report
from pada_graph.rundir import RunDir
from pada_graph.stats import paired
from tests.fakes import fake_services, sums_config, write_sums
from tests.unit.test_report import Page


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rounds with real files of every node; the models are stand-ins."""
    root = tmp_path_factory.mktemp("meanwhile")
    run(sums_config(write_sums(root / "sums")), root / "run", services=fake_services())
    return root / "run"


@pytest.fixture
def cut(finished: Path, tmp_path: Path) -> Callable[..., RunDir]:
    """A copy whose files end before `event` of iteration `t`; `without` names further files that are not there yet."""

    def copy(event: str, t: int, without: tuple[str, ...] = ()) -> RunDir:
        directory = RunDir(shutil.copytree(finished, tmp_path / "run"))
        lines = directory.read_log("events.jsonl")
        place = next(i for i, line in enumerate(lines) if line["event"] == event and line.get("iteration") == t)
        text = "".join(json.dumps(line) + "\n" for line in lines[:place])
        directory.path("events.jsonl").write_text(text + '{"event": "torn', encoding="utf-8")
        for pattern in ("metrics.json", "evolution.json", "report.html", "*/predictions_test.jsonl", *without):
            for path in directory.root.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return directory

    return copy


def words(directory: RunDir) -> tuple[str, list[str | None]]:
    page = Page(build_report(directory.root))
    return " ".join(page.text.split()), [section["id"] for section in page.all("section")]


def test_after_initialize(cut: Callable[..., RunDir]) -> None:
    text, sections = words(cut("fine_tune", 0, ("iteration_*", "untuned", "teacher_calls.sqlite")))
    assert "This run is not finished. Nothing has been scored yet." in text
    assert "Last event: score" in text or "Last event: initialize" in text
    assert sections == ["accuracy", "leakage", "cost", "setup"]


def test_in_the_middle_of_training(cut: Callable[..., RunDir]) -> None:
    directory = cut("score", 0, ("iteration_[12]", "iteration_0/predictions_*", "iteration_0/adapter"))
    log = directory.path("iteration_0/training_log.jsonl")
    log.write_text('{"epoch": 0.5, "loss": 2.5}\n{"epoch": 0.6, "lo', encoding="utf-8")
    text, sections = words(directory)
    assert "loss" in sections and "flips" not in sections
    assert "iteration 0 from 2.50 to 2.50" in (directory.root / "report.html").read_text()
    assert "fine-tuning" in text


def test_in_the_middle_of_predictions_with_a_torn_last_line(cut: Callable[..., RunDir]) -> None:
    directory = cut("score", 0, ("iteration_[12]",))
    whole = directory.path("iteration_0/predictions_validation.jsonl")
    lines = whole.read_text(encoding="utf-8").splitlines(keepends=True)
    whole.with_name("predictions_validation.jsonl.partial").write_text("".join(lines[:5]) + lines[5][:20])
    whole.unlink()
    text, _ = words(directory)
    assert "Iteration 0, validation: 5 of 12 items answered, not scored yet." in text
    assert "Iteration 0vanilla fine-tuning 20 0" in text  # the model is there, its validation accuracy is not
    assert "Nothing has been scored yet." in text


def test_an_iteration_is_listed_once_it_has_rows_to_train_on(finished: Path, cut: Callable[..., RunDir]) -> None:
    whole = RunDir(finished).read_json("metrics.json")["iterations"]
    directory = cut("plan_batches", 2, ("iteration_2/train.jsonl", "iteration_2/predictions*"))
    table = words(directory)[0].split("An iteration is trained on")[1].split("Accuracy by iteration")[0]
    for entry in whole[:2]:
        name = "Iteration 0vanilla fine-tuning" if entry["iteration"] == 0 else "Iteration 1"
        assert f"{name} {entry['train_rows']} {entry['synthetic_rows']} " in table
    assert whole[1]["synthetic_rows"] and "Iteration 2" not in table


def test_in_the_middle_of_a_round(cut: Callable[..., RunDir]) -> None:
    closed = ("batches", "synthetic_raw", "synthetic_accepted", "reviews", "rejected", "train")
    names = [f"iteration_2/{name}.jsonl" for name in closed]
    directory = cut("collect_batches", 2, (*names, "iteration_2/predictions*"))
    files = sorted((directory.root / "iteration_2" / "batches").glob("*.json"))
    for late in files[1:]:
        late.unlink()
    outcome = json.loads(files[0].read_text())["outcome"]
    text, sections = words(directory)
    assert f"Round 2: 1 of {len(files)} batches done." in text
    assert f"Round 2, so far {outcome['requested']} {outcome['accepted']}" in text
    assert ">chosen</span>" not in (directory.root / "report.html").read_text()
    assert {"patterns", "clusters", "batches", "samples", "flips", "accounting", "cost"} <= set(sections)


def test_a_finished_run_has_compared_the_chosen_iteration_with_the_untuned_model(finished: Path) -> None:
    directory = RunDir(finished)
    metrics = directory.read_json("metrics.json")
    untuned, chosen = (
        directory.read_jsonl(f"{directory.iteration(t)}/predictions_test.jsonl")
        for t in (None, metrics["best_iteration"])
    )
    assert metrics["untuned_comparison"] == paired(untuned, chosen)


def test_a_finished_run_says_nothing_of_progress(finished: Path) -> None:
    text, _ = words(RunDir(finished))
    assert "Last event" not in text and "batches done" not in text and ", so far" not in text
