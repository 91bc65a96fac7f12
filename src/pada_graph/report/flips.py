"""What one student has right that another has wrong: counts for every step, and the items themselves."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from pada_graph.report.models import model_name
from pada_graph.report.texts import spread
from pada_graph.rundir import RunDir
from pada_graph.state import Prediction


def flips(run: RunDir, best: int | None) -> list[dict[str, Any]]:
    """Items fixed and broken, by pair of models and split, where both have answered.

    The pairs are each model and the one before it on validation, and on test the untuned model, iteration 0 and the
    chosen iteration `best`.
    """
    pairs = [("validation", *pair) for pair in pairwise([None, *run.iterations()])]
    pairs += [("test", None, 0), *([("test", 0, best)] if best else [])]
    found = []
    for split, before, after in pairs:
        old, new = (
            run.rows_so_far(f"{run.iteration(iteration)}/predictions_{split}.jsonl") for iteration in (before, after)
        )
        if old and new:
            found.append({"split": split, **step(model_name(before), old, model_name(after).lower(), new)})
    return found


def step(
    before: str, old: Sequence[Prediction], after: str, new: Sequence[Prediction], limit: int = 12
) -> dict[str, Any]:
    """What changes from one model to another on the items of both; `limit` items of each kind, evenly spaced.

    Args:
        before: name of the first model.
        old: its predictions.
        after: name of the second one.
        new: its predictions.
        limit: items shown of the fixed, and of the broken ones.
    """
    later = {row["id"]: row for row in new}
    both = [{"before": row, "after": later[row["id"]]} for row in old if row["id"] in later]
    fixed = [pair for pair in both if pair["after"]["correct"] and not pair["before"]["correct"]]
    broken = [pair for pair in both if pair["before"]["correct"] and not pair["after"]["correct"]]
    right = sum(pair["before"]["correct"] and pair["after"]["correct"] for pair in both)
    return {
        "before": before,
        "after": after,
        "n": len(both),
        "fixed": len(fixed),
        "broken": len(broken),
        "right": right,
        "wrong": len(both) - right - len(fixed) - len(broken),
        "groups": [("Fixed", len(fixed), spread(fixed, limit)), ("Broken", len(broken), spread(broken, limit))],
    }
