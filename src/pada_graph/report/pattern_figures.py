"""The report's figures of error patterns: stacked bars (Figure 8), the map of the failures, the k-means curve.

Patterns are labelled by their key letters, which the tables explain.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from pada_graph.html.svg import DASHES, INK, LINE, MARKERS, PAPER, SERIES, colour, drawn, legend, new_axes


@drawn
def failures(bars: Sequence[tuple[str, Sequence[tuple[str, int, float]], Sequence[str]]]) -> tuple[Any, str] | None:
    """Validation failures per pattern, one stacked bar per iteration (Figure 8).

    Args:
        bars: (iteration, segments, lines of text above the bar); a segment is (key letter, colour number or -1 for
            "not analysed", height).
    """
    if not bars:
        return None
    figure, axes = new_axes(width=max(4.6, 0.9 * len(bars)), height=3.4)
    top = max(sum(height for *_, height in segments) for _, segments, _ in bars) or 1
    for place, (_, segments, above) in enumerate(bars):
        base = 0.0
        for key, number, height in segments:
            fill = LINE if number < 0 else colour(number)
            hatch = "///" if number >= SERIES else None
            axes.bar(place, height, 0.6, bottom=base, color=fill, edgecolor=PAPER, linewidth=0.8, hatch=hatch)
            if height > 0.07 * top:
                ink = INK if number < 0 else PAPER
                under = {"facecolor": fill, "edgecolor": "none", "pad": 1}  # no stripe crosses the letter
                axes.text(place, base + height / 2, key, ha="center", va="center", color=ink, fontsize=10, bbox=under)
            base += height
        for line, text in enumerate(reversed(above)):
            size = 10 if line == len(above) - 1 else 8
            paper = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.5}  # so that no grid line crosses the text
            axes.text(
                place, base + (0.03 + 0.075 * line) * top, text, ha="center", color=INK, fontsize=size, bbox=paper
            )
    axes.set_xticks(range(len(bars)), [name for name, *_ in bars])
    axes.set_xlim(-0.6, len(bars) - 0.4)
    axes.set_ylim(0, 1.3 * top)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("iteration")
    axes.set_ylabel("validation failures")
    said = [
        f"iteration {name}: {', '.join(f'{key} {height:.0f}' for key, _, height in segments) or 'none'}"
        for name, segments, _ in bars
    ]
    return figure, f"Validation failures per error pattern, one stacked bar per iteration. {'; '.join(said)}."


@drawn
def failure_map(
    name: str, points: Sequence[tuple[str, int, float, float]], explained: Sequence[float]
) -> tuple[Any, str] | None:
    """The analysed failures of one round in a plane, each cluster with its own mark and its letter.

    Args:
        name: of the round.
        points: (key letter, colour number, x, y) of every failure.
        explained: share of the variance that each of the two axes shows.
    """
    if not points:
        return None
    figure, axes = new_axes(height=3.4, grid="both")
    groups: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for key, number, x, y in points:
        groups.setdefault((number, key), []).append((x, y))
    for (number, key), places in sorted(groups.items()):
        at = Counter(places)
        style = {"marker": MARKERS[number % len(MARKERS)], "linewidths": 0.6, "alpha": 0.85}
        sizes = [30 * count for count in at.values()]
        axes.scatter(*zip(*at, strict=True), s=sizes, color=colour(number), edgecolors=PAPER, **style)
        x = sum(x for x, _ in places) / len(places)
        above = {"xytext": (0, 16), "textcoords": "offset points", "ha": "center", "va": "center"}
        box = {"facecolor": PAPER, "edgecolor": colour(number), "boxstyle": "round,pad=0.25", "linewidth": 1.2}
        axes.annotate(key, (x, max(y for _, y in places)), color=INK, fontweight="bold", bbox=box, **above)
    axes.margins(0.15)
    axes.set_aspect("equal", adjustable="datalim")  # distances mean the same both ways
    axes.tick_params(labelbottom=False, labelleft=False, length=0)
    for axis, label, share in zip((axes.xaxis, axes.yaxis), ("first", "second"), explained, strict=True):
        axis.set_label_text(f"{label} component, {100 * share:.0f} % of variance")
    counts = Counter(key for key, *_ in points)
    said = ", ".join(f"{key} {count}" for key, count in sorted(counts.items()))
    return figure, f"Map of the {len(points)} analysed failures of {name}; failures per pattern: {said}."


@drawn
def inertia(curves: Sequence[tuple[str, Sequence[float], int]]) -> tuple[Any, str] | None:
    """K-means inertia over the number of clusters, with the chosen one ringed.

    Args:
        curves: (round, inertia for k = 1, 2, ..., chosen k).
    """
    curves = [curve for curve in curves if curve[1]]
    if not curves:
        return None
    figure, axes = new_axes(height=3.4)
    for index, (name, values, chosen) in enumerate(curves):
        style = {"color": colour(index), "linestyle": DASHES[index % len(DASHES)], "linewidth": 1.2}
        ks = range(1, len(values) + 1)
        axes.plot(ks, values, marker=MARKERS[index % len(MARKERS)], markersize=3.5, label=name, **style)
        if chosen <= len(values):
            place = (chosen, values[chosen - 1])
            axes.plot(*place, "o", markersize=12, markerfacecolor="none", markeredgecolor=colour(index))
            beside = {"xytext": (8, 8 + 3 * index), "textcoords": "offset points"}
            axes.annotate(f"k = {chosen}", place, color=INK, fontsize=10, **beside)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("number of clusters k")
    axes.set_ylabel("inertia")
    legend(axes)
    said = [f"{name}: from {values[0]:.1f} at k = 1 to {values[-1]:.1f} at k = {len(values)}, chosen k = {chosen}"
            for name, values, chosen in curves]  # fmt: skip
    return figure, f"K-means inertia over the number of clusters. {'; '.join(said)}."
