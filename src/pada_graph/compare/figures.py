"""The comparison's figure: every model's accuracy on one task with its interval."""

from collections.abc import Mapping, Sequence
from typing import Any

from pada_graph.compare.tables import ModelRow
from pada_graph.html.svg import MARKERS, colour, drawn, legend, new_axes

_KINDS = ("untuned", "iteration 0", "chosen")


@drawn
def accuracies(rows: Sequence[ModelRow], methods: Mapping[int, str]) -> tuple[Any, str] | None:
    """Accuracy of each model of each run with its 95 % interval, one line a model.

    Args:
        rows: the models, top to bottom.
        methods: number of a run -> its method.
    """
    if not rows:
        return None
    figure, axes = new_axes(width=5.8, height=0.9 + 0.28 * len(rows), grid="x")
    for number, kind in enumerate(_KINDS):
        shown = [(place, row) for place, row in enumerate(rows) if _kind(row) == kind]
        if not shown:
            continue
        x = [100 * row["accuracy"] for _, row in shown]
        reach = [
            [100 * (row["accuracy"] - row["low"]) for _, row in shown],
            [100 * (row["high"] - row["accuracy"]) for _, row in shown],
        ]
        style = {"color": colour(number), "marker": MARKERS[number], "markersize": 6, "linewidth": 1.2}
        axes.errorbar(x, [place for place, _ in shown], xerr=reach, linestyle="none", capsize=3, label=kind, **style)
    names = [f"run {row['run']} {methods[row['run']]}, {_name(row)}" for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("accuracy on test, %")
    legend(axes)
    said = [f"{name} {100 * row['accuracy']:.1f} %" for name, row in zip(names, rows, strict=True)]
    return figure, f"Accuracy on test with 95 % intervals: {'; '.join(said)}."


def _name(row: ModelRow) -> str:
    return "untuned" if row["iteration"] is None else f"iteration {row['iteration']}"


def _kind(row: ModelRow) -> str:
    return "chosen" if row["chosen"] else _name(row)
