"""Means over the tasks of a setting, and the paper's "Averaged" beside them."""

from collections.abc import Mapping, Sequence
from itertools import product
from statistics import mean

from typing_extensions import TypedDict

from pada_graph.reproduce import paper
from pada_graph.reproduce.grid import Grid

UNTUNED = "untuned"  # a row of every table: fine-tuning can hurt, and a gain may be recovery


class Means(TypedDict):
    """A variant over several tasks, in percent. None: a figure is missing, of the variant or of vanilla."""

    accuracy: float | None
    points: float | None  # mean difference from vanilla
    averaged: float | None  # mean relative change from vanilla; None where vanilla is at 0 somewhere, too


class Average(TypedDict):
    """A variant over the tasks of a setting but HumanEval."""

    size: int
    variant: str
    ours: Means
    paper: Means  # with "Averaged" as printed


class Measured(TypedDict):
    """Accuracy of a variant on one task, as a fraction, and the seeds that it is the mean of."""

    accuracy: float
    seeds: list[int]


def averages(grid: Grid, measured: Mapping[tuple[str, int, str], Measured], tasks: Sequence[str]) -> list[Average]:
    """Means over `tasks`, for table 1 alone: the paper averages no ablations.

    A variant is compared with vanilla where both have the same seeds.

    Args:
        grid: The table's settings and variants.
        measured: By task, size and variant.
        tasks: Those that are averaged.
    """
    if grid.table == "table2" or "vanilla" not in grid.variants or not tasks:
        return []
    found: list[Average] = []
    for size, variant in product(grid.sizes, [UNTUNED, *grid.variants]):
        own = [measured.get((task, size, variant)) for task in tasks]
        base = [measured.get((task, size, "vanilla")) for task in tasks]
        if variant != UNTUNED:  # which has no seed
            base = [b if a and b and a["seeds"] == b["seeds"] else None for a, b in zip(own, base, strict=True)]
        theirs = [[paper.figure("table1", size, name, task) for task in tasks] for name in (variant, "vanilla")]
        printed = paper.AVERAGED.get(size, {}).get(variant) if set(tasks) == set(paper.AVERAGED_TASKS) else None
        ours, papers = _means(_percent(own), _percent(base)), _means(*theirs)
        if variant == "vanilla":  # all others are measured against it
            ours = {**ours, "points": None, "averaged": None}
            papers = {**papers, "points": None}
        found.append({"size": size, "variant": variant, "ours": ours, "paper": {**papers, "averaged": printed}})
    return found


def _percent(measured: Sequence[Measured | None]) -> list[float | None]:
    return [None if m is None else 100 * m["accuracy"] for m in measured]


def _means(own: Sequence[float | None], vanilla: Sequence[float | None]) -> Means:
    mine, base = [x for x in own if x is not None], [x for x in vanilla if x is not None]
    accuracy = mean(mine) if len(mine) == len(own) else None
    if accuracy is None or len(base) < len(own):
        return {"accuracy": accuracy, "points": None, "averaged": None}
    return {"accuracy": accuracy, "points": accuracy - mean(base), "averaged": paper.averaged(mine, base)}
