"""A comparison as one page without network or script: what `print_comparison` says, and the items that differ."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pada_graph.compare.caveats import BASELINE_RULE, NOT_TESTED, VERDICT_RULE, few_seeds, several_students
from pada_graph.compare.figures import accuracies
from pada_graph.compare.runs import FinishedRun, load_runs
from pada_graph.compare.tables import Comparison
from pada_graph.html import encodable, page_templates, svg
from pada_graph.report.flips import step
from pada_graph.report.settings import public_config
from pada_graph.rundir import RunDir
from pada_graph.stats import detectable_words
from pada_graph.stats.accuracy import DEPENDENT
from pada_graph.teacher.prices import dollars, total


def write_page(roots: Sequence[Path], comparison: Comparison, out: Path) -> None:
    """Write the page of a comparison.

    Args:
        roots: the run directories, as `compare_runs` had them.
        comparison: what it returned.
        out: the file; it is replaced.

    Raises:
        InputError: as `compare_runs`.
        StoppedError: the page cannot be written.
    """
    runs = load_runs(roots)
    environment = page_templates(Path(__file__).parent)
    environment.filters.update(dollars=dollars)
    page = environment.get_template("page.html.j2").render(
        runs=comparison["runs"],
        tasks=[_task(comparison, runs, info["task"], info["n"]) for info in comparison["tasks"]],
        baseline_rule=BASELINE_RULE,
        verdict_rule=VERDICT_RULE,
        not_tested=NOT_TESTED,
        notes=[*several_students(comparison), *filter(None, [few_seeds(comparison)])],
        costs=[_cost(run) for run in runs],
        settings=_settings(runs),
        available=svg.available(),
    )
    RunDir(out.parent).write_text(out.name, encodable(page))


def _task(comparison: Comparison, runs: Sequence[FinishedRun], name: str, n: int) -> dict[str, Any]:
    """Everything about one task: models, differences, seeds, and the items on which chosen iterations differ."""
    models = [row for row in comparison["models"] if row["task"] == name]
    differences = [item for item in comparison["differences"] if item["task"] == name]
    return {
        "task": name,
        "n": n,
        "detectable": detectable_words(n, models[0]["grouped"]),
        "dependent": DEPENDENT if models[0]["grouped"] else "",
        "models": models,
        "figure": svg.markup(accuracies(models, {info["run"]: info["method"] for info in comparison["runs"]})),
        "measures": list(dict.fromkeys(measure for row in models for measure in row["measures"])),
        "by_chance": any(row["chance"] is not None for row in models),
        "differences": differences,
        "seeds": [group for group in comparison["seeds"] if group["task"] == name],
        "steps": [
            {
                "split": "test",
                **step(
                    f"Run {item['baseline']}, {_model(runs, item['baseline'], against_chosen)}",
                    runs[item["baseline"] - 1].predictions[against_chosen],
                    f"run {item['run']}, {_model(runs, item['run'], runs[item['run'] - 1].best)}",
                    runs[item["run"] - 1].predictions[runs[item["run"] - 1].best],
                ),
            }
            for item in differences
            for against_chosen in [runs[item["baseline"] - 1].best if item["against"] == "baseline" else 0]
        ],
    }


def _model(runs: Sequence[FinishedRun], run: int, iteration: int) -> str:
    return f"iteration {iteration}{' (chosen)' if runs[run - 1].best == iteration else ''}"


def _cost(run: FinishedRun) -> dict[str, Any]:
    """What a run took in all, from its metrics.json."""
    metrics = RunDir(run.root).read_json("metrics.json")
    roles = metrics.get("teacher", {}).values()
    seconds = metrics.get("seconds", {})
    return {
        "synthetic": metrics["iterations"][run.best]["synthetic_rows"],
        **{key: sum(role[key] for role in roles) for key in ("calls", "input_tokens", "output_tokens")},
        "usd": total([role.get("usd") for role in roles]),
        "seconds": sum(seconds.values()) if seconds else None,
    }


def _settings(runs: Sequence[FinishedRun]) -> list[tuple[str, list[str]]]:
    """Keys of the configuration that are not the same in all runs, with each run's value."""
    flat = [_flat(public_config(run.config.model_dump(mode="json"))) for run in runs]
    keys = dict.fromkeys(key for values in flat for key in values)
    rows = [(key, [str(values.get(key, "–")) for values in flat]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {name: value}
    return {
        path: leaf
        for key, inner in value.items()
        for path, leaf in _flat(inner, f"{name}.{key}" if name else str(key)).items()
    }
