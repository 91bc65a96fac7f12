"""Builds report.html: one file without network or script, readable on a phone, in light and dark, and on paper.

Texts of data and models are hostile input: the templates escape everything but our own figures, and the page's content
security policy allows no script at all.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pada_graph.accounting import FATES
from pada_graph.html import encodable, page_templates, svg
from pada_graph.report import batch_figures, figures, pattern_figures
from pada_graph.report.batches import attempt_books, batch_rounds, samples, scores, turns
from pada_graph.report.costs import by_stage
from pada_graph.report.flips import flips
from pada_graph.report.headline import headline
from pada_graph.report.models import (
    SPLITS,
    collapsed,
    cut_off,
    dependent,
    described,
    loss_curves,
    metrics_so_far,
)
from pada_graph.report.overlaps import overlaps
from pada_graph.report.patterns import bars, error_patterns
from pada_graph.report.progress import progress
from pada_graph.report.provenance import hashes
from pada_graph.report.rounds import RoundFiles, read_rounds
from pada_graph.report.settings import public_config
from pada_graph.rundir import RunDir
from pada_graph.stats import detectable_gain
from pada_graph.teacher.prices import dollars, total


def build_report(run_dir: Path) -> Path:
    """Write report.html of a run, finished or not, and return its path.

    Raises:
        InputError: `run_dir` is no run directory, or a file in it is damaged.
        StoppedError: the page cannot be written.
    """
    import yaml

    run = RunDir(run_dir)
    config = run.read_json("resolved_config.json")
    rounds = read_rounds(run)
    metrics = metrics_so_far(run, config, rounds)
    patterns = error_patterns(run, metrics)
    clusterings = _clusterings(run)
    environment = page_templates(Path(__file__).parent / "templates")
    environment.filters.update(dollars=dollars)
    page = environment.get_template("report.html.j2").render(
        name=f"{metrics['task']} · {run_dir.resolve().name}",
        headline=headline(metrics),
        progress=progress(run, rounds),
        metrics=metrics,
        bill=total([use.get("usd") for use in metrics["teacher"].values()]),
        stages=by_stage(run, config, metrics["seconds"]),
        models=_models(metrics),
        comparisons=_comparisons(metrics),
        judge=config["models"]["judge"]["model"] if config["data"]["match"] == "judge" else None,
        detectable=_detectable(metrics),
        warnings=[*collapsed(run), *cut_off(run, metrics, config)],
        described=described(run, config),
        dependent=dependent(run, config),
        patterns=patterns,
        figures=_figures(run, config, metrics, patterns, rounds, clusterings),
        clusterings=clusterings,
        batches=batch_rounds(run, rounds),
        fates=FATES,
        samples=samples(run, config, rounds),
        overlaps=overlaps(run),
        flips=flips(run, metrics["best_iteration"]),
        config=yaml.safe_dump(public_config(config), sort_keys=False, allow_unicode=True),
        versions=run.read_json("environment.json") if run.path("environment.json").exists() else {},
        hashes=hashes(run, config),
    )
    run.write_text("report.html", encodable(page))
    return run.path("report.html")


def _models(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    untuned = {"name": "Untuned model", "short": "untuned", "train_rows": None, "synthetic_rows": None, "train": None}
    tuned = [
        {"name": f"Iteration {t}", "short": str(t) if t else "0\nvanilla", **entry}
        for t, entry in ((entry["iteration"], entry) for entry in metrics["iterations"])
    ]
    return [{**untuned, "iteration": None, **metrics["untuned"]}, *tuned]


def _comparisons(metrics: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """(another model, the chosen iteration against it); runs of earlier versions know only iteration 0."""
    found = (("Iteration 0", metrics["comparison"]), ("Untuned model", metrics.get("untuned_comparison")))
    return [(name, compared) for name, compared in found if compared]


def _detectable(metrics: Mapping[str, Any]) -> tuple[int, float] | None:
    sizes = [entry["test"]["n"] for entry in metrics["iterations"] if entry["test"] and entry["test"]["n"]]
    return (sizes[0], detectable_gain(sizes[0])) if sizes else None


def _clusterings(run: RunDir) -> list[dict[str, Any]]:
    names = ((t, f"iteration_{t}/clustering.json") for t in run.iterations())
    return [{**run.read_json(name), "iteration": t} for t, name in names if run.path(name).exists()]


def _figures(
    run: RunDir,
    config: Mapping[str, Any],
    metrics: Mapping[str, Any],
    patterns: Mapping[str, Any],
    rounds: Sequence[RoundFiles],
    clusterings: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Our own SVG, the only markup that the templates do not escape; None where there is nothing to draw."""
    models = _models(metrics)
    drawn = {
        "accuracy": figures.accuracy(
            [model["short"] for model in models],
            {split: [model[split] for model in models] for split in SPLITS},
        ),
        "failures": pattern_figures.failures(bars(patterns) if patterns["lines"] else []),
        "inertia": pattern_figures.inertia([(c["iteration"], c["inertia"], c["k"]) for c in clusterings]),
        "ratings": batch_figures.ratings(*scores(rounds), config["quality"]["threshold"]),
        "attempts": batch_figures.attempts(turns(rounds)),
        "funnel": batch_figures.funnel(metrics["accounting"], "the samples asked for")
        if metrics["accounting"]
        else None,
        "drafts": batch_figures.funnel(attempt_books(rounds), "the drafts of all attempts"),
        "loss": figures.loss(loss_curves(run)),
    }
    maps = {
        found["iteration"]: pattern_figures.failure_map(
            f"round {found['iteration']}", found["points"], found["explained"]
        )
        for found in patterns["maps"]
    }
    return {
        "available": svg.available(),
        **{name: svg.markup(figure) for name, figure in drawn.items()},
        "maps": {t: svg.markup(figure) for t, figure in maps.items()},
    }
