"""Builds report.html: one file without network or script, readable on a phone, in light and dark, and on paper.

Texts of data and models are hostile input: the template escapes everything but our own figures, and the page's content
security policy allows no script at all.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pada_graph.accounting import FATES
from pada_graph.html import page_templates
from pada_graph.report import figures
from pada_graph.report.batches import batch_rounds, samples
from pada_graph.report.models import (
    SPLITS,
    collapsed,
    cut_off,
    described,
    flips,
    loss_curves,
    metrics_so_far,
)
from pada_graph.report.overlaps import overlaps
from pada_graph.report.patterns import bars, error_patterns
from pada_graph.report.settings import public_config
from pada_graph.report.texts import clip
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
    metrics = metrics_so_far(run, config)
    environment = page_templates(Path(__file__).parent)
    environment.filters.update(percent=percent, points=points, duration=duration, clip=clip, dollars=dollars)
    patterns = error_patterns(run, metrics)
    versions = run.read_json("environment.json") if run.path("environment.json").exists() else {}
    page = environment.get_template("template.html.j2").render(
        name=f"{metrics['task']} · {run_dir.resolve().name}",
        headline=headline(metrics),
        metrics=metrics,
        bill=total([use.get("usd") for use in metrics["teacher"].values()]),
        models=_models(metrics),
        detectable=_detectable(metrics),
        warnings=[*collapsed(run), *cut_off(metrics, config)],
        described=described(run, config),
        patterns=patterns,
        figures=_figures(run, metrics, patterns),
        clusterings=_clusterings(run),
        batches=batch_rounds(run),
        fates=FATES,
        samples=samples(run, config),
        overlaps=overlaps(run),
        flips=flips(run, metrics["best_iteration"]),
        config=yaml.safe_dump(public_config(config), sort_keys=False, allow_unicode=True),
        versions=versions,
    )
    # A lone surrogate, which JSON can carry, has no place in UTF-8.
    run.write_text("report.html", page.encode("utf-8", "replace").decode("utf-8"))
    return run.path("report.html")


def headline(metrics: Mapping[str, Any]) -> str:
    """Say in words what the run brought: the chosen iteration, its test accuracy, and what may be claimed of it.

    `metrics` is metrics.json. "Better" is only said where the paired comparison says it.
    """
    entries = {entry["iteration"]: entry for entry in metrics["iterations"]}
    best = metrics["best_iteration"]
    if best is None:
        scored = [
            f"iteration {t}: {percent(e['validation']['accuracy'])}" for t, e in entries.items() if e["validation"]
        ]
        so_far = f"Validation accuracy so far: {', '.join(scored)}." if scored else "Nothing has been scored yet."
        return f"This run is not finished. {so_far}"
    test = entries[best]["test"]
    untuned = metrics["untuned"]["test"]
    sentences = [_choice(entries, best), _claim(metrics, best, test)]
    if test and untuned:
        sentences.append(f"The untuned model scores {percent(untuned['accuracy'])}.")
        if untuned["accuracy"] > test["accuracy"]:
            sentences.append(
                "That is more than the chosen iteration: fine-tuning cost accuracy, and a gain may be recovery."
            )
    return " ".join(sentence for sentence in sentences if sentence)


def _choice(entries: Mapping[int, Any], best: int) -> str:
    if len(entries) == 1:
        return "Vanilla fine-tuning (iteration 0) is the only iteration."
    if best:
        return (
            f"Of iterations 0 to {len(entries) - 1}, iteration {best} has the best validation accuracy and was chosen."
        )
    first, *later = (entry["validation"] for entry in entries.values())
    accuracy = percent(max(score["accuracy"] for score in later))
    return (
        "Iteration 0, vanilla fine-tuning, was chosen: no later iteration scored higher on validation "
        f"({accuracy} against {percent(first['accuracy'])}, n = {first['n']}); later iterations were not tested."
    )


def _claim(metrics: Mapping[str, Any], best: int, test: Mapping[str, Any] | None) -> str:
    if not test:
        return "The test split was not scored."
    interval = f"{percent(test['low'])} to {percent(test['high'])}"
    accuracy = (
        f"It answers {percent(test['accuracy'])} of {test['n']} test questions correctly (95 % interval {interval})"
    )
    compared = metrics["comparison"]
    if best == 0 or not compared:
        return f"{accuracy}."
    p_value = f"p = {compared['p_value']:.2g}" if compared["p_value"] >= 0.001 else "p < 0.001"
    grouped = compared.get("group_p_value")  # dependent items: McNemar's test does not count
    test_name = (
        f"McNemar {p_value}" if grouped is None else f"sign test of {compared['groups']} groups p = {grouped:.2g}"
    )
    detail = (
        f"95 % interval {points(compared['low'])} to {points(compared['high'])}, {test_name}, "
        f"{compared['fixed']} fixed, {compared['broken']} broken"
    )
    if compared["verdict"] == "no detectable difference":
        difference = points(compared["difference"])
        return f"{accuracy}: no detectable difference from vanilla fine-tuning ({difference} points; {detail})."
    size = f"{100 * abs(compared['difference']):.1f} points {compared['verdict']}"
    return f"{accuracy}: {size} than vanilla fine-tuning ({detail})."


def percent(share: float) -> str:
    """0.607 -> "60.7 %"."""
    return f"{100 * share:.1f} %"


def points(share: float) -> str:
    """0.133 -> "+13.3", in percentage points."""
    return f"{100 * share:+.1f}"


def duration(seconds: float) -> str:
    """431.2 -> "7 min 11 s"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


def _models(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    untuned = {"name": "Untuned model", "short": "untuned", "train_rows": None, "synthetic_rows": None, "train": None}
    tuned = [
        {"name": f"Iteration {entry['iteration']}", "short": str(entry["iteration"]), **entry}
        for entry in metrics["iterations"]
    ]
    return [{**untuned, "iteration": None, **metrics["untuned"]}, *tuned]


def _detectable(metrics: Mapping[str, Any]) -> tuple[int, float] | None:
    sizes = [entry["test"]["n"] for entry in metrics["iterations"] if entry["test"] and entry["test"]["n"]]
    return (sizes[0], detectable_gain(sizes[0])) if sizes else None


def _clusterings(run: RunDir) -> list[dict[str, Any]]:
    names = ((t, f"iteration_{t}/clustering.json") for t in run.iterations())
    return [{**run.read_json(name), "iteration": t} for t, name in names if run.path(name).exists()]


def _figures(run: RunDir, metrics: Mapping[str, Any], patterns: Mapping[str, Any]) -> dict[str, Any]:
    """Our own SVG, the only markup that the template does not escape; None where there is nothing to draw."""
    from markupsafe import Markup

    models = _models(metrics)
    drawn = {
        "accuracy": figures.accuracy(
            [model["short"] for model in models],
            {split: [model[split] for model in models] for split in SPLITS},
        ),
        "failures": figures.failures(bars(patterns) if patterns["lines"] else []),
        "inertia": figures.inertia([(f"round {c['iteration']}", c["inertia"], c["k"]) for c in _clusterings(run)]),
        "loss": figures.loss(loss_curves(run)),
    }
    return {"available": figures.available(), **{name: Markup(svg) if svg else None for name, svg in drawn.items()}}
