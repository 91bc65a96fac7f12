"""The report's figures of models: accuracy by iteration, and training loss."""

from collections.abc import Mapping, Sequence
from typing import Any

from pada_graph.html.svg import DASHES, MARKERS, colour, drawn, legend, new_axes

_SPLITS = {"validation": "-", "test": "none", "train": ":"}


@drawn
def accuracy(names: Sequence[str], scores: Mapping[str, Sequence[Any]]) -> tuple[Any, str] | None:
    """Accuracy of every model with its 95 % interval.

    Args:
        names: the models, left to right; the first is the untuned one, which no line joins.
        scores: split -> one Score or None per model.
    """
    if not any(score for split in scores.values() for score in split):
        return None
    figure, axes = new_axes()
    for index, (split, line) in enumerate(_SPLITS.items()):
        shift = (index - 1) * 0.14
        shown = [(place + shift, score) for place, score in enumerate(scores.get(split, [])) if score]
        if not shown:
            continue
        x = [place for place, _ in shown]
        y = [100 * score["accuracy"] for _, score in shown]
        reach = [
            [100 * (score["accuracy"] - score["low"]) for _, score in shown],
            [100 * (score["high"] - score["accuracy"]) for _, score in shown],
        ]
        style = {"color": colour(index), "marker": MARKERS[index], "markersize": 5, "linewidth": 1.2}
        axes.errorbar(x, y, reach, linestyle="none", capsize=3, label=split, **style)
        tuned = [(place, height) for place, height in zip(x, y, strict=True) if place > 0.5]
        if tuned:
            axes.plot(*zip(*tuned, strict=True), linestyle=line, **style)
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_xlabel("iteration")
    axes.set_ylabel("accuracy, %")
    legend(axes)
    said = [
        f"{name.splitlines()[0]} {_words({split: scores[split][place] for split in _SPLITS if split in scores})}"
        for place, name in enumerate(names)
    ]
    return figure, f"Accuracy with 95 % intervals. {'; '.join(said)}."


def _words(scores: Mapping[str, Any]) -> str:
    found = [f"{split} {100 * score['accuracy']:.1f} %" for split, score in scores.items() if score]
    return ", ".join(found) or "not scored"


@drawn
def loss(curves: Sequence[tuple[str, Sequence[tuple[float, float]]]]) -> tuple[Any, str] | None:
    """Training loss over epochs, one line per iteration.

    Args:
        curves: (iteration, points of epoch and loss).
    """
    curves = [curve for curve in curves if curve[1]]
    if not curves:
        return None
    figure, axes = new_axes()
    for index, (name, points) in enumerate(curves):
        style = {"color": colour(index), "linestyle": DASHES[index % len(DASHES)], "linewidth": 1.2}
        axes.plot(*zip(*points, strict=True), label=name, marker="." if len(points) == 1 else None, **style)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("epoch")
    axes.set_ylabel("training loss")
    legend(axes)
    said = [f"{name} from {points[0][1]:.2f} to {points[-1][1]:.2f}" for name, points in curves]
    return figure, f"Training loss over epochs: {'; '.join(said)}."
