"""`pada-graph status`: where a run stands, from its directory alone. Takes no lock and writes nothing."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console, Group
from rich.panel import Panel

from pada_graph.config import RunConfig
from pada_graph.config_file import parse_config
from pada_graph.errors import InputError
from pada_graph.live.board import Board
from pada_graph.live.words import clock
from pada_graph.lock import in_use
from pada_graph.rundir import RunDir
from pada_graph.stages import stage_seconds

State = Literal["finished", "at work", "stopped"]


@dataclass(frozen=True)
class Status:
    """One look at a run directory."""

    run_dir: Path
    state: State
    config: RunConfig
    board: Board
    seconds: float  # of all sessions, without the pauses between them; of a finished run as in metrics.json
    since: float  # seconds since the last event

    def as_json(self) -> dict[str, Any]:
        """The same for programs; the keys are described in docs/watch.md."""
        board = self.board
        left = board.forecast.seconds_left(time.time()) if self.state == "at work" else None
        return {
            "run_dir": str(self.run_dir),
            "state": self.state,
            "task": self.config.task_name,
            "method": self.config.method,
            "seed": self.config.seed,
            "where": board.where(),
            "last_event": board.now,
            "scores": list(board.scores.values()),
            "batches": {
                "planned": board.planned,
                "closed": len(board.batches),
                "accepted": sum(1 for batch in board.batches.values() if batch["accepted"]),
                "sent_back": len(board.regenerated),
            },
            "spent": board.spent or None,
            "seconds": round(self.seconds, 1),
            "seconds_left": None if left is None else round(left, 1),
        }


def read_status(run_dir: Path) -> Status:
    """Look at a run.

    Raises:
        InputError: the folder is no run directory.
    """
    run = RunDir(run_dir)
    if not run.path("resolved_config.json").exists():
        raise InputError(
            f"{run_dir}: not a run directory (it holds no resolved_config.json). Name the --run-dir of a run."
        )
    config = parse_config(run.read_json("resolved_config.json"), str(run.path("resolved_config.json")))
    events = [event for event in run.read_log("events.jsonl") if isinstance(event, dict) and "event" in event]
    state: State = "finished" if run.path("metrics.json").exists() else "at work" if in_use(run_dir) else "stopped"
    now = time.time()
    last = events[-1]["time"] if events else now
    if state == "finished":
        seconds = sum(run.read_json("metrics.json")["seconds"].values())
    else:
        seconds = sum(stage_seconds(events, now if state == "at work" else last).values())
    return Status(run_dir, state, config, Board(config, str(run_dir), events), seconds, max(0.0, now - last))


def print_status(status: Status, console: Console) -> None:
    """Print the panel of `pada-graph run` as it would be now, and what state the run is in."""
    board = status.board
    board.before, board.started = status.seconds, time.time()
    config = status.config
    title = f"{config.method} on {config.task_name} · {status.run_dir}"
    time_words = board.expectation() if status.state == "at work" else f"took {clock(status.seconds)}"
    console.print(Panel(Group(*board.lines(time_words)), title=title, title_align="left"))
    if status.state == "finished":
        words = f"Finished. `pada-graph report {status.run_dir}` writes its report anew."
    elif status.state == "at work":
        words = f"A process is at work on it; its last event was {clock(status.since)} ago."
    else:
        words = (
            "No process is at work on it. Everything finished is kept; `pada-graph run` with the same configuration "
        )
        words += f"and --run-dir {status.run_dir} goes on from here."
    console.print(words, markup=False, soft_wrap=True, highlight=False)
