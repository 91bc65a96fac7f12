"""What a tracker is told of a progress event: numbers by name, at a step. docs/watch.md lists them."""

import re
from typing import Any, NamedTuple

COUNTED = ("requested", "accepted", "rejected", "failed", "duplicate", "contaminated")
TRAINING = ("loss", "learning_rate", "grad_norm")
SCORED = ("accuracy", "low", "high", "unparsed", "truncated")


class Point(NamedTuple):
    """One number, at a step of its own axis."""

    name: str
    value: float
    step: int


def points(event: dict[str, Any]) -> list[Point]:
    """The numbers of an event (docs/events.md).

    The step of training is the optimiser's, within its iteration; of scores and samples, the iteration; of what the
    teachers have used, the number of calls.
    """
    found = _spent(event)
    iteration = event.get("iteration")
    kind = event["event"]
    if kind == "training":
        found += _named(f"iteration_{iteration}", event, TRAINING, event["step"])
    elif kind == "score":
        model = "untuned" if iteration is None else "student"
        group = f"{model}/{event['split']}"
        found += _named(group, event, SCORED, iteration or 0)
        found += _named(f"{group}/measures", event["measures"], tuple(event["measures"]), iteration or 0)
    elif kind == "fine_tune":
        found += _named("rows", event, ("train_rows", "synthetic_rows"), iteration or 0)
    elif kind == "collect_batches":
        found += _named("samples", event, COUNTED, iteration or 0)
    elif kind == "finalize":
        found += _named("chosen", event, ("best_iteration",), 0)
    return found


def _named(group: str, event: dict[str, Any], keys: tuple[str, ...], step: int) -> list[Point]:
    return [Point(f"{group}/{_plain(key)}", float(event[key]), step) for key in keys if event.get(key) is not None]


def _plain(name: str) -> str:
    """A name that MLflow takes: those of measures are the task's own."""
    return re.sub(r"[^\w-]", "_", name)


def _spent(event: dict[str, Any]) -> list[Point]:
    return _named("teacher", event, ("tokens", "usd"), event["calls"]) if "calls" in event else []
