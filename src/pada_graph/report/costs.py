"""Calls, tokens, dollars and time by stage, from the journal and the events of a run, finished or not."""

import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from pada_graph import databases
from pada_graph.config_file import parse_config
from pada_graph.errors import InputError
from pada_graph.rundir import RunDir
from pada_graph.stages import stage_seconds
from pada_graph.teacher.prices import Price, prices, total

# Of a teacher call's item "t1/STEP/...": the stage it belongs to. Generation and its checks run side by side.
_STEPS = {
    "grade": "prediction",
    "analyze_errors": "pattern analysis",
    "categorize_pattern": "pattern analysis",
    "draft_strategy": "pattern analysis",
    "generate": "generation and quality control",
    "verify_answers": "generation and quality control",
    "quality_control": "generation and quality control",
}
_SUMS = """
SELECT role, item, COUNT(*), SUM(input_tokens), SUM(output_tokens) FROM calls WHERE status = 'finished'
GROUP BY role, item
"""


def by_stage(run: RunDir, config: Mapping[str, Any], seconds: Mapping[str, float]) -> list[dict[str, Any]]:
    """A line per stage, in the order in which the stages first came; `usd` None is unknown.

    Without a journal that can be read there are only the seconds: `calls` is None.

    Args:
        run: the run.
        config: its configuration.
        seconds: of each stage.
    """
    uses = _uses(run, config, lambda role, item: _stage(item))
    if uses is None:
        return [{"stage": stage, "seconds": spent, "calls": None} for stage, spent in seconds.items()]
    stages = dict.fromkeys([*seconds, *uses])
    return [{"stage": stage, "seconds": seconds.get(stage), **uses.get(stage, _nothing())} for stage in stages]


def by_role(run: RunDir, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What metrics.json holds of a finished run under "teacher": calls, tokens and dollars of each role so far."""
    return _uses(run, config, lambda role, item: role) or {}


def seconds_so_far(run: RunDir) -> dict[str, float]:
    """Seconds per stage up to the last event."""
    events = run.read_log("events.jsonl")
    return stage_seconds(events, events[-1]["time"]) if events else {}


def _stage(item: str) -> str:
    step = item.split("/")[1] if item.count("/") > 1 else ""
    return _STEPS.get(step, "other")


def _uses(run: RunDir, config: Mapping[str, Any], key: Callable[[str, str], str]) -> dict[str, dict[str, Any]] | None:
    """Calls, tokens and dollars of the finished calls, added up by `key` of role and item; None: nobody knows them."""
    found = _calls(run)
    if found is None:
        return None
    price = _prices(config)
    uses: dict[str, dict[str, Any]] = {}
    for role, item, calls, sent, received in found:
        use = uses.setdefault(key(role, item), _nothing())
        known = price.get(role)
        use["calls"] += calls
        use["input_tokens"] += sent
        use["output_tokens"] += received
        use["usd"] = total([use["usd"], known.usd(sent, received) if known else None])
    return uses


def _nothing() -> dict[str, Any]:
    return {"calls": 0, "input_tokens": 0, "output_tokens": 0, "usd": 0.0}


def _calls(run: RunDir) -> list[tuple[str, str, int, int, int]] | None:
    """(role, item, calls, input tokens, output tokens) of finished calls; None while the journal cannot be read."""
    path = run.path("teacher_calls.sqlite")
    if not path.exists():
        return None
    try:
        with databases.read_only(path) as connection:
            return list(connection.execute(_SUMS))
    except sqlite3.Error:  # a run that goes on may be writing it; `run` and `doctor` judge a damaged one
        return None


def _prices(config: Mapping[str, Any]) -> Mapping[str, Price | None]:
    """Prices of the roles' models; none where the user's own price list is not to be had any more."""
    try:
        settings = parse_config(dict(config), "resolved_config.json")
        return dict[str, Price | None](prices(settings.models, settings.limits).items())
    except InputError:
        return {}
