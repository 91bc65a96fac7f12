"""Means over the tasks of a setting, and the paper's "Averaged" beside them."""

from collections.abc import Mapping, Sequence
from itertools import product
from statistics import mean

from typing_extensions import TypedDict

from pada_graph.reproduce import paper
from pada_graph.reproduce.grid import Grid

UNTUNED = "untuned"  # a row of every table: fine-tuning can hurt, and a gain may be recovery


class Average(TypedDict):
    """A variant over the tasks of a setting but HumanEval. None: a task is missing."""

    size: int
    variant: str
    accuracy: float | None
    points: float | None  # mean difference from vanilla
    averaged: float | None  # the paper's "Averaged", in percent; None where vanilla is at 0 somewhere
    paper_accuracy: float | None
    paper_points: float | None
    paper_averaged: float | None  # as printed


def averages(grid: Grid, accuracies: Mapping[tuple[str, int, str], float], tasks: Sequence[str]) -> list[Average]:
    """Means over `tasks`, for table 1 alone: the paper averages no ablations.

    Args:
        grid: The table's settings and variants.
        accuracies: Task, size, variant -> accuracy, as a fraction.
        tasks: Those that are averaged.
    """
    if grid.table == "table2" or "vanilla" not in grid.variants or not tasks:
        return []
    found: list[Average] = []
    for size, variant in product(grid.sizes, [UNTUNED, *grid.variants]):
        own = [accuracies.get((task, size, variant)) for task in tasks]
        vanilla = [accuracies.get((task, size, "vanilla")) for task in tasks]
        accuracy, points, averaged = _means(own, vanilla)
        theirs = [paper.figure("table1", size, variant, task) for task in tasks]
        base = [paper.figure("table1", size, "vanilla", task) for task in tasks]
        paper_accuracy, paper_points, _ = _means(theirs, base)
        printed = paper.AVERAGED.get(size, {}).get(variant) if set(tasks) == set(paper.AVERAGED_TASKS) else None
        found.append(
            {
                "size": size,
                "variant": variant,
                "accuracy": accuracy,
                "points": None if points is None or variant == "vanilla" else 100 * points,
                "averaged": None if variant == "vanilla" else averaged,
                "paper_accuracy": paper_accuracy,
                "paper_points": None if variant == "vanilla" else paper_points,
                "paper_averaged": printed,
            }
        )
    return found


def _means(
    own: Sequence[float | None], vanilla: Sequence[float | None]
) -> tuple[float | None, float | None, float | None]:
    """Mean, mean difference from vanilla, and mean relative change in percent; None where a value is missing."""
    mine, base = [x for x in own if x is not None], [x for x in vanilla if x is not None]
    accuracy = mean(mine) if len(mine) == len(own) else None
    if accuracy is None or len(base) < len(own):
        return accuracy, None, None
    return accuracy, accuracy - mean(base), paper.averaged(mine, base)
