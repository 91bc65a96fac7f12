"""The first lines of a report: what a run brought, in words that claim no more than its statistics allow."""

from collections.abc import Mapping
from typing import Any

from pada_graph.html.words import percent, points


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
        sentences.append(f"The untuned model scores {percent(untuned['accuracy'])}{_from_untuned(metrics)}.")
    return " ".join(sentences)


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
    detail = _evidence(compared)
    if compared["verdict"] == "no detectable difference":
        difference = points(compared["difference"])
        return f"{accuracy}: no detectable difference from vanilla fine-tuning ({difference} points; {detail})."
    size = f"{100 * abs(compared['difference']):.1f} points {compared['verdict']}"
    return f"{accuracy}: {size} than vanilla fine-tuning ({detail})."


def _from_untuned(metrics: Mapping[str, Any]) -> str:
    """What may be said of the chosen iteration and the untuned model; nothing in runs that did not compare them."""
    compared = metrics.get("untuned_comparison")
    if not compared or compared["verdict"] == "better":
        return ""
    gained = metrics["comparison"] and metrics["comparison"]["verdict"] == "better"
    recovery = "; the gain over vanilla fine-tuning may be recovery" if gained else ""
    if compared["verdict"] == "worse":
        return f": fine-tuning cost accuracy ({points(compared['difference'])} points; {_evidence(compared)}){recovery}"
    return f": no detectable difference from the chosen iteration{recovery}"


def _evidence(compared: Mapping[str, Any]) -> str:
    """Interval, p-value and counts of a paired comparison."""
    p_value = f"p = {compared['p_value']:.2g}" if compared["p_value"] >= 0.001 else "p < 0.001"
    grouped = compared.get("group_p_value")  # dependent items: McNemar's test does not count
    test_name = (
        f"McNemar {p_value}" if grouped is None else f"sign test of {compared['groups']} groups p = {grouped:.2g}"
    )
    return (
        f"95 % interval {points(compared['low'])} to {points(compared['high'])}, {test_name}, "
        f"{compared['fixed']} fixed, {compared['broken']} broken"
    )
