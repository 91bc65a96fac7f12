"""What a run shows: the forecast's arithmetic and the events in words."""

import io
import time

from rich.console import Console

from pada_graph.config import Data, RunConfig
from pada_graph.heads import record_calls
from pada_graph.live import Board, Forecast, describe, going_on, spent_words, watching

CONFIG = RunConfig(task="demo", iterations=1, data=Data(train_size=100, validation_size=50, test_size=50))


def predicting(done: int, moment: float) -> dict:
    return {"event": "predicting", "iteration": 0, "split": "train", "done": done, "total": 100, "time": moment}


def test_the_forecast_multiplies_measured_speeds_with_what_is_left():
    forecast = Forecast(CONFIG)
    forecast.take({"event": "fine_tune", "iteration": 0, "train_rows": 100, "synthetic_rows": 0, "time": 10.0})
    forecast.take({"event": "training", "iteration": 0, "step": 1, "steps": 10, "time": 60.0})
    assert forecast.seconds_left(predicting(0, 0)) is None  # a first step says little
    forecast.take({"event": "training", "iteration": 0, "step": 10, "steps": 10, "time": 110.0})
    assert forecast.row == 1.0  # second a row
    forecast.take(predicting(40, 100.0))  # resumed: forty answers were there
    forecast.take(predicting(60, 110.0))
    assert forecast.answer == 0.5
    assert forecast.seconds_left(predicting(60, 110.0)) is None  # nobody knows yet how long a round takes
    forecast.take({"event": "select_errors", "iteration": 1, "time": 200.0})
    forecast.take({"event": "collect_batches", "iteration": 1, "time": 230.0})
    # a round of 30 s; one more training of 150 rows; 50 validation answers of iteration 1 and 150 of test
    assert forecast.seconds_left({"event": "pattern"}) == 30 + 150 * 1.0 + 200 * 0.5
    forecast.take({**predicting(20, 240.0), "split": "test"})
    assert forecast.seconds_left({"event": "pattern"}) == 30 + 150 * 1.0 + 180 * 0.5
    assert forecast.seconds_left({"event": "finalize"}) is None


def test_a_log_file_gets_one_line_an_event_and_says_every_half_minute_how_far_the_answers_are(capsys):
    console, start = Console(force_terminal=False, width=200), time.time() + 1
    with watching(console, CONFIG, "title", [], "Going on with [x]") as watch:
        for done in range(101):
            watch(predicting(done, start + done))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Going on with [x]" and len(lines) == 4
    assert "iteration 0: answering train 90 of 100" in lines[-1]


def test_a_finished_run_goes_on_with_nothing(capsys):
    with watching(Console(force_terminal=False, width=200), CONFIG, "title", [], "Going on"):
        pass
    assert capsys.readouterr().out == ""


def test_what_is_paid_for_is_said_when_a_run_goes_on(tmp_path):
    assert going_on(tmp_path) == f"Going on with {tmp_path}: 0 finished teacher calls in the journal."
    record_calls(tmp_path / "teacher_calls.sqlite", 1)
    assert going_on(tmp_path) == f"Going on with {tmp_path}: 1 finished teacher call in the journal."


def test_the_panel_says_the_iteration_once():
    console = Console(width=120, record=True, file=io.StringIO())
    board = Board(CONFIG, "title")
    for event in (
        {"event": "fine_tune", "iteration": 1, "train_rows": 9, "synthetic_rows": 5, "time": 0.0},
        {"event": "cluster_analyses", "iteration": 1, "k": 1, "method": "single"},
    ):
        board.take(event)
        console.print(board)
    text = console.export_text()
    assert "iteration 1: fine-tuning on 9 train rows" in text and "iteration 1: 1 cluster of failures " in text
    assert " of 1:" not in text


def test_a_resumed_run_shows_the_scores_it_already_has():
    past = {
        "event": "score",
        "iteration": None,
        "split": "validation",
        "accuracy": 0.5,
        "low": 0.4,
        "high": 0.6,
        "time": 1.0,
    }
    console = Console(force_terminal=True, width=120, record=True)
    with watching(console, CONFIG, "title", [past]) as watch:
        watch(predicting(1, 1.0))
    assert "50.0% [40.0, 60.0]" in console.export_text()


def test_batches_that_are_sent_back_and_given_up_are_told_apart():
    board = Board(CONFIG, "title")
    qc = {"event": "quality_control", "iteration": 1, "attempt": 0, "score": 3.0, "passed": False}
    board.take({**qc, "batch": "a", "attempts_left": 2})
    board.take({**qc, "batch": "b", "attempts_left": 0})
    assert board.regenerated == {"a"}
    assert describe({**qc, "batch": "b", "score": None}).endswith("attempt 1: not judged, below the threshold")


def test_what_the_teacher_has_cost_is_shown_and_an_unknown_price_is_not_nothing():
    board = Board(CONFIG, "title")
    assert spent_words(board.spent) == ""
    event = {"event": "pattern", "iteration": 1, "name": "a", "size": 1, "calls": 3, "tokens": 1500}
    board.take({**event, "usd": 0.0123})
    assert spent_words(board.spent) == "3 teacher calls, 1,500 tokens, $0.0123 · "
    board.take({**event, "usd": None})
    assert spent_words(board.spent) == "3 teacher calls, 1,500 tokens, cost unknown · "
