"""What `pada-graph run` shows while it works: one panel in a terminal, one line an event elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from pada_graph import methods
from pada_graph.accounting import identity
from pada_graph.config import RunConfig
from pada_graph.heads import read_heads
from pada_graph.services import Progress
from pada_graph.teacher.prices import dollars

Event = dict[str, Any]
SELDOM = 30.0  # seconds between two lines that say how far the answers are


@contextmanager
def watching(
    console: Console, config: RunConfig, title: str, past: list[Event], opening: str = ""
) -> Iterator[Progress]:
    """Give a function that takes progress events and shows them.

    Args:
        console: Where they are shown.
        config: The run's.
        title: Of the panel.
        past: A resumed run's earlier events.
        opening: Said before the first event; not at all where none comes.
    """
    board = Board(config, title)
    for event in past:
        if event["event"] == "score":
            board.scores[event["iteration"], event["split"]] = event
    show = board.take if console.is_terminal else lambda event: _print_line(console, board, event)

    def watch(event: Event) -> None:
        nonlocal opening
        if opening:
            console.print(opening, markup=False, highlight=False, soft_wrap=True)
            opening = ""
        show(event)

    with Live(board, console=console, refresh_per_second=2) if console.is_terminal else nullcontext():
        yield watch


def going_on(directory: Path) -> str:
    """What a run that goes on has already paid for, in words."""
    calls = read_heads(directory).get("finished_calls", {}).get("teacher_calls.sqlite", 0)
    return f"Going on with {directory}: {counted(calls, 'finished teacher call')} in the journal."


def _print_line(console: Console, board: "Board", event: Event) -> None:
    board.take(event)
    line = f"{clock(board.elapsed()):>8}  {describe(event)}"
    if event["event"] == "training":
        if not _tenth(event["step"], event["steps"]):
            return
        line += f" ({board.expectation()})"
    elif event["event"] == "predicting" and event["time"] - board.printed < SELDOM:
        return
    board.printed = event["time"]
    console.print(line, highlight=False, soft_wrap=True)


def _tenth(done: int, total: int) -> bool:
    """Whether this step completes another tenth of the whole."""
    return done > 0 and 10 * done // total > 10 * (done - 1) // total


class Board:
    """The state of the display; rich renders it afresh twice a second."""

    def __init__(self, config: RunConfig, title: str):
        self.config, self.title = config, title
        self.started = time.time()
        self.now: Event = {"event": "start"}
        self.printed = self.started  # when the last line was printed
        self.scores: dict[tuple[int | None, str], Event] = {}
        self.batches: dict[str, Event] = {}
        self.planned = 0
        self.regenerated: set[str] = set()
        self.spent: Event = {}
        self.found: list[str] = []
        self.closed: list[str] = []  # the books of each finished round
        self.forecast = Forecast(config)

    def take(self, event: Event) -> None:
        """Take one progress event in."""
        self.now = event
        self.forecast.take(event)
        if "calls" in event:
            self.spent = {"calls": event["calls"], "tokens": event["tokens"], "usd": event.get("usd")}
        match event["event"]:
            case "score":
                self.scores[event["iteration"], event["split"]] = event
            case "select_errors":
                self.found, self.batches, self.planned, self.regenerated = [], {}, 0, set()
            case "pattern":
                self.found.append(f"{event['name']} ({counted(event['size'], 'failure')})")
            case "plan_batches":
                self.planned = event["batches"]
            case "quality_control" if not event["passed"] and event["attempts_left"]:
                self.regenerated.add(event["batch"])
            case "collect_batches":
                self.closed.append(f"round {event['iteration']}: {identity(event)}")
            case "batch":
                self.batches[event["batch"]] = event

    def elapsed(self) -> float:
        """Seconds since the display began."""
        return time.time() - self.started

    def expectation(self) -> str:
        """Elapsed and expected time in words."""
        left = self.forecast.seconds_left(self.now)
        return f"elapsed {clock(self.elapsed())}" + (f", about {clock(left)} to go" if left is not None else "")

    def __rich__(self) -> RenderableType:
        lines: list[RenderableType] = [Text(describe(self.now), style="bold")]
        if self.scores:
            lines.append(score_table(self.scores))
        if self.found:
            lines.append(Text("patterns: " + " · ".join(self.found)))
        if self.planned:
            accepted = sum(1 for b in self.batches.values() if b["accepted"])
            lines.append(
                Text(
                    f"batches: {len(self.batches)} of {self.planned} done, {accepted} accepted, "
                    f"{len(self.batches) - accepted} rejected, {len(self.regenerated)} sent back with feedback"
                )
            )
        lines += [Text(books) for books in self.closed]
        lines.append(Text(spent_words(self.spent) + self.expectation(), style="dim"))
        return Panel(Group(*lines), title=self.title, title_align="left")


def spent_words(spent: Event) -> str:
    """What the teacher has cost so far; empty before its first call."""
    if not spent:
        return ""
    cost = "cost unknown" if spent["usd"] is None else dollars(spent["usd"])
    return f"{counted(spent['calls'], 'teacher call')}, {spent['tokens']:,} tokens, {cost} · "


class Forecast:
    """Expected time: measured seconds per trained row, per answer and per round, times what is left of each."""

    def __init__(self, config: RunConfig):
        self.config = config
        self.row = self.answer = self.round = 0.0
        self.began: dict[str, float] = {}
        self.answering: dict[tuple[int | None, str], tuple[float, int]] = {}  # first event of each: time, answers
        self.tested: dict[int | None, int] = {}  # test answers of each model
        self.fitted = self.iteration = 0  # rows and number of the newest training

    def take(self, event: Event) -> None:
        """Measure from one event."""
        match event:
            case {"event": "fine_tune", "train_rows": rows, "synthetic_rows": synthetic, "time": moment}:
                self.fitted, self.began["training"], self.iteration = rows + synthetic, moment, event["iteration"]
            case {"event": "training", "step": step, "steps": steps, "time": moment} if step == steps:
                self.row = (moment - self.began["training"]) / self.fitted
            case {"event": "predicting", "iteration": iteration, "split": split, "done": done, "time": moment}:
                first_moment, first_done = self.answering.setdefault((iteration, split), (moment, done))
                if done > first_done:
                    self.answer = (moment - first_moment) / (done - first_done)
                if split == "test":
                    self.tested[iteration] = done
            case {"event": "select_errors", "time": moment}:
                self.began["round"] = moment
            case {"event": "collect_batches", "time": moment}:
                self.round = moment - self.began.get("round", moment)

    def seconds_left(self, now: Event) -> float | None:
        """Seconds to the end of the run; None until each stage that is to come was measured, and after the end."""
        config, iteration = self.config, self.iteration
        data, rounds = config.data, methods.rounds(config)
        train_size = data.train_size * ("train" in methods.get_method(config.method).learns_from(config))
        unmeasured = not self.row or not self.answer or (iteration < rounds and not self.round)
        if unmeasured or now["event"] == "finalize":
            return None
        grown = config.generation.ratio * data.train_size
        training = sum(data.train_size + grown * t for t in range(iteration + 1, rounds + 1))
        answers = (rounds - iteration) * data.validation_size + max(0, rounds - 1 - iteration) * train_size
        answers += max(0, data.test_size * (3 if rounds else 2) - sum(self.tested.values()))
        if now["event"] == "training":
            training += self.fitted * (1 - now["step"] / now["steps"])
            answers += data.validation_size + train_size * (iteration < rounds)
        return training * self.row + answers * self.answer + max(0, rounds - iteration) * self.round


def describe(event: Event) -> str:
    """One event in words."""
    name = "untuned" if event.get("iteration", 0) is None else f"iteration {event.get('iteration', 0)}"
    match event:
        case {"event": "initialize", "task": task, "method": method}:
            return f"task {task}, method {method}: data checked and written"
        case {"event": "fine_tune", "train_rows": rows, "synthetic_rows": synthetic}:
            return f"{name}: fine-tuning on {rows} train rows and {synthetic} synthetic ones"
        case {"event": "training", "step": step, "steps": steps}:
            loss = f", loss {event['loss']:.3f}" if event.get("loss") is not None else ""
            return f"{name}: training step {step} of {steps}{loss}"
        case {"event": "predicting", "split": split, "done": done, "total": total}:
            return f"{name}: answering {split} {done} of {total}"
        case {"event": "score", "split": split}:
            return f"{name}: {split} accuracy {score_text(event)}"
        case {"event": "select_errors", "failures": failures, "selected": selected}:
            return f"{name}: analysing {selected} of {failures} validation failures"
        case {"event": "analyze_errors", "analysed": analysed, "failures": failures}:
            return f"{name}: {analysed} of {failures} failures of a batch analysed"
        case {"event": "cluster_analyses", "k": k, "method": method}:
            return f"{name}: {counted(k, 'cluster')} of failures" + f" ({method})" * bool(k > 1)
        case {"event": "pattern", "name": pattern, "size": size}:
            return f"{name}: pattern «{pattern}», {counted(size, 'failure')}"
        case {"event": "strategy", "name": strategy}:
            return f"{name}: strategy «{strategy}»"
        case {"event": "plan_batches", "batches": batches, "samples": samples}:
            words = counted(batches, "batch", "batches")
            return f"{name}: {counted(samples, 'sample')} to be written in {words}"
        case {"event": "quality_control", "batch": batch, "attempt": attempt, "score": score, "passed": passed}:
            verdict = "passed" if passed else "below the threshold"
            if passed and event.get("again"):
                verdict += f", {event['again']} missing"
            rating = "not judged" if score is None else f"{score:.1f} of 10"
            return f"{name}: batch {batch}, attempt {attempt + 1}: {rating}, {verdict}"
        case {"event": "batch", "batch": batch, "accepted": accepted, "requested": requested}:
            return f"{name}: batch {batch} closed, {accepted} of {requested} samples accepted"
        case {"event": "collect_batches"}:
            return f"{name}: {identity(event)}"
        case {"event": "finalize", "best_iteration": best, "stop_reason": reason}:
            return f"iteration {best} is best on validation; {reason}"
    return str(event["event"])


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number and what it counts: "1 cluster", "2 clusters"."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def score_table(scores: dict[tuple[int | None, str], Event]) -> Table:
    """Accuracy of the untuned model and of every iteration so far, on the splits that were scored."""
    splits = [split for split in ("train", "validation", "test") if any(key[1] == split for key in scores)]
    table = Table("model", *splits, box=None, pad_edge=False)
    for iteration in sorted({key[0] for key in scores}, key=lambda i: -1 if i is None else i):
        name = "untuned" if iteration is None else f"iteration {iteration}"
        cells = (scores.get((iteration, split)) for split in splits)
        table.add_row(name, *(score_text(cell) if cell else "" for cell in cells))
    return table


def score_text(score: Event) -> str:
    """An accuracy with its 95 % interval, in percent."""
    return f"{score['accuracy']:.1%} [{score['low']:.1%}, {score['high']:.1%}]".replace("%,", ",").replace("%]", "]")


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
