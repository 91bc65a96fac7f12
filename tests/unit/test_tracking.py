"""A run in MLflow or trackio: what is sent, that a failing tracker harms no run, that nothing is on by itself."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from langgraph.errors import GraphRecursionError

from pada_graph import run, tracked
from pada_graph.config import RunConfig
from pada_graph.errors import InputError, StoppedError
from pada_graph.services import Reply
from pada_graph.telemetry import OFF
from pada_graph.tracking import callback
from pada_graph.tracking.metrics import Point, points
from tests.fakes import FakePredictor, FakeTeacher, fake_services, jsonl, sums_config, write_sums

SCORE = {"n": 10, "correct": 4, "accuracy": 0.4, "low": 0.2, "high": 0.7, "unparsed": 1, "truncated": 0, "measures": {}}
FINISHED = "end metrics.json report.html"


class Remembering:
    """A tracker that keeps what it is told, and fails or dawdles where it should."""

    def __init__(self, fails_at: str = "", waits_for: threading.Event | None = None):
        self.told: list[Point] = []
        self.calls: list[str] = []
        self.settings: dict[str, str] = {}
        self.fails_at, self.waits_for = fails_at, waits_for

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if name == self.fails_at:
            raise ConnectionError("https://user:sk-abcdef123456@tracker.example refused")

    def begin(self, name, known, settings):
        self._called("begin")
        self.settings = settings
        return known or name

    def log(self, points):
        self._called("log")
        if self.waits_for:
            self.waits_for.wait(20)
        self.told += points

    def end(self, results):
        self._called(" ".join(["end", *(path.name for path in results)]))


@pytest.fixture
def tracker(monkeypatch):
    made = Remembering()
    monkeypatch.setattr(callback, "open_tracker", lambda name: made)
    return made


def tracked_run(tmp_path, services=None, **changes):
    if not (tmp_path / "sums").exists():
        write_sums(tmp_path / "sums")
    config = sums_config(tmp_path / "sums", **changes)
    with tracked("mlflow", tmp_path / "run") as watch:
        return run(config, tmp_path / "run", services=services or fake_services(), watch=watch)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            {"event": "training", "iteration": 2, "step": 7, "loss": 1.5, "learning_rate": 1e-4, "grad_norm": None},
            [("iteration_2/loss", 1.5, 7), ("iteration_2/learning_rate", 1e-4, 7)],
        ),
        (
            {"event": "score", "iteration": None, "split": "test", **SCORE},
            [
                ("untuned/test/accuracy", 0.4, 0),
                ("untuned/test/low", 0.2, 0),
                ("untuned/test/high", 0.7, 0),
                ("untuned/test/unparsed", 1, 0),
                ("untuned/test/truncated", 0, 0),
            ],
        ),
        (
            {"event": "score", "iteration": 2, "split": "test", "measures": {"f1": 0.5, "BLEU (4-gram)": 0.25}},
            [("student/test/measures/f1", 0.5, 2), ("student/test/measures/BLEU__4-gram_", 0.25, 2)],
        ),
        (
            {"event": "strategy", "iteration": 1, "name": "x", "calls": 12, "tokens": 900, "usd": None},
            [("teacher/tokens", 900, 12)],
        ),
        ({"event": "predicting", "iteration": 1, "split": "train", "done": 3, "total": 9}, []),
    ],
)
def test_an_event_becomes_numbers_at_a_step_of_their_own(event, expected):
    assert points({**event, "time": 1.0}) == expected


def test_a_run_tells_its_tracker_every_score_and_the_books_of_every_round(tmp_path, tracker):
    metrics = tracked_run(tmp_path, iterations=2)
    told = {(name, step): value for name, value, step in tracker.told}
    for scores in metrics["iterations"]:
        step = scores["iteration"]
        assert told["student/validation/accuracy", step] == scores["validation"]["accuracy"]
    sums = {key: sum(told[f"samples/{key}", t] for t in (1, 2)) for key in ("requested", "accepted", "rejected")}
    assert sums == {key: metrics["accounting"][key] for key in sums}
    assert told["chosen/best_iteration", 0] == metrics["best_iteration"]
    assert tracker.settings["generation.ratio"] == "0.5"
    assert tracker.calls[0] == "begin" and tracker.calls[-1] == FINISHED
    assert not any("/measures/" in name for name, _ in told)


class Strict(FakePredictor):
    """Gives its first right answer in GSM8K's strict form."""

    def predict(self, adapter, prompts, **options):
        for completion in super().predict(adapter, prompts, **options):
            yield replace(completion, text=f"#### {completion.text}") if completion.index == 0 else completion


def test_a_tracker_and_the_events_have_the_means_of_a_tasks_further_measures(tmp_path, tracker):
    for split in ("train", "validation", "test"):
        rows = [{"question": f"Add {k} to {len(split)}.", "answer": f"#### {k + len(split)}"} for k in range(4)]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sizes = {"train_size": 4, "validation_size": 4, "test_size": 4}
    raw = {"task": "gsm8k", "method": "vanilla", "data": {"source": str(tmp_path), **sizes}}
    with tracked("mlflow", tmp_path / "run") as watch:
        services = fake_services(predictor=Strict())
        metrics = run(RunConfig.model_validate(raw), tmp_path / "run", services=services, watch=watch)
    told = {(name, step): value for name, value, step in tracker.told}
    assert (told["student/test/accuracy", 0], told["student/test/measures/strict", 0]) == (0.5, 0.25)
    assert told["untuned/validation/measures/strict", 0] == 0.25
    scores = [event for event in jsonl(tmp_path / "run/events.jsonl") if event["event"] == "score"]
    assert scores and all(event["measures"] == {"strict": 0.25} for event in scores)
    assert "measures" not in metrics["untuned"]["test"]


def test_secrets_and_rows_are_not_sent(tmp_path, tracker):
    models = {"judge": {"model": "openai:x", "api_key": "sk-very-secret-1234", "base_url": "http://u:pw@host/v1"}}
    tracked_run(tmp_path, models=models)
    sent = json.dumps([tracker.settings, [list(point) for point in tracker.told]])
    assert "very-secret" not in sent and "pw@" not in sent
    assert tracker.settings["models.judge.model"] == "openai:x"


@pytest.mark.parametrize("fails_at", ["begin", "log", FINISHED])
def test_a_tracker_that_fails_is_given_up_and_the_run_goes_on(tmp_path, tracker, fails_at, capsys):
    tracker.fails_at = fails_at
    metrics = tracked_run(tmp_path)
    assert metrics["stop_reason"]
    assert tracker.calls.count(fails_at) == 1 and tracker.calls[-1] == fails_at
    said = capsys.readouterr().err
    assert "mlflow failed (ConnectionError" in said and "The run goes on." in said
    assert "sk-abcdef" not in said


def test_a_slow_tracker_does_not_hold_up_the_run(tmp_path, tracker, monkeypatch, capsys):
    tracker.waits_for = threading.Event()
    monkeypatch.setattr(callback, "PATIENCE", 0.1)
    assert tracked_run(tmp_path)["stop_reason"]
    tracker.waits_for.set()
    assert "did not take everything within" in capsys.readouterr().err


def test_a_run_that_stops_goes_on_as_the_same_tracked_run(tmp_path, tracker):
    class Refusing(FakeTeacher):
        def ask(self, role, prompt, *, item, attempt=0) -> Reply:
            raise StoppedError("no more credit")

    with pytest.raises((StoppedError, GraphRecursionError)):
        tracked_run(tmp_path, fake_services(teacher=Refusing()))
    first = json.loads((tmp_path / "run/tracking.json").read_text())
    assert tracker.calls[-1] == "end"
    tracked_run(tmp_path)
    assert json.loads((tmp_path / "run/tracking.json").read_text()) == first
    assert tracker.calls[-1] == FINISHED


def test_a_finished_run_begins_nothing(tmp_path, tracker):
    tracked_run(tmp_path)
    tracker.calls.clear()
    tracked_run(tmp_path)
    assert tracker.calls == []


@pytest.mark.slow
def test_mlflow_has_the_run_and_its_results_and_a_resumed_run_is_the_same_one(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "sums")
    monkeypatch.chdir(tmp_path)

    class Refusing(FakeTeacher):
        def ask(self, role, prompt, *, item, attempt=0) -> Reply:
            raise StoppedError("no more credit")

    from mlflow import MlflowClient

    with pytest.raises(StoppedError):
        tracked_run(tmp_path, fake_services(teacher=Refusing()))
    client = MlflowClient()
    experiment = client.get_experiment_by_name("sums").experiment_id
    assert [found.info.status for found in client.search_runs([experiment])] == ["KILLED"]
    metrics = tracked_run(tmp_path)
    (found,) = client.search_runs([experiment])
    assert found.info.status == "FINISHED"
    assert found.data.params["method"] == "pada"
    history = client.get_metric_history(found.info.run_id, "student/validation/accuracy")
    assert {point.step: point.value for point in history} == {
        scores["iteration"]: scores["validation"]["accuracy"] for scores in metrics["iterations"]
    }
    assert [file.path for file in client.list_artifacts(found.info.run_id)] == ["metrics.json", "report.html"]


@pytest.mark.slow
def test_trackio_has_the_run_and_prints_nothing(tmp_path):
    write_sums(tmp_path / "sums")
    code = (
        "from pathlib import Path; from pada_graph import run, tracked;"
        "from tests.fakes import fake_services, sums_config;"
        f"config = sums_config(Path({str(tmp_path / 'sums')!r}));"
        f"directory = Path({str(tmp_path / 'run')!r});"
        "tracker = tracked('trackio', directory); watch = tracker.__enter__();"
        "run(config, directory, services=fake_services(), watch=watch); tracker.__exit__(None, None, None);"
        "import json, trackio; from trackio.sqlite_storage import SQLiteStorage;"
        "name = json.loads((directory / 'tracking.json').read_text())['trackio'];"
        "print(json.dumps(SQLiteStorage.get_logs('pada-graph', name)))"
    )
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio"), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    logs = json.loads(done.stdout)  # and nothing besides
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    validation = {log["step"]: log[key] for log in logs if (key := "student/validation/accuracy") in log}
    assert validation == {scores["iteration"]: scores["validation"]["accuracy"] for scores in metrics["iterations"]}


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_refused_before_the_run(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(InputError, match="MLFLOW_TRACKING_URI"):
        tracked_run(tmp_path)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["mlflow", "trackio"])
def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    missing = pytest.raises(InputError, match=rf"{name} is not installed.*pada-graph\[tracking\]")
    with missing, tracked(name, tmp_path / "run"):
        pass


def test_nothing_is_tracked_unless_asked_for(tmp_path):
    write_sums(tmp_path / "sums")
    code = (
        "import sys; from pathlib import Path; from pada_graph import run;"
        "from tests.fakes import fake_services, sums_config;"
        f"run(sums_config(Path({str(tmp_path / 'sums')!r})), {str(tmp_path / 'run')!r}, services=fake_services());"
        "print([name for name in ('mlflow', 'trackio') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"
    assert not (tmp_path / "run/tracking.json").exists()


@pytest.mark.parametrize("name", OFF)
def test_telemetry_of_libraries_is_off_unless_the_user_turned_it_on(name):
    code = f"import os, pada_graph; print(os.environ[{name!r}])"
    plain = {key: value for key, value in os.environ.items() if key not in OFF}
    for environment, expected in ((plain, OFF[name]), ({**plain, name: "mine"}, "mine")):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        assert done.stdout.strip() == expected


@pytest.mark.slow
def test_the_libraries_read_their_switches_as_off():
    code = (
        "import pada_graph; from huggingface_hub import constants; from mlflow.telemetry.utils import"
        " is_telemetry_disabled; from mlflow.environment_variables import MLFLOW_DISABLE_TELEMETRY;"
        "print(constants.HF_HUB_DISABLE_TELEMETRY, MLFLOW_DISABLE_TELEMETRY.get(), is_telemetry_disabled())"
    )
    plain = {key: value for key, value in os.environ.items() if key not in (*OFF, "CI", "PYTEST_CURRENT_TEST")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=plain)
    assert done.stdout.split() == ["True", "True", "True"]
