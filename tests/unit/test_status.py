"""`pada-graph status` and `run --json`: what other terminals and programs are told of a run."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from pada_graph.config import Data, RunConfig
from pada_graph.errors import InputError
from pada_graph.live import Board, print_status, read_status
from pada_graph.lock import in_use, locked
from pada_graph.stages import stage_seconds

CONFIG = RunConfig(task="demo", iterations=2, data=Data(train_size=100, validation_size=50, test_size=50))
SCORE = {"n": 50, "correct": 20, "accuracy": 0.4, "low": 0.276, "high": 0.538, "unparsed": 0, "truncated": 0}
EVENTS = [
    {"event": "session", "time": 1000.0},
    {"event": "initialize", "task": "demo", "method": "pada", "iterations": 2, "time": 1010.0},
    {"event": "score", "iteration": 0, "split": "validation", "time": 1100.0, **SCORE},
    {"event": "session", "time": 9000.0},
    {"event": "plan_batches", "iteration": 1, "batches": 4, "samples": 40, "time": 9010.0},
    {"event": "quality_control", "iteration": 1, "batch": "b0", "attempt": 0, "score": 5.0, "passed": False, "again": 0,
     "attempts_left": 3, "calls": 9, "tokens": 1200, "usd": 0.25, "time": 9020.0},
    {"event": "batch", "iteration": 1, "batch": "b1", "accepted": 10, "requested": 10, "time": 9030.0},
]  # fmt: skip


@pytest.fixture
def run_dir(tmp_path) -> Path:
    root = tmp_path / "run"
    root.mkdir()
    (root / "resolved_config.json").write_text(CONFIG.model_dump_json())
    lines = "".join(json.dumps(event) + "\n" for event in EVENTS)
    (root / "events.jsonl").write_text(lines + '{"event": "bat')  # torn
    return root


def printed(root: Path, width: int = 80) -> str:
    out = io.StringIO()
    print_status(read_status(root), Console(file=out, width=width))
    return out.getvalue()


def test_a_run_at_work_is_told_from_one_that_stopped(run_dir):
    assert "No process is at work on it." in printed(run_dir)
    with locked(run_dir):
        assert read_status(run_dir).state == "at work" and in_use(run_dir)
        assert "A process is at work on it; its last event was" in printed(run_dir)
    assert read_status(run_dir).state == "stopped"
    (run_dir / "metrics.json").write_text('{"seconds": {}}')
    assert read_status(run_dir).state == "finished"


def test_a_finished_run_took_what_its_metrics_say(run_dir):
    (run_dir / "metrics.json").write_text('{"seconds": {"set-up": 10.0, "closing": 90.4}}')
    assert "· took 1:40" in printed(run_dir)
    assert read_status(run_dir).as_json()["seconds"] == 100.4


def test_only_time_after_the_last_event_is_closing():
    assert stage_seconds(EVENTS, EVENTS[-1]["time"]) == {
        "set-up": 10.0,
        "prediction": 90.0,
        "generation and quality control": 30.0,
    }
    assert stage_seconds(EVENTS, EVENTS[-1]["time"] + 2)["closing"] == 2.0
    assert stage_seconds([], 1.0) == {}


def test_the_panel_has_place_scores_batches_and_costs_of_all_sessions(run_dir):
    text = printed(run_dir)
    assert "round 1 of 2 · generation and quality control" in text
    assert "9 teacher calls, 1,200 tokens, $0.2500 · took 2:10" in text  # 100 s and 30 s; the pause does not count
    assert "batches of round 1: 1 of 4 done, 1 accepted, 0 rejected, 1 sent back" in text
    assert "40.0% [27.6, 53.8]" in text


def test_programs_get_the_same_as_one_object(run_dir):
    found = json.loads(json.dumps(read_status(run_dir).as_json()))
    assert (found["state"], found["seconds"], found["seconds_left"]) == ("stopped", 130.0, None)
    assert found["batches"] == {"planned": 4, "closed": 1, "accepted": 1, "sent_back": 1}
    assert found["spent"] == {"calls": 9, "tokens": 1200, "usd": 0.25}
    assert [score["split"] for score in found["scores"]] == ["validation"]
    assert found["last_event"]["event"] == "batch"


def test_looking_changes_nothing_and_keeps_nobody_out(run_dir):
    before = {path.name: path.read_bytes() for path in run_dir.iterdir()}
    printed(run_dir)
    assert {path.name: path.read_bytes() for path in run_dir.iterdir()} == before
    with locked(run_dir):
        pass
    assert not in_use(run_dir)


def test_a_folder_that_is_no_run_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=f"{tmp_path}: not a run directory"):
        read_status(tmp_path)


def test_a_low_terminal_keeps_place_action_and_costs():
    board = Board(CONFIG, "title", EVENTS)
    for number in range(30):
        board.take(
            {"event": "pattern", "iteration": 1, "name": f"a long name of pattern {number}", "size": 3, "time": 1.0}
        )
    out = io.StringIO()
    Console(file=out, width=60, height=8).print(board)
    top = "".join(out.getvalue().splitlines()[1:6])
    assert "round 1 of 2" in top and "$0.25" in top and "batches of round 1: 1 of 4" in top


def command(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    call = [sys.executable, "-m", "pada_graph", *arguments]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        call, cwd=folder, env=environment, check=False, capture_output=True, text=True, encoding="utf-8", timeout=280
    )


@pytest.mark.slow
def test_a_program_reads_nothing_but_events_and_the_result_last(tmp_path):
    pytest.importorskip("trl")
    (tmp_path / "c.yaml").write_text(
        "{task: demo, method: vanilla, data: {source: 'builtin:demo', train_size: 8, validation_size: 6, test_size: 6},"
        " student: {model: 'builtin:tiny', training: {epochs: 1}, inference: {max_new_tokens: 4}}}"
    )
    done = command("run", "c.yaml", "--run-dir", "run", "--json", folder=tmp_path)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert [event["event"] for event in events][:2] == ["initialize", "fine_tune"]
    assert events[-1]["event"] == "result"
    assert events[-1]["metrics"] == json.loads((tmp_path / "run/metrics.json").read_text())
    assert "Report: run/report.html" in done.stderr
    shown = command("status", "run", "--json", folder=tmp_path)
    assert json.loads(shown.stdout)["state"] == "finished"
    refused = command("run", "c.yaml", "--run-dir", "run", "--json", "--set", "seed=7", folder=tmp_path)
    (last,) = [json.loads(line) for line in refused.stdout.splitlines()]
    assert (refused.returncode, last["event"]) == (2, "refused") and "another configuration" in last["message"]
