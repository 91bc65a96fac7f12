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
from pada_graph.stats.seeds import seeds_verdict
from pada_graph.tasks import task_of_run

Against = Literal["baseline", "iteration 0"]


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
    """The chosen iteration of `run` against its own iteration 0, or against that of a run of the baseline."""

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
    paired_runs: list[int]  # those of `runs` whose seeds the baseline has too; none where it has fewer than two of them
    baseline_runs: list[int]  # its runs with these seeds
    difference: OverSeedsDifference | None  # of the former from the latter, seed by seed; None where there are none


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
    """Compare finished runs. The configuration of each task's first run is that task's baseline.

    A run of another configuration is set against the baseline's run of the same seed, else against the first run.
    Holm's adjustment is over all comparisons of one kind, i.e. over the tasks, and over the runs of one task too.

    Raises:
        InputError: as `load_runs`.
    """
    runs = dict(enumerate(load_runs(roots), 1))
    tasks: dict[str, int] = {run.task: number for number, run in reversed(runs.items())}  # their first runs
    by_task = sorted(runs, key=lambda number: (tasks[runs[number].task], number))
    configurations = _configurations(runs)
    baselines = {task: configurations[_trained(runs[first])] for task, first in tasks.items()}
    others = [n for n in by_task if configurations[_trained(runs[n])] is not baselines[runs[n].task]]
    against = {n: baselines[runs[n].task].get(runs[n].config.seed, tasks[runs[n].task]) for n in others}
    sizes = {runs[first].task: len(runs[first].predictions[None]) for first in sorted(tasks.values())}
    return {
        "tasks": [{"task": task, "n": n, "detectable_gain": detectable_gain(n)} for task, n in sizes.items()],
        "runs": [_info(number, run) for number, run in runs.items()],
        "models": [row for number in by_task for row in model_rows(number, runs[number])],
        "differences": [
            *_adjusted([_difference(runs, n, n, 0, "iteration 0") for n in by_task if runs[n].best]),
            *_adjusted([_difference(runs, n, base, runs[base].best, "baseline") for n, base in against.items()]),
        ],
        "seeds": _seed_groups(runs, configurations, baselines),
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


def _configurations(runs: Mapping[int, FinishedRun]) -> dict[str, dict[int, int]]:
    """Runs by configuration and seed. A seed that comes twice counts once, as its first run."""
    found: dict[str, dict[int, int]] = {}
    for number, run in runs.items():
        found.setdefault(_trained(run), {}).setdefault(run.config.seed, number)
    return found


def _seed_groups(
    runs: Mapping[int, FinishedRun],
    configurations: Mapping[str, Mapping[int, int]],
    baselines: Mapping[str, Mapping[int, int]],
) -> list[SeedGroup]:
    """Groups of two seeds or more, set against the baseline in the seeds that both have if these are two or more."""
    found: list[SeedGroup] = []
    for by_seed in (numbers for numbers in configurations.values() if len(numbers) > 1):
        seeds = sorted(by_seed)
        numbers = [by_seed[seed] for seed in seeds]
        first = runs[numbers[0]]
        baseline = baselines[first.task]
        shared = [seed for seed in seeds if seed in baseline and by_seed is not baseline]
        ours, theirs = ([of[seed] for seed in shared] if len(shared) > 1 else [] for of in (by_seed, baseline))
        groups = group_names(sorted(first.predictions[None], key=_id))
        start, final = [_correct(runs[number], 0) for number in numbers], _chosen(runs, numbers)
        found.append(
            {
                "task": first.task,
                "method": first.config.method,
                "runs": numbers,
                "seeds": seeds,
                "accuracy": over_seeds(final, groups),
                "gain": _over_seeds(start, final, groups) if any(runs[n].best for n in numbers) else None,
                "paired_runs": ours,
                "baseline_runs": theirs,
                "difference": _over_seeds(_chosen(runs, theirs), _chosen(runs, ours), groups) if ours else None,
            }
        )
    return found


def _trained(run: FinishedRun) -> str:
    """The configuration but for the seed and what has no effect on results; a task file counts by its sha256."""
    rest = run.config.model_dump(mode="json", exclude={"seed", "limits", "executor", "ray"})
    return json.dumps({**rest, "task": run.task}, sort_keys=True)


def _chosen(runs: Mapping[int, FinishedRun], numbers: Sequence[int]) -> list[list[float]]:
    return [_correct(runs[number], runs[number].best) for number in numbers]


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
