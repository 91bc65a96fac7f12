"""The report's figures of quality control: ratings, attempts, and what became of the samples asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

from pada_graph.html.svg import INK, LINE, PAPER, colour, drawn, legend, new_axes
from pada_graph.state import Fates

_GOOD, _BAD = 2, 1  # colour numbers; the bad ones are striped too
_VERDICTS = {"passed": (_GOOD, None), "best kept": (0, "..."), "dropped": (_BAD, "///")}
_STEPS = {  # what is left after each fate, in words
    "failed": "usable",
    "duplicate": "new",
    "contaminated": "apart from held-out rows",
    "rejected": "accepted",
}


@drawn
def ratings(accepted: Sequence[float], others: Sequence[float], threshold: float) -> tuple[Any, str] | None:
    """How the judge rated drafts: those that were accepted in the end, and the others.

    Args:
        accepted: scores, 1 to 10, of the reviews of accepted samples.
        others: of all other reviews.
        threshold: the batch score that passes.
    """
    if not accepted and not others:
        return None
    figure, axes = new_axes()
    bins = [half / 2 - 0.25 for half in range(2, 22)]
    style = {"edgecolor": PAPER, "linewidth": 0.8, "rwidth": 0.9}
    _, _, bars = axes.hist(
        [list(accepted), list(others)],
        bins,
        stacked=True,
        color=[colour(_GOOD), colour(_BAD)],
        label=["accepted", "not accepted"],
        **style,
    )
    for bar in bars[1]:
        bar.set_hatch("///")
    axes.axvline(threshold, color=INK, linewidth=1.2, linestyle="--", label=f"threshold {threshold:g}")
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_xlim(0.7, 10.3)
    axes.set_xlabel("score of one draft")
    axes.set_ylabel("reviews")
    legend(axes)
    means = [f"{len(values)} {name}{f', mean {sum(values) / len(values):.1f}' if values else ''}"
             for name, values in (("of accepted samples", accepted), ("of others", others))]  # fmt: skip
    return figure, f"Distribution of the judge's scores: reviews {'; '.join(means)}. The threshold is {threshold:g}."


@drawn
def attempts(batches: Mapping[str, Mapping[int, int]]) -> tuple[Any, str] | None:
    """Batches by the number of attempts they took.

    Args:
        batches: verdict ("passed", "best kept", "dropped") -> attempts -> batches.
    """
    turns = sorted({turn for counts in batches.values() for turn in counts})
    if not turns:
        return None
    figure, axes = new_axes()
    base = [0] * len(turns)
    for name, counts in batches.items():
        heights = [counts.get(turn, 0) for turn in turns]
        if any(heights):
            fill, hatch = _VERDICTS[name]
            style = {"edgecolor": PAPER, "linewidth": 0.8, "width": 0.6, "hatch": hatch}
            axes.bar(turns, heights, bottom=base, color=colour(fill), label=name, **style)
        base = [low + height for low, height in zip(base, heights, strict=True)]
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_xlim(0.4, max(turns) + 0.6)
    axes.set_xlabel("attempts")
    axes.set_ylabel("batches")
    legend(axes)
    said = "; ".join(
        f"{turn}: {', '.join(f'{counts.get(turn, 0)} {name}' for name, counts in batches.items())}" for turn in turns
    )
    return figure, f"Batches by number of attempts. {said}."


@drawn
def funnel(books: Fates, asked: str) -> tuple[Any, str] | None:
    """From what was asked for to what was accepted, one bar for what each fate leaves; `asked` says of what."""
    if not books["requested"]:
        return None
    figure, axes = new_axes(height=2.6, grid="x")
    left: int = books["requested"]
    bars: list[tuple[str, int, str]] = [("requested", left, "")]
    for fate, name in _STEPS.items():
        lost: int = books[fate]  # type: ignore[literal-required]
        left -= lost
        bars.append((name, left, f"−{lost} {fate}" if lost else ""))
    for place, (_, width, lost_words) in enumerate(bars):
        before = bars[max(0, place - 1)][1]
        fill = colour(_GOOD if place == len(bars) - 1 else 0)
        axes.barh(place, width, 0.7, color=fill, edgecolor=PAPER, linewidth=0.8)
        axes.barh(place, before - width, 0.7, left=width, color=LINE, edgecolor=PAPER, linewidth=0.8, hatch="///")
        words = f" {width}  {lost_words}"
        axes.text(before, place, words, va="center", color=INK, fontsize=10)
    axes.set_yticks(range(len(bars)), [name for name, *_ in bars])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.35 * books["requested"])
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel(asked.removeprefix("the "))
    said = ", ".join(f"{width} {name}{f' ({words})' if words else ''}" for name, width, words in bars)
    return figure, f"What became of {asked}: {said}."
