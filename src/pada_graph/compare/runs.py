"""Finished runs, read from their directories and checked for having answered the same test items."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pada_graph.config import RunConfig
from pada_graph.config_file import parse_config
from pada_graph.errors import InputError
from pada_graph.nodes.recorded_config import CONFIG, changes, scoring_rule
from pada_graph.rundir import RunDir
from pada_graph.state import Prediction


@dataclass(frozen=True)
class FinishedRun:
    """One run's test predictions: of the untuned model (None), iteration 0 and the chosen iteration."""

    root: Path
    config: RunConfig
    best: int  # the iteration chosen on validation
    predictions: dict[int | None, list[Prediction]]

    @property
    def task(self) -> str:
        """Its task's name; runs of one task are compared."""
        return self.config.task_name


def load_runs(roots: Sequence[Path]) -> list[FinishedRun]:
    """Read runs in the given order.

    Raises:
        InputError: a directory is given twice, is no finished run, or two runs of one task have different test items;
            names the directory, how many items differ, and the keys of `data` that do.
    """
    places: dict[Path, Path] = {}
    for root in roots:
        if root.resolve() in places:
            raise InputError(f"{root}: this directory is given twice (also as {places[root.resolve()]}). Name it once.")
        places[root.resolve()] = root
    runs = [load_run(root) for root in roots]
    first: dict[str, FinishedRun] = {}
    for run in runs:
        check_same_items(first.setdefault(run.task, run), run)
    return runs


def load_run(root: Path) -> FinishedRun:
    """Read one finished run.

    Raises:
        InputError: it is no run directory, not finished, or damaged.
    """
    directory = RunDir(root)
    if not directory.path(CONFIG).exists():
        raise InputError(f"{root}: not a run directory (it holds no {CONFIG}). Name the --run-dir of a finished run.")
    config = parse_config(directory.read_json(CONFIG), str(root / CONFIG))
    if not directory.path("metrics.json").exists():
        raise InputError(
            f"{root}: this run is not finished (it holds no metrics.json). Its `pada-graph run` command, given again, "
            "goes on with it."
        )
    metrics = directory.read_json("metrics.json")
    best = metrics.get("best_iteration") if isinstance(metrics, dict) else None
    if not isinstance(best, int):
        raise InputError(f"{root / 'metrics.json'}: names no best_iteration: damaged, or of another program.")
    models: list[int | None] = [None, *sorted({0, best})]
    run = FinishedRun(root, config, best, {model: _predictions(directory, model) for model in models})
    if len({frozenset(_items(predictions).items()) for predictions in run.predictions.values()}) > 1:
        raise InputError(f"{root}: its models answered different test items. A predictions file was changed.")
    return run


def _predictions(directory: RunDir, iteration: int | None) -> list[Prediction]:
    name = f"{directory.iteration(iteration)}/predictions_test.jsonl"
    try:
        rows = TypeAdapter(list[Prediction]).validate_python(directory.read_jsonl(name), strict=True)
    except ValidationError as error:
        number, *field = error.errors()[0]["loc"]
        raise InputError(
            f"{directory.path(name)}: line {int(number) + 1}, {'.'.join(map(str, field)) or 'the line'}: "
            f"{error.errors()[0]['msg']}: damaged, or written by another version. Run it again in a new --run-dir."
        ) from error
    if len(_items(rows)) < max(1, len(rows)):
        raise InputError(f"{directory.path(name)}: holds no items, or one id twice: damaged.")
    return rows


def _items(predictions: Sequence[Prediction]) -> dict[str, tuple[str, str]]:
    """What was asked: an id may stand for another row in another data set."""
    return {prediction["id"]: (prediction["prompt"], prediction["target"]) for prediction in predictions}


def check_same_items(first: FinishedRun, other: FinishedRun) -> None:
    """Check that two runs of one task answered the same test items, and were scored by the same code.

    Raises:
        InputError: they did not; names how many items differ, and the keys of `data` that do. Or they were scored by
            different versions of a task file, by another rule, or by another judge.
    """
    if first.config.task_sha256 != other.config.task_sha256:
        raise InputError(
            f"{other.root}: cannot be compared with {first.root}: each has another version of {other.task}, as its "
            "task.py shows, so that a right answer of the one may be a wrong one of the other."
        )
    if scoring_rule(first.config) != scoring_rule(other.config):
        raise InputError(
            f"{other.root}: cannot be compared with {first.root}: a right answer of the one may be a wrong one of the "
            "other, since data.match, or the judge that grades the answers (models.judge, prompts.answer_grading), is "
            "another. Compare runs that were scored alike."
        )
    one, two = _items(first.predictions[None]), _items(other.predictions[None])
    if one == two:
        return
    apart = len(one.keys() ^ two.keys())
    changed = sum(one[item] != two[item] for item in one.keys() & two.keys())
    counts = [f"{apart} ids stand in one of them only"] * bool(apart)
    counts += [f"{changed} ids have another prompt or target"] * bool(changed)
    keys = changes(first.config.data.model_dump(), other.config.data.model_dump(), "data.")
    cause = f"Configured differently: {', '.join(keys)}." if keys else "No key of `data` differs: its files do."
    raise InputError(
        f"{other.root}: cannot be compared with {first.root}: both ran task {first.task}, but on different test "
        f"items ({' and '.join(counts)}, of {len(one)} and {len(two)} items). {cause}"
    )
