"""What `pada-graph run` shows while it works: a panel in a terminal, a line an event elsewhere, or JSON."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from pada_graph.config import RunConfig
from pada_graph.heads import read_heads
from pada_graph.live.board import Board
from pada_graph.live.words import clock, counted, spent_words
from pada_graph.services import Progress

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
        opening: Said at once, unless the run is finished.
    """
    now = time.time()
    board = Board(config, title, [*past, {"event": "session", "time": now}])
    finished = bool(past) and past[-1]["event"] == "finalize"
    if opening and not finished:
        console.print(opening, markup=False, highlight=False, soft_wrap=True)
    if console.is_terminal:
        with Live(board, console=console, refresh_per_second=2):
            yield board.take
    else:
        if not finished:
            _print_line(console, board, {"event": "start", "time": now})
        yield lambda event: _print_line(console, board, event)


def write_json(event: Event) -> None:
    """Write one event as a line of JSON to standard output, at once."""
    print(json.dumps(event, ensure_ascii=False), flush=True)  # noqa: T201


def going_on(directory: Path) -> str:
    """What a run that goes on has already paid for, in words."""
    calls = read_heads(directory).get("finished_calls", {}).get("teacher_calls.sqlite", 0)
    return f"Going on with {directory}: {counted(calls, 'finished teacher call')} in the journal."


def _print_line(console: Console, board: Board, event: Event) -> None:
    """Print an event, unless it is one of many; with what is expected, has been spent, or became of the batches."""
    board.take(event)
    added = ""
    match event["event"]:
        case "training":
            if not _tenth(event["step"], event["steps"]):
                return
            added = board.expectation()
        case "predicting":
            if event["time"] - board.printed < SELDOM:
                return
        case "score" | "plan_batches":
            added = spent_words(board.spent)
        case "collect_batches":
            added = " · ".join(filter(None, (board.batch_words(), spent_words(board.spent))))
    board.printed = event["time"]
    line = f"{clock(board.elapsed()):>8}  {board.happening()}" + (f" ({added})" if added else "")
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def _tenth(done: int, total: int) -> bool:
    """Whether this step completes another tenth of the whole."""
    return done > 0 and 10 * done // total > 10 * (done - 1) // total
