"""What one student has right that another has wrong: counts for every step, and the items themselves."""

from itertools import pairwise
from typing import Any

from pada_graph.report.texts import spread
from pada_graph.rundir import RunDir
from pada_graph.state import Prediction


def flips(run: RunDir, best: int | None, limit: int = 12) -> list[dict[str, Any]]:
    """Items fixed and broken, by pair of models and split; `limit` of each are shown, evenly spaced.

    The pairs are each model and the one before it on validation, and on test the untuned model, iteration 0 and the
    chosen iteration `best`.
    """
    models = [None, *run.iterations()]
    pairs = [("validation", *pair) for pair in pairwise(models)]
    pairs += [("test", None, 0), *([("test", 0, best)] if best else [])]
    return [found for split, before, after in pairs if (found := _flips(run, split, before, after, limit))]


def _flips(run: RunDir, split: str, before: int | None, after: int | None, limit: int) -> dict[str, Any] | None:
    old, new = (_predictions(run, split, iteration) for iteration in (before, after))
    both = [{"before": old[id_], "after": new[id_]} for id_ in old if id_ in new]
    if not both:
        return None
    fixed = [pair for pair in both if pair["after"]["correct"] and not pair["before"]["correct"]]
    broken = [pair for pair in both if pair["before"]["correct"] and not pair["after"]["correct"]]
    right = sum(pair["before"]["correct"] and pair["after"]["correct"] for pair in both)
    return {
        "split": split,
        "before": before,
        "after": after,
        "n": len(both),
        "fixed": len(fixed),
        "broken": len(broken),
        "right": right,
        "wrong": len(both) - right - len(fixed) - len(broken),
        "groups": [
            ("Fixed", len(fixed), spread(fixed, limit)),
            ("Broken", len(broken), spread(broken, limit)),
        ],
    }


def _predictions(run: RunDir, split: str, iteration: int | None) -> dict[str, Prediction]:
    return {row["id"]: row for row in run.rows_so_far(f"{run.iteration(iteration)}/predictions_{split}.jsonl")}
