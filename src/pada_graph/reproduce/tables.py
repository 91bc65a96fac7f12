"""From finished cells to a table's numbers: accuracies, differences with tests, costs, and what is missing.

Everything is JSON-native; TABLE.json holds it as it is. Accuracies and differences are fractions; the paper's figures,
and what is called points or percent, are percentages.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Any

from typing_extensions import TypedDict

from pada_graph.compare.runs import FinishedRun, check_same_items, load_run
from pada_graph.errors import InputError
from pada_graph.reproduce import paper
from pada_graph.reproduce.averages import UNTUNED, Average, averages
from pada_graph.reproduce.cells import FOLDER, Cell
from pada_graph.reproduce.costs import Cost, cost
from pada_graph.reproduce.differences import Mean, Tested, compare_seeds, mean_accuracy
from pada_graph.reproduce.grid import Grid, Table
from pada_graph.reproduce.lines import one_line
from pada_graph.rundir import RunDir
from pada_graph.state import Prediction
from pada_graph.stats import detectable_gain, holm
from pada_graph.stats.pairs import Verdict, verdict


class Row(Mean):
    """One variant, or the untuned model, on one task with one train size: the chosen iteration on test."""

    task: str
    size: int
    train_rows: int
    n: int  # test items
    variant: str
    seeds: list[int]  # that are finished
    iterations: list[int]  # chosen on validation, seed by seed; none for the untuned model
    paper: float | None  # percent
    cost: Cost | None  # None: the untuned model


class Comparison(Tested):
    """The chosen iteration of a variant against that of another one."""

    task: str
    size: int
    variant: str
    against: str
    seeds: list[int]
    holm: float  # adjusted for all comparisons of the table; the verdict rests on it
    verdict: Verdict
    paper: float | None  # the difference of the paper's figures, in points


class CellInfo(TypedDict):
    """One cell, and where its run directory is, relative to the tables; why it is missing, if it is."""

    name: str
    directory: str
    missing: str | None


class Result(TypedDict):
    """A table."""

    table: Table
    student: str
    teachers: dict[str, str]
    reference: str  # the variant that all others are compared with
    variants: list[str]
    tasks: list[str]
    sizes: list[int]
    seeds: list[int]
    averaged_tasks: list[str]
    detectable: dict[str, float]  # smallest gain that a task's test split usually shows
    rows: list[Row]
    comparisons: list[Comparison]
    averages: list[Average]
    cells: list[CellInfo]
    missing: list[CellInfo]


@dataclass(frozen=True)
class _Done:
    run: FinishedRun
    metrics: Mapping[str, Any]


_Found = Mapping[tuple[str, int, str], Mapping[int, _Done]]  # task, size, variant -> seed -> cell


def make_result(grid: Grid, root: Path, failures: Mapping[str, str]) -> Result:
    """Compute a table from the cells that are finished.

    Args:
        grid: The table's cells.
        root: Where they are.
        failures: Why cells failed, by name; one that is neither finished nor here has not been run.
    """
    found, cells = _read(grid, root, failures)
    reference = grid.variants[0]
    averaged = [task for task in grid.tasks if task != "humaneval"]
    rows = [row for task, size in product(grid.tasks, grid.sizes) for row in _rows(grid, found, task, size)]
    return {
        "table": grid.table,
        "student": grid.config.student.model,
        "teachers": {role: model["model"] for role, model in grid.config.models.model_dump().items()},
        "reference": reference,
        "variants": list(grid.variants),
        "tasks": list(grid.tasks),
        "sizes": list(grid.sizes),
        "seeds": list(grid.seeds),
        "averaged_tasks": averaged,
        "detectable": {row["task"]: detectable_gain(row["n"]) for row in rows},
        "rows": rows,
        "comparisons": _comparisons(grid, found),
        "averages": averages(
            grid,
            {
                (row["task"], row["size"], row["variant"]): {"accuracy": row["accuracy"], "seeds": row["seeds"]}
                for row in rows
            },
            averaged,
        ),
        "cells": cells,
        "missing": [cell for cell in cells if cell["missing"]],
    }


def _read(grid: Grid, root: Path, failures: Mapping[str, str]) -> tuple[_Found, list[CellInfo]]:
    found: dict[tuple[str, int, str], dict[int, _Done]] = {}
    first: dict[tuple[str, int], FinishedRun] = {}
    cells: list[CellInfo] = []
    for cell in grid.cells:
        key, missing = (cell.config.task, cell.size, cell.variant), None
        if cell.is_finished(root):
            try:
                done = _load(cell, root)
                check_same_items(first.setdefault(key[:2], done.run), done.run)
                found.setdefault(key, {})[cell.config.seed] = done
            except InputError as error:
                missing = one_line(f"finished, but cannot be read: {error} To run it anew, delete its folder.")
        else:
            missing = failures.get(cell.name, "not run yet")
        cells.append({"name": cell.name, "directory": f"{FOLDER}/{cell.name}", "missing": missing})
    return found, cells


def _load(cell: Cell, root: Path) -> _Done:
    place = cell.place(root)
    return _Done(load_run(place), RunDir(place).read_json("metrics.json"))


def _rows(grid: Grid, found: _Found, task: str, size: int) -> Iterable[Row]:
    there = {variant: found[task, size, variant] for variant in grid.variants if (task, size, variant) in found}
    if not there:
        return
    some = next(iter(next(iter(there.values())).values()))
    answered: dict[str, list[list[Prediction]]] = {UNTUNED: [some.run.predictions[None]]}  # untrained: without a seed
    answered |= {
        variant: [done.run.predictions[done.run.best] for done in seeds.values()] for variant, seeds in there.items()
    }
    for variant, answers in answered.items():
        seeds = there.get(variant, {})
        reference = {} if variant == grid.variants[0] else there.get(grid.variants[0], {})
        yield {
            "task": task,
            "size": size,
            "train_rows": some.run.config.data.train_size,
            "n": len(answers[0]),
            "variant": variant,
            "seeds": list(seeds),
            "iterations": [done.run.best for done in seeds.values()],
            "paper": paper.figure(grid.table, size, variant, task),
            "cost": cost([done.metrics for done in seeds.values()], _gain(seeds, reference)) if seeds else None,
            **mean_accuracy(answers),
        }


def _gain(seeds: Mapping[int, _Done], reference: Mapping[int, _Done]) -> float | None:
    both = [seed for seed in seeds if seed in reference]
    return 100 * mean(_accuracy(seeds[seed]) - _accuracy(reference[seed]) for seed in both) if both else None


def _accuracy(done: _Done) -> float:
    answers = done.run.predictions[done.run.best]
    return sum(answer["correct"] for answer in answers) / len(answers)


def _comparisons(grid: Grid, found: _Found) -> list[Comparison]:
    reference, *others = grid.variants
    pairs = [(variant, reference) for variant in others]
    if grid.table == "table1" and "pada" in others:
        pairs += [("pada", other) for other in others if other != "pada"]
    made: list[Comparison] = []
    for task, size, (variant, against) in product(grid.tasks, grid.sizes, pairs):
        after, before = found.get((task, size, variant), {}), found.get((task, size, against), {})
        seeds = [seed for seed in after if seed in before]
        if not seeds:
            continue
        tested = compare_seeds(
            [before[seed].run.predictions[before[seed].run.best] for seed in seeds],
            [after[seed].run.predictions[after[seed].run.best] for seed in seeds],
        )
        one, two = (paper.figure(grid.table, size, name, task) for name in (against, variant))
        made.append(
            {
                "task": task,
                "size": size,
                "variant": variant,
                "against": against,
                "seeds": seeds,
                **tested,
                "holm": tested["p_value"],
                "verdict": "no detectable difference",
                "paper": None if one is None or two is None else two - one,
            }
        )
    adjusted = holm([comparison["p_value"] for comparison in made])
    return [
        {**comparison, "holm": p_value, "verdict": verdict(comparison["low"], comparison["high"], p_value)}
        for comparison, p_value in zip(made, adjusted, strict=True)
    ]
