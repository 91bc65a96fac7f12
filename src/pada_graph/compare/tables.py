"""From finished runs to rows: what each model scores, which differences are detectable, what seeds add.

Everything is JSON-native; `pada-graph compare --json` prints it as it is.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from typing_extensions import TypedDict

from pada_graph.compare.runs import FinishedRun, load_runs
from pada_graph.rundir import RunDir
from pada_graph.state import Prediction, Score
from pada_graph.stats import Described, OverSeeds, Paired, describe, detectable_gain, holm, over_seeds, paired, score
from pada_graph.stats.pairs import Verdict, group_names, verdict
from pada_graph.stats.seeds import FEWEST, seeds_verdict
from pada_graph.tasks import task_of_run

Against = Literal["baseline", "iteration 0"]
VERDICT_RULE = (
    "A verdict needs both: no 0 in the interval, and p, adjusted by Holm for all comparisons of its kind, below 0.05."
)
NOT_TESTED = f"not tested: fewer than {FEWEST} seeds"  # in place of a verdict over seeds


class RunInfo(TypedDict):
    """One run directory; `run` is its number, from 1, in the order given."""

    run: int
    directory: str
    task: str
    method: str
    seed: int
    student: str
    best_iteration: int


class ModelRow(Score, Described):
    """One model of one run on the test split."""

    run: int
    task: str
    iteration: int | None  # None: the untuned model
    chosen: bool  # the iteration with the best validation accuracy


class Difference(Paired):
    """The chosen iteration of `run` against its own iteration 0, or against the baseline's chosen iteration."""

    task: str
    run: int
    against: Against
    baseline: int  # number of the run compared with
    holm: float  # the p-value that counts, adjusted for all comparisons of this kind; the verdict rests on it


class OverSeedsDifference(OverSeeds):
    """A difference over seeds and what may be said of it."""

    verdict: Verdict | None  # None: not tested, with fewer than three seeds


class SeedGroup(TypedDict):
    """Runs that differ in nothing but their seed."""

    task: str
    method: str
    runs: list[int]
    seeds: list[int]
    accuracy: OverSeeds  # of the chosen iterations
    gain: OverSeedsDifference | None  # over each run's own iteration 0; None where no run chose another
    baseline_runs: list[int]  # runs of the baseline's configuration with the same seeds, in the order of `runs`
    difference: OverSeedsDifference | None  # from them, seed by seed; None where there are none


class TaskInfo(TypedDict):
    """What the test items of a task can show."""

    task: str
    n: int
    detectable_gain: float


class Comparison(TypedDict):
    """Everything that `compare` shows."""

    tasks: list[TaskInfo]
    runs: list[RunInfo]
    models: list[ModelRow]
    differences: list[Difference]
    seeds: list[SeedGroup]


def compare_runs(roots: Sequence[Path]) -> Comparison:
    """Compare finished runs. The first run of each task is that task's baseline.

    Holm's adjustment is over all comparisons of one kind, i.e. over the tasks, and over the runs of one task too.

    Raises:
        InputError: as `load_runs`.
    """
    runs = dict(enumerate(load_runs(roots), 1))
    tasks: dict[str, int] = {run.task: number for number, run in reversed(runs.items())}  # their first runs
    by_task = sorted(runs, key=lambda number: (tasks[runs[number].task], number))
    sizes = {runs[first].task: len(runs[first].predictions[None]) for first in sorted(tasks.values())}
    return {
        "tasks": [{"task": task, "n": n, "detectable_gain": detectable_gain(n)} for task, n in sizes.items()],
        "runs": [_info(number, run) for number, run in runs.items()],
        "models": [row for number in by_task for row in model_rows(number, runs[number])],
        "differences": [
            *_adjusted([_difference(runs, n, n, 0, "iteration 0") for n in by_task if runs[n].best]),
            *_adjusted(
                [
                    _difference(runs, n, first, runs[first].best, "baseline")
                    for n in by_task
                    if n != (first := tasks[runs[n].task])
                ]
            ),
        ],
        "seeds": _seed_groups(runs, tasks),
    }


def model_rows(number: int, run: FinishedRun) -> list[ModelRow]:
    """The untuned model, iteration 0 and the chosen iteration of a run."""
    config = run.config
    chance = task_of_run(RunDir(run.root), config.task, config.task_sha256, config.data.match).chance
    return [
        {
            "run": number,
            "task": run.task,
            "iteration": iteration,
            "chosen": iteration == run.best,
            **score(predictions),
            **describe(predictions, chance),
        }
        for iteration, predictions in run.predictions.items()
    ]


def tasks_of_several_students(runs: Sequence[RunInfo]) -> list[str]:
    """Tasks whose runs did not fine-tune the same model: a difference there is not one of methods alone."""
    students: dict[str, set[str]] = {}
    for info in runs:
        students.setdefault(info["task"], set()).add(info["student"])
    return [task for task, found in students.items() if len(found) > 1]


def _info(number: int, run: FinishedRun) -> RunInfo:
    return {
        "run": number,
        "directory": str(run.root),
        "task": run.task,
        "method": run.config.method,
        "seed": run.config.seed,
        "student": run.config.student.model,
        "best_iteration": run.best,
    }


def _difference(
    runs: Mapping[int, FinishedRun], number: int, baseline: int, iteration: int, against: Against
) -> Difference:
    run = runs[number]
    found = paired(runs[baseline].predictions[iteration], run.predictions[run.best])
    p_value = found["p_value"] if found["group_p_value"] is None else found["group_p_value"]
    task = run.task
    return {"task": task, "run": number, "against": against, "baseline": baseline, "holm": p_value, **found}


def _adjusted(differences: list[Difference]) -> list[Difference]:
    adjusted = holm([difference["holm"] for difference in differences])
    return [
        {**difference, "holm": p_value, "verdict": verdict(difference["low"], difference["high"], p_value)}
        for difference, p_value in zip(differences, adjusted, strict=True)
    ]


def _seed_groups(runs: Mapping[int, FinishedRun], tasks: Mapping[str, int]) -> list[SeedGroup]:
    """Groups of two seeds or more. A seed that comes twice counts once, as its first run."""
    by_config: dict[str, dict[int, int]] = {}
    for number, run in runs.items():
        by_config.setdefault(_trained(run), {}).setdefault(run.config.seed, number)
    found: list[SeedGroup] = []
    for numbers in (dict(sorted(by_seed.items())) for by_seed in by_config.values() if len(by_seed) > 1):
        first = runs[next(iter(numbers.values()))]
        reference = by_config[_trained(runs[tasks[first.task]])]
        others = [reference[seed] for seed in numbers if seed in reference]
        compared = [*numbers.values()] != others and len(others) == len(numbers)
        groups = group_names(sorted(first.predictions[None], key=_id))
        final = [_correct(runs[number], runs[number].best) for number in numbers.values()]
        start = [_correct(runs[number], 0) for number in numbers.values()]
        base = [_correct(runs[number], runs[number].best) for number in others]
        found.append(
            {
                "task": first.task,
                "method": first.config.method,
                "runs": [*numbers.values()],
                "seeds": [*numbers],
                "accuracy": over_seeds(final, groups),
                "gain": _over_seeds(start, final, groups) if any(runs[n].best for n in numbers.values()) else None,
                "baseline_runs": others if compared else [],
                "difference": _over_seeds(base, final, groups) if compared else None,
            }
        )
    return found


def _trained(run: FinishedRun) -> str:
    """The configuration but for the seed and what has no effect on results; a task file counts by its sha256."""
    rest = run.config.model_dump(mode="json", exclude={"seed", "limits", "executor", "ray"})
    return json.dumps({**rest, "task": run.task}, sort_keys=True)


def _correct(run: FinishedRun, iteration: int) -> list[float]:
    return [float(prediction["correct"]) for prediction in sorted(run.predictions[iteration], key=_id)]


def _id(prediction: Prediction) -> str:
    return prediction["id"]


def _over_seeds(
    before: Sequence[Sequence[float]], after: Sequence[Sequence[float]], groups: Sequence[str]
) -> OverSeedsDifference:
    differences = [[b - a for a, b in zip(*seed, strict=True)] for seed in zip(before, after, strict=True)]
    found = over_seeds(differences, groups)
    return {**found, "verdict": seeds_verdict(found)}
