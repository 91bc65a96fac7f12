"""The report's figures of error patterns: stacked bars (Figure 8), the map of the failures, the k-means curve.

Patterns are labelled by their key letters, which the tables explain.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pada_graph.html.svg import DASHES, INK, LINE, MARKERS, PAPER, SERIES, colour, drawn, legend, new_axes

Group = tuple[int, str]  # colour number and key letter of a cluster
Place = tuple[float, float]
_MARK = 30  # area of a failure's mark in square points
_BESIDE: list[Place] = [
    (0, 17),
    (0, -17),
    (17, 0),
    (-17, 0),
    (12, 12),
    (-12, 12),
    (-12, -12),
    (12, -12),
]  # a letter, in points
_CLEAR = 12.0  # points between a letter's middle and what it would hide


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
    groups: dict[Group, list[Place]] = {}
    for key, number, x, y in points:
        groups.setdefault((number, key), []).append((x, y))
    for (number, _), places in sorted(groups.items()):
        at = Counter(places)
        hollow = number // SERIES % 2 == 1  # colours and markers repeat from the ninth on
        fill = {"facecolors": PAPER, "edgecolors": colour(number), "linewidths": 1.4}
        style = fill if hollow else {"color": colour(number), "edgecolors": PAPER, "linewidths": 0.6}
        sizes = [_MARK * count for count in at.values()]
        axes.scatter(*zip(*at, strict=True), s=sizes, marker=MARKERS[number % len(MARKERS)], alpha=0.85, **style)
    axes.margins(0.15)
    axes.set_aspect("equal", adjustable="datalim")  # distances mean the same both ways
    axes.tick_params(labelbottom=False, labelleft=False, length=0)
    for axis, label, share in zip((axes.xaxis, axes.yaxis), ("first", "second"), explained, strict=True):
        axis.set_label_text(f"{label} component, {100 * share:.0f} % of variance")
    for (number, key), (place, offset) in _letter_places(figure, axes, groups).items():
        away = {"xytext": offset, "textcoords": "offset points", "ha": "center", "va": "center"}
        box = {"facecolor": PAPER, "edgecolor": colour(number), "boxstyle": "round,pad=0.25", "linewidth": 1.2}
        axes.annotate(key, place, color=INK, fontweight="bold", bbox=box, **away)
    counts = Counter(key for key, *_ in points)
    said = ", ".join(f"{key} {count}" for key, count in sorted(counts.items()))
    return figure, f"Map of the {len(points)} analysed failures of {name}; failures per pattern: {said}."


def _letter_places(figure: Any, axes: Any, groups: Mapping[Group, Sequence[Place]]) -> dict[Group, tuple[Place, Place]]:
    """Where each cluster's letter hides no mark: beside one of its own marks, above the topmost if that is free.

    Returns:
        Group -> (mark, offset of the letter from it in points).
    """
    figure.draw_without_rendering()  # only now is it known how far apart the marks are on the page

    def on_page(place: Place) -> Place:
        x, y = axes.transData.transform(place) * 72 / figure.dpi
        return float(x), float(y)

    marks = Counter(place for places in groups.values() for place in places)
    taken = [(on_page(place), math.sqrt(_MARK * count) / 2) for place, count in marks.items()]  # middle and radius

    def room(place: Place, offset: Place) -> float:
        letter = (on_page(place)[0] + offset[0], on_page(place)[1] + offset[1])
        return min(_CLEAR, *(math.dist(letter, middle) - radius for middle, radius in taken))

    found: dict[Group, tuple[Place, Place]] = {}
    for group, places in sorted(groups.items()):
        downwards = sorted(set(places), key=lambda place: -place[1])
        beside = [(place, offset) for place in downwards for offset in _BESIDE]
        place, offset = found[group] = max(beside, key=lambda spot: room(*spot))  # the first of the freest
        taken.append(((on_page(place)[0] + offset[0], on_page(place)[1] + offset[1]), _CLEAR))
    return found


@drawn
def inertia(curves: Sequence[tuple[int, Sequence[float], int]]) -> tuple[Any, str] | None:
    """K-means inertia over the number of clusters, with the chosen ones ringed and named once each.

    Args:
        curves: (round, inertia for k = 1, 2, ..., chosen k).
    """
    curves = [curve for curve in curves if curve[1]]
    if not curves:
        return None
    figure, axes = new_axes(height=3.4)
    for index, (number, values, chosen) in enumerate(curves):
        style = {"color": colour(index), "linestyle": DASHES[index % len(DASHES)], "linewidth": 1.2}
        mark = {"marker": MARKERS[index % len(MARKERS)], "markersize": 3.5}
        axes.plot(range(1, len(values) + 1), values, label=f"round {number}", **mark, **style)
        if chosen <= len(values):
            ring = {"markersize": 12, "markerfacecolor": "none", "markeredgecolor": colour(index)}
            axes.plot(chosen, values[chosen - 1], "o", **ring)
    ringed = [(chosen, number, values[chosen - 1]) for number, values, chosen in curves if chosen <= len(values)]
    for turn, k in enumerate(sorted({k for k, *_ in ringed}, reverse=True)):
        rounds = [str(number) for chosen, number, _ in ringed if chosen == k]
        place = (k, max(height for chosen, _, height in ringed if chosen == k))
        # Inertia falls with k: a label that is higher by a line than the next one to the right hides none.
        beside = {"xytext": (8, 8 + 13 * turn), "textcoords": "offset points"}
        name = f"k = {k} (round{'s' * (len(rounds) > 1)} {', '.join(rounds)})" if len(curves) > 1 else f"k = {k}"
        axes.annotate(name, place, color=INK, fontsize=10, **beside)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("number of clusters k")
    axes.set_ylabel("inertia")
    legend(axes)
    said = [
        f"round {number}: from {values[0]:.1f} at k = 1 to {values[-1]:.1f} at k = {len(values)}, chosen k = {chosen}"
        for number, values, chosen in curves
    ]
    return figure, f"K-means inertia over the number of clusters. {'; '.join(said)}."
