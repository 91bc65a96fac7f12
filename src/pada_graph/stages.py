"""The stages of a run, and how long each took, from its events."""

from collections import Counter
from itertools import pairwise
from typing import Any

STAGES = {  # of an event
    "initialize": "set-up",
    "fine_tune": "fine-tuning",
    "training": "fine-tuning",
    "predicting": "prediction",
    "score": "prediction",
    "select_errors": "pattern analysis",
    "analyze_errors": "pattern analysis",
    "cluster_analyses": "pattern analysis",
    "pattern": "pattern analysis",
    "strategy": "pattern analysis",
    "plan_batches": "generation and quality control",
    "quality_control": "generation and quality control",
    "batch": "generation and quality control",
    "collect_batches": "generation and quality control",
}


def stage_seconds(events: list[dict[str, Any]], now: float) -> dict[str, float]:
    """Seconds per stage: the time up to each event belongs to that event's stage. Pauses between sessions do not.

    What comes after the last event, until `now`, is closing.
    """
    seconds: Counter[str] = Counter()
    closing = [{"event": "end", "time": now}] if events and now > events[-1]["time"] else []
    for before, after in pairwise([*events, *closing]):
        if after["event"] != "session":
            seconds[STAGES.get(after["event"], "closing")] += max(0.0, after["time"] - before["time"])
    return {stage: round(value, 1) for stage, value in seconds.items()}
