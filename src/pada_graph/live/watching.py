"""What `pada-graph run` shows while it works: a panel in a terminal, a line an event elsewhere, or JSON."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from pada_graph.config import RunConfig
from pada_graph.heads import read_heads
from pada_graph.live.board import Board
from pada_graph.live.words import clock, counted, describe
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
        opening: Said before the first event; not at all where none comes.
    """
    board = Board(config, title, past)
    show = board.take if console.is_terminal else lambda event: _print_line(console, board, event)

    def watch(event: Event) -> None:
        nonlocal opening
        if opening:
            console.print(opening, markup=False, highlight=False, soft_wrap=True)
            opening = ""
        show(event)

    with Live(board, console=console, refresh_per_second=2) if console.is_terminal else nullcontext():
        yield watch


def write_json(event: Event) -> None:
    """Write one event as a line of JSON to standard output, at once."""
    print(json.dumps(event, ensure_ascii=False), flush=True)  # noqa: T201


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
