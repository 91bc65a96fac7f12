"""What a reader of a comparison is told beside its figures; printed and on the page in the same words."""

from pada_graph.compare.tables import Comparison
from pada_graph.stats.seeds import FEWEST

BASELINE_RULE = (
    "The first run of each task is the baseline. A run of another configuration is set against the baseline's run of "
    "the same seed, or against the first where there is none; runs of the baseline's own configuration are not set "
    "against each other."
)
VERDICT_RULE = (
    "A verdict needs both: no 0 in the interval, and p, adjusted by Holm for all comparisons of its kind, below 0.05."
)
NOT_TESTED = f"not tested: fewer than {FEWEST} seeds"  # in place of a verdict over seeds


def several_students(comparison: Comparison) -> list[str]:
    """Of each task whose runs did not fine-tune the same model: a difference there is not one of methods alone."""
    students: dict[str, set[str]] = {}
    for info in comparison["runs"]:
        students.setdefault(info["task"], set()).add(info["student"])
    return [
        f"The runs of {task} fine-tuned different students: a difference is theirs too."
        for task, found in students.items()
        if len(found) > 1
    ]


def few_seeds(comparison: Comparison) -> str:
    """Which runs' configurations were trained with fewer than FEWEST seeds; empty if none was."""
    often = {run for group in comparison["seeds"] if len(group["seeds"]) >= FEWEST for run in group["runs"]}
    seldom = [str(info["run"]) for info in comparison["runs"] if info["run"] not in often]
    if not seldom:
        return ""
    return (
        f"Runs with fewer than {FEWEST} training seeds: {', '.join(seldom)}. Their intervals hold the noise of the "
        "test items and none of training; another seed may change these results."
    )
