"""The state of a run as far as its events tell it, and its panel."""

import time
from typing import Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from pada_graph import methods
from pada_graph.accounting import identity
from pada_graph.config import RunConfig
from pada_graph.live.forecast import Forecast
from pada_graph.live.words import clock, counted, describe, score_table, spent_words
from pada_graph.stages import STAGES, stage_seconds

Event = dict[str, Any]


class Board:
    """The state of a run; rich renders it afresh twice a second.

    It does so in a thread of its own while events come in, so what grows is copied before it is gone through.
    """

    def __init__(self, config: RunConfig, title: str, past: list[Event] | None = None):
        """Begin with the events of a run's earlier sessions, if it has any."""
        self.config, self.title = config, title
        self.now: Event = {"event": "start"}  # of ours: before the first one
        self.scores: dict[tuple[int | None, str], Event] = {}
        self.batches: dict[str, Event] = {}
        self.round = self.planned = self.selected = self.analysed = 0  # of that round: batches, failures
        self.regenerated: set[str] = set()
        self.spent: Event = {}
        self.found: list[str] = []
        self.closed: dict[int, str] = {}  # the books of each finished round
        self.forecast = Forecast(config)
        for event in past or []:
            self.take(event)
        self.before = sum(stage_seconds(past, past[-1]["time"]).values()) if past else 0.0  # seconds of those sessions
        self.started = self.printed = time.time()  # printed: when the last line was

    def take(self, event: Event) -> None:
        """Take one progress event in."""
        self.forecast.take(event)
        if event["event"] == "session":
            return
        self.now = event
        if "calls" in event:
            self.spent = {"calls": event["calls"], "tokens": event["tokens"], "usd": event.get("usd")}
        match event["event"]:
            case "score":
                self.scores[event["iteration"], event["split"]] = event
            case "select_errors":
                self._begin_round(event["iteration"])
                self.selected = event["selected"]
            case "analyze_errors":  # a resumed round may tell some again
                self.analysed = min(self.selected, self.analysed + event["analysed"])
            case "pattern":
                name = f"{event['name']} ({counted(event['size'], 'failure')})"
                self.found += [name] * (name not in self.found)  # a resumed round tells it again
            case "plan_batches":
                if event["iteration"] != self.round:  # a method without pattern analysis
                    self._begin_round(event["iteration"])
                self.planned = event["batches"]
            case "quality_control" if not event["passed"] and event["attempts_left"]:
                self.regenerated.add(event["batch"])
            case "collect_batches":
                self.closed[event["iteration"]] = f"round {event['iteration']}: {identity(event)}"
            case "batch":
                self.batches[event["batch"]] = event

    def _begin_round(self, iteration: int) -> None:
        self.round, self.planned, self.selected, self.analysed = iteration, 0, 0, 0
        self.found, self.batches, self.regenerated = [], {}, set()

    def elapsed(self) -> float:
        """Seconds that this session and those before it took."""
        return self.before + time.time() - self.started

    def where(self) -> str:
        """The place in the outer loop, and the stage."""
        if self.now["event"] == "finalize":
            return "done"
        iteration = self.now.get("iteration", 0)
        stage = "set-up" if self.now["event"] == "start" else STAGES.get(self.now["event"], "closing")
        if iteration is None:
            return f"untuned model · {stage}"
        if iteration == 0:
            return f"vanilla fine-tuning, before {counted(methods.rounds(self.config), 'round')} · {stage}"
        return f"round {iteration} of {methods.rounds(self.config)} · {stage}"

    def expectation(self) -> str:
        """Elapsed and expected time in words: of the whole run, or while nobody knows that, of the training."""
        now = time.time()
        elapsed = f"elapsed {clock(self.elapsed())}"
        if (left := self.forecast.seconds_left(now)) is not None:
            return f"{elapsed}, about {clock(left)} to go"
        if (left := self.forecast.training_left(now)) is not None:
            return f"{elapsed}, this training: about {clock(left)} to go"
        return elapsed

    def happening(self) -> str:
        """The newest event in words; analyses are counted over the round."""
        if self.now["event"] == "analyze_errors":
            return f"iteration {self.round}: {self.analysed} of {counted(self.selected, 'failure')} analysed"
        return describe(self.now)

    def batch_words(self) -> str:
        """How many of the round's batches are closed, and how."""
        batches = list(self.batches.values())
        accepted = sum(1 for batch in batches if batch["accepted"])
        return (
            f"batches of round {self.round}: {len(batches)} of {self.planned} done, {accepted} accepted, "
            f"{len(batches) - accepted} rejected, {len(self.regenerated)} sent back"
        )

    def lines(self, time_words: str) -> list[RenderableType]:
        """What the panel holds, the most important first: a small terminal cuts it off below."""
        lines: list[RenderableType] = [
            Text(self.where(), style="bold"),
            Text(self.happening()),
            Text(" · ".join(filter(None, (spent_words(self.spent), time_words))), style="dim"),
        ]
        if self.planned:
            lines.append(Text(self.batch_words()))
        if self.scores:
            lines.append(score_table(dict(self.scores)))
        if self.found:
            lines.append(Text(f"patterns of round {self.round}: " + " · ".join(self.found)))
        lines += [Text(books) for _, books in sorted(dict(self.closed).items())]
        return lines

    def __rich__(self) -> RenderableType:
        return Panel(Group(*self.lines(self.expectation())), title=self.title, title_align="left")
