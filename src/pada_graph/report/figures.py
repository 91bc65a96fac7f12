"""The report's figures as inline SVG that takes its colours and font from the page, so it fits light and dark.

No text of data or models is drawn: patterns are labelled by their key letters, which the page's legend explains.
Matplotlib is the extra "report"; without it every function returns None.
"""

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

# Matplotlib draws in these colours; the page's own replace them.
_INK, _LINE, _ON = "#010101", "#020202", "#030303"
SERIES = 8  # colours that the page defines: --c0 ... --c7
_SPLITS = {"validation": ("o", "-"), "test": ("s", "none"), "train": ("^", ":")}


def accuracy(names: Sequence[str], scores: Mapping[str, Sequence[Any]]) -> str | None:
    """Accuracy of every model with its 95 % interval.

    Args:
        names: the models, left to right; the first is the untuned one, which no line joins.
        scores: split -> one Score or None per model.
    """
    if not available() or not any(score for split in scores.values() for score in split):
        return None
    figure, axes = _axes()
    for index, (split, (marker, line)) in enumerate(_SPLITS.items()):
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
        style = {"color": _colour(index), "marker": marker, "markersize": 5, "linewidth": 1.2}
        axes.errorbar(x, y, reach, linestyle="none", capsize=3, label=split, **style)
        tuned = [(place, height) for place, height in zip(x, y, strict=True) if place > 0.5]
        if tuned:
            axes.plot(*zip(*tuned, strict=True), linestyle=line, **style)
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_ylabel("accuracy, %")
    _legend(axes)
    return _svg(figure, "Accuracy of every model on each split with 95 % intervals; the table above holds the numbers.")


def failures(bars: Sequence[tuple[str, Sequence[tuple[str, int, float]], Sequence[str]]]) -> str | None:
    """Validation failures per pattern, one stacked bar per iteration (Figure 8).

    Args:
        bars: (iteration, segments, lines of text above the bar); a segment is (key letter, colour number or -1 for
            "not analysed", height).
    """
    if not available() or not bars:
        return None
    figure, axes = _axes(width=max(4.6, 0.9 * len(bars)), height=3.4)
    top = max(sum(height for *_, height in segments) for _, segments, _ in bars) or 1
    for place, (_, segments, above) in enumerate(bars):
        base = 0.0
        for key, colour, height in segments:
            fill = _LINE if colour < 0 else _colour(colour)
            hatch = "///" if colour >= SERIES else None
            axes.bar(place, height, 0.6, bottom=base, color=fill, edgecolor=_ON, linewidth=0.8, hatch=hatch)
            if height > 0.07 * top:
                ink = _INK if colour < 0 else _ON
                under = {"facecolor": fill, "edgecolor": "none", "pad": 1}  # no stripe crosses the letter
                axes.text(place, base + height / 2, key, ha="center", va="center", color=ink, fontsize=10, bbox=under)
            base += height
        for line, text in enumerate(reversed(above)):
            size = 10 if line == len(above) - 1 else 8
            paper = {"facecolor": _ON, "edgecolor": "none", "pad": 0.5}  # so that no grid line crosses the text
            axes.text(
                place, base + (0.03 + 0.075 * line) * top, text, ha="center", color=_INK, fontsize=size, bbox=paper
            )
    axes.set_xticks(range(len(bars)), [name for name, *_ in bars])
    axes.set_xlim(-0.6, len(bars) - 0.4)
    axes.set_ylim(0, 1.3 * top)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("iteration")
    axes.set_ylabel("validation failures")
    return _svg(
        figure, "Validation failures per error pattern, one stacked bar per iteration; the table below has the numbers."
    )


def inertia(curves: Sequence[tuple[str, Sequence[float], int]]) -> str | None:
    """K-means inertia over the number of clusters, with the chosen one ringed.

    Args:
        curves: (round, inertia for k = 1, 2, ..., chosen k).
    """
    curves = [curve for curve in curves if curve[1]]
    if not available() or not curves:
        return None
    figure, axes = _axes()
    for index, (name, values, chosen) in enumerate(curves):
        colour = _colour(index)
        axes.plot(
            range(1, len(values) + 1), values, color=colour, marker=".", linewidth=1.2, label=f"{name}: k = {chosen}"
        )
        if chosen <= len(values):
            axes.plot(chosen, values[chosen - 1], "o", markersize=11, markerfacecolor="none", markeredgecolor=colour)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("number of clusters k")
    axes.set_ylabel("inertia")
    _legend(axes)
    return _svg(figure, "K-means inertia over the number of clusters, the chosen number ringed.")


def loss(curves: Sequence[tuple[str, Sequence[tuple[float, float]]]]) -> str | None:
    """Training loss over epochs, one line per iteration.

    Args:
        curves: (iteration, points of epoch and loss).
    """
    curves = [curve for curve in curves if curve[1]]
    if not available() or not curves:
        return None
    figure, axes = _axes()
    for index, (name, points) in enumerate(curves):
        style = ("-", "--", ":", "-.")[index % 4]
        axes.plot(*zip(*points, strict=True), color=_colour(index), linestyle=style, linewidth=1.2, label=name)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("epoch")
    axes.set_ylabel("training loss")
    _legend(axes)
    return _svg(figure, "Training loss over epochs, one line per iteration.")


def available() -> bool:
    """Whether matplotlib is installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def _colour(index: int) -> str:
    return f"#0401{index % SERIES:02x}"


def _axes(width: float = 4.6, height: float = 2.9) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.patch.set_visible(False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_LINE)
    axes.tick_params(color=_LINE, labelcolor=_INK)
    axes.xaxis.label.set_color(_INK)
    axes.yaxis.label.set_color(_INK)
    axes.yaxis.grid(True, color=_LINE, linewidth=0.6, alpha=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def _legend(axes: Any) -> None:
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False, labelcolor=_INK, fontsize=10)


def _svg(figure: Any, alt: str) -> str:
    """Return an <svg> element: scalable, named for screen readers, without fixed colours, size, font or unused ids."""
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "pada-graph"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r' id="([^"]+)"', lambda match: match[0] if f"#{match[1]}" in svg else "", svg)
    svg = svg.replace(_INK, "currentColor").replace(_LINE, "var(--line)").replace(_ON, "var(--paper)")
    svg = re.sub(r"#0401([0-9a-f]{2})", lambda match: f"var(--c{int(match[1], 16)})", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1)
