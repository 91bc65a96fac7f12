"""What a run shows: the forecast's arithmetic and the events in words."""

import io
import time
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from rich.console import Console

from pada_graph.config import Data, RunConfig
from pada_graph.heads import record_calls
from pada_graph.live import Board, Forecast, clock, describe, going_on, spent_words, watching

CONFIG = RunConfig(task="demo", iterations=1, data=Data(train_size=100, validation_size=50, test_size=50))


def predicting(done: int, moment: float) -> dict:
    return {"event": "predicting", "iteration": 0, "split": "train", "done": done, "total": 100, "time": moment}


@dataclass
class MadeUp:
    """Events of a run of a known speed; each method moves its clock on."""

    slower: float = 0.0  # share by which each training is slower than the one before
    now: float = 1000.0
    events: list[dict] = field(default_factory=list)

    def event(self, name: str, **values: object) -> None:
        self.events.append({"event": name, "time": self.now, **values})

    def training(self, iteration: int, rows: int) -> None:
        """20 s of loading, 0.5 s a row, 4 s of saving."""
        pace = (1 + self.slower) ** iteration
        self.event("fine_tune", iteration=iteration, train_rows=100, synthetic_rows=rows - 100)
        self.now += 20 * pace
        for step in range(1, 11):
            self.now += 0.05 * rows * pace
            self.event("training", iteration=iteration, step=step, steps=10, seconds=0.05 * rows * pace * step)
        self.now += 4 * pace

    def answers(self, iteration: int | None, split: str, count: int, accuracy: float = 0.5) -> None:
        """0.25 s each, 10 of them together."""
        for done in range(0, count, 10):
            self.event("predicting", iteration=iteration, split=split, done=done, total=count)
            self.now += 2.5
            for one in range(done + 1, done + 10):
                self.event("predicting", iteration=iteration, split=split, done=one, total=count)
        self.event("predicting", iteration=iteration, split=split, done=count, total=count)
        self.event("score", iteration=iteration, split=split, n=count, accuracy=accuracy)

    def round(self, iteration: int, pause: float, analysis: bool) -> None:
        """40 s, and a pause in the middle."""
        if analysis:
            self.event("select_errors", iteration=iteration, failures=5, selected=5)
        self.now += 15
        self.event("plan_batches", iteration=iteration, batches=1, samples=50)
        if pause:
            self.now += pause
            self.event("session")
        self.now += 25
        self.event("collect_batches", iteration=iteration, requested=50, accepted=50)

    def whole(self, rounds: int, best: int, pause: float = 0.0, analysis: bool = True) -> "MadeUp":
        self.event("session")
        self.training(0, 100)
        self.answers(None, "validation", 50)
        for iteration in range(rounds + 1):
            if iteration:
                self.round(iteration, pause, analysis)
                self.training(iteration, 100 + 50 * iteration)
            self.answers(iteration, "validation", 50, accuracy=0.6 if iteration == best else 0.5)
            if iteration < rounds and analysis:
                self.answers(iteration, "train", 100)
        for iteration in dict.fromkeys((None, 0, best)):
            self.answers(iteration, "test", 50)
        return self


def forecasts(config: RunConfig, run: MadeUp, step: float = 1.0) -> list[tuple[float, float | None]]:
    """What was left and what was forecast, each second from one event to the next.

    A pause is left out of both: it is no time of the run, and nobody looks.
    """
    forecast, pairs = Forecast(config), []
    outside = sum(
        after["time"] - before["time"] for before, after in pairwise(run.events) if after["event"] == "session"
    )
    for event, after in pairwise([*run.events, {"event": "end", "time": run.now}]):
        forecast.take(event)
        if after["event"] == "session":
            outside -= after["time"] - event["time"]
            continue
        now = event["time"]
        while now < after["time"]:
            pairs.append((run.now - now - outside, forecast.seconds_left(now)))
            now += step
    return pairs


THREE = RunConfig(task="demo", iterations=3, data=Data(train_size=100, validation_size=50, test_size=50))


@pytest.mark.parametrize(("best", "pause"), [(3, 0.0), (2, 3600.0)])
def test_the_forecast_of_a_run_of_even_speed_is_right_from_the_first_round_to_the_end(best, pause):
    pairs = forecasts(THREE, MadeUp().whole(3, best, pause))
    known = [pair for pair in pairs if pair[1] is not None]
    assert known[0][0] > 400 and len(known) > 577 and pairs[-len(known) :] == known  # and never lost again
    assert all(abs(actual - forecast) < 0.1 for actual, forecast in known)


def test_the_forecast_follows_a_machine_that_slows_down():
    pairs = forecasts(THREE, MadeUp(slower=0.15).whole(3, 3))
    assert all(abs(actual - forecast) <= 1 + 0.25 * actual for actual, forecast in pairs if forecast is not None)


def test_a_test_set_is_not_awaited_where_iteration_0_is_best():
    last = [pair for pair in forecasts(THREE, MadeUp().whole(3, 0)) if pair[0] < 25]
    assert all(abs(actual - forecast) < 0.1 for actual, forecast in last)


def test_a_method_without_pattern_analysis_is_forecast_too():
    config = THREE.model_copy(update={"method": "auggpt"})
    known = [pair for pair in forecasts(config, MadeUp().whole(3, 3, analysis=False)) if pair[1] is not None]
    assert known[0][0] > 200
    assert all(abs(actual - forecast) < 0.1 for actual, forecast in known)


def test_a_run_that_ends_before_its_last_round_has_only_the_test_split_left():
    run = MadeUp().whole(1, 1)  # of three
    last = [pair for pair in forecasts(THREE, run) if pair[0] < 37]
    assert all(abs(actual - forecast) < 0.1 for actual, forecast in last)


def test_a_stage_that_takes_longer_than_expected_does_not_use_up_the_others():
    run, forecast = MadeUp().whole(1, 1), Forecast(THREE)
    for event in run.events:
        forecast.take(event)
        if event["event"] == "fine_tune" and event["iteration"] == 1:
            break
    # two more rounds of 40 s and trainings of 124 and 149 s, answers of 275 at 0.25 s; this training: 99 s
    after = 40 * 2 + 124 + 149 + (50 * 3 + 100 * 2 + 150) * 0.25
    assert forecast.seconds_left(event["time"]) == pytest.approx(99 + after)
    assert forecast.seconds_left(event["time"] + 50) == pytest.approx(49 + after)
    assert forecast.seconds_left(event["time"] + 500) == pytest.approx(after)


def test_before_the_first_round_is_closed_the_training_at_work_is_forecast():
    board, now = Board(CONFIG, "title"), time.time()
    board.take({"event": "fine_tune", "iteration": 0, "train_rows": 100, "synthetic_rows": 0, "time": now - 30})
    assert "to go" not in board.expectation()
    board.take({"event": "training", "iteration": 0, "step": 1, "steps": 11, "seconds": 6.0, "time": now})
    assert ", this training: about 1:00 to go" in board.expectation()
    board.take({**predicting(0, now + 60)})
    assert "to go" not in board.expectation()


def test_the_speed_of_the_training_at_work_counts_and_not_the_last_ones():
    forecast = Forecast(CONFIG)
    for moment, seconds in ((0.0, 10.0), (500.0, 20.0)):
        forecast.take({"event": "fine_tune", "iteration": 0, "train_rows": 90, "synthetic_rows": 0, "time": moment})
        forecast.take({"event": "training", "step": 1, "steps": 9, "seconds": seconds, "time": moment + seconds})
    assert forecast.training_left(520.0) == pytest.approx(8 * 20.0)


def test_a_training_that_goes_on_from_a_checkpoint_is_forecast_by_its_own_steps():
    forecast = Forecast(CONFIG)
    forecast.take({"event": "fine_tune", "iteration": 0, "train_rows": 100, "synthetic_rows": 0, "time": 0.0})
    forecast.take({"event": "training", "step": 51, "steps": 100, "seconds": 2.0, "time": 30.0})
    assert forecast.training_left(30.0) == pytest.approx(49 * 2.0)
    forecast.take({"event": "training", "step": 41, "steps": 100, "seconds": 3.0, "time": 60.0})  # out of memory
    assert forecast.training_left(60.0) == pytest.approx(59 * 3.0)


def printed(capsys: pytest.CaptureFixture[str], *events: dict, past: tuple[dict, ...] = (), opening: str = "") -> list:
    with watching(Console(force_terminal=False, width=200), CONFIG, "title", list(past), opening) as watch:
        for event in events:
            watch({"iteration": 1, "time": time.time(), **event})
    return capsys.readouterr().out.splitlines()


def test_a_log_file_gets_one_line_an_event_and_says_every_half_minute_how_far_the_answers_are(capsys):
    start = time.time() + 1
    lines = printed(capsys, *(predicting(done, start + done) for done in range(101)))
    assert len(lines) == 4
    assert "iteration 0: answering train 90 of 100" in lines[-1]


def test_a_log_file_says_at_once_that_the_run_goes_on_and_what_it_does_first(capsys):
    assert printed(capsys, opening="Going on with [x]") == ["Going on with [x]", "    0:00  checking data and models …"]


def test_a_finished_run_goes_on_with_nothing(capsys):
    finished = {"event": "finalize", "best_iteration": 0, "stop_reason": "done", "time": 1.0}
    assert printed(capsys, past=(finished,), opening="Going on") == []


def test_a_log_file_says_what_was_spent_and_what_became_of_the_batches(capsys):
    books = dict.fromkeys(("accepted", "rejected", "failed", "duplicate", "contaminated"), 0)
    score = {"event": "score", "split": "validation", "n": 5, "accuracy": 0.5, "low": 0.4, "high": 0.6}
    spent = {"calls": 3, "tokens": 1500, "usd": 0.25}
    lines = printed(
        capsys,
        {**score, "iteration": 0},
        {"event": "strategy", "name": "a", **spent},
        {"event": "plan_batches", "batches": 1, "samples": 2},
        {"event": "batch", "batch": "b", "accepted": 2, "requested": 2},
        {"event": "collect_batches", **books, "requested": 2, "accepted": 2},
        score,
    )[1:]
    words = "3 teacher calls, 1,500 tokens, $0.2500"
    assert lines[0].endswith("iteration 0: validation accuracy 50.0% [40.0, 60.0]")  # nothing was spent yet
    assert lines[2].endswith(f"2 samples to be written in 1 batch ({words})")
    assert lines[4].endswith(f"(batches of round 1: 1 of 1 done, 1 accepted, 0 rejected, 0 sent back · {words})")
    assert lines[5].endswith(f"iteration 1: validation accuracy 50.0% [40.0, 60.0] ({words})")


def test_analyses_are_counted_over_the_round_and_not_by_call(capsys):
    call = {"event": "analyze_errors", "analysed": 10, "failures": 10}
    lines = printed(capsys, {"event": "select_errors", "failures": 40, "selected": 25}, call, {**call, "analysed": 9})
    assert [line.split("  ")[-1] for line in lines[2:]] == [
        "iteration 1: 10 of 25 failures analysed",
        "iteration 1: 19 of 25 failures analysed",
    ]


def test_batches_and_patterns_name_their_round_and_are_counted_for_each():
    board, console = Board(CONFIG, "title"), Console(width=120, record=True, file=io.StringIO())
    for iteration in (1, 2):  # of a method without pattern analysis: no errors are selected
        round_ = {"iteration": iteration, "time": 1.0}
        board.take({**round_, "event": "plan_batches", "batches": 1, "samples": 2})
        board.take({**round_, "event": "batch", "batch": f"t{iteration}-e-b0", "accepted": 2, "requested": 2})
        board.take({**round_, "event": "pattern", "name": f"pattern {iteration}", "size": 3})
    console.print(board)
    text = console.export_text()
    assert "batches of round 2: 1 of 1 done" in text
    assert "patterns of round 2: pattern 2 (3 failures)" in text and "pattern 1" not in text


def test_events_may_come_in_while_the_panel_is_drawn():
    """Another thread draws it: here the next event comes in as soon as one that is shown is looked at."""
    board, coming = Board(CONFIG, "title"), []

    def come_in() -> None:
        if coming:
            board.take(coming.pop())

    class Split(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other):
            come_in()
            return str.__eq__(self, other)

    class Batch(dict):
        def __getitem__(self, key):
            if key == "accepted":
                come_in()
            return super().__getitem__(key)

    def batch(name: str) -> dict:
        return Batch(event="batch", iteration=1, batch=name, accepted=2, requested=2, time=1.0)

    def score(iteration: int) -> dict:
        score = {"event": "score", "split": Split("validation"), "n": 5, "accuracy": 0.5, "low": 0.4, "high": 0.6}
        return {**score, "iteration": iteration, "time": 1.0}

    board.take(batch("a"))
    coming.append(batch("b"))
    assert board.batch_words().startswith("batches of round 0: 1 of 0 done, 1 accepted, 0 rejected")
    assert list(board.batches) == ["a", "b"]
    board.take(score(0))
    for reader in (board.expectation, lambda: board.lines("")):
        coming.append(score(len(board.scores)))
        reader()
    assert [iteration for iteration, _ in board.scores] == [0, 1, 2]


def test_hours_are_told_as_hours():
    assert [clock(seconds) for seconds in (0, 59.6, 3599, 3600, 43265)] == [
        "0:00",
        "1:00",
        "59:59",
        "1:00:00",
        "12:01:05",
    ]


def test_what_is_paid_for_is_said_when_a_run_goes_on(tmp_path):
    assert going_on(tmp_path) == f"Going on with {tmp_path}: 0 finished teacher calls in the journal."
    record_calls(tmp_path / "teacher_calls.sqlite", 1)
    assert going_on(tmp_path) == f"Going on with {tmp_path}: 1 finished teacher call in the journal."


def test_the_panel_says_the_iteration_once():
    console = Console(width=120, record=True, file=io.StringIO())
    board = Board(CONFIG, "title")
    for event in (
        {"event": "fine_tune", "iteration": 1, "train_rows": 9, "synthetic_rows": 5, "time": 0.0},
        {"event": "cluster_analyses", "iteration": 1, "k": 1, "method": "single", "time": 0.0},
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
        "n": 4,
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
    qc = {"event": "quality_control", "iteration": 1, "attempt": 0, "score": 3.0, "passed": False, "time": 0.0}
    board.take({**qc, "batch": "a", "attempts_left": 2})
    board.take({**qc, "batch": "b", "attempts_left": 0})
    assert board.regenerated == {"a"}
    assert describe({**qc, "batch": "b", "score": None}).endswith("attempt 1: not judged, below the threshold")


def test_what_the_teacher_has_cost_is_shown_and_an_unknown_price_is_not_nothing():
    board = Board(CONFIG, "title")
    assert spent_words(board.spent) == ""
    event = {"event": "pattern", "iteration": 1, "name": "a", "size": 1, "calls": 3, "tokens": 1500, "time": 0.0}
    board.take({**event, "usd": 0.0123})
    assert spent_words(board.spent) == "3 teacher calls, 1,500 tokens, $0.0123"
    board.take({**event, "usd": None})
    assert spent_words(board.spent) == "3 teacher calls, 1,500 tokens, cost unknown"
