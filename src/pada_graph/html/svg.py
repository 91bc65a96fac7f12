"""Figures as inline SVG that takes its colours and font from the page, so it fits light, dark and paper.

Matplotlib is the extra "report". No text of data or models is drawn: what a figure calls A, a table explains.
"""

import io
import re
from collections.abc import Callable
from functools import wraps
from html import escape
from typing import Any, Literal, ParamSpec

# Matplotlib draws in these colours; the page's own replace them.
INK, LINE, PAPER = "#010101", "#020202", "#030303"
SERIES = 8  # colours that the page defines: --c0 ... --c7
MARKERS = "os^DvPX*"  # one shape a colour: nothing is told by colour alone
DASHES = ("-", "--", ":", "-.")

P = ParamSpec("P")


def colour(index: int) -> str:
    """The page's colour of series `index`; from the ninth on they repeat."""
    return f"#0401{index % SERIES:02x}"


def available() -> bool:
    """Whether matplotlib is installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def drawn(draw: Callable[P, tuple[Any, str] | None]) -> Callable[P, str | None]:
    """Make `draw`, which returns a figure and what it shows in words, return an <svg> element.

    None where there is nothing to draw, or no matplotlib to draw it with.
    """

    @wraps(draw)
    def to_svg(*args: P.args, **kwargs: P.kwargs) -> str | None:
        found = draw(*args, **kwargs) if available() else None
        return _svg(*found) if found else None

    return to_svg


def markup(figure: str | None) -> Any:
    """A figure for a template, which escapes everything else."""
    from markupsafe import Markup

    return Markup(figure) if figure else None


def new_axes(width: float = 4.6, height: float = 2.9, grid: Literal["x", "y", "both"] = "y") -> tuple[Any, Any]:
    """A figure and its axes, in inches; `grid` names those with lines."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.patch.set_visible(False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    axes.tick_params(color=LINE, labelcolor=INK)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.grid(True, axis=grid, color=LINE, linewidth=0.6, alpha=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def legend(axes: Any, columns: int = 3) -> None:
    """A legend above the axes."""
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=columns, frameon=False, labelcolor=INK, fontsize=10)


def _svg(figure: Any, alt: str) -> str:
    """Return an <svg> element: scalable, named for screen readers, without fixed colours, size, font or unused ids.

    The ids that are left are salted with `alt`: no two figures of a page share one.
    """
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": alt}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style .*?</style>", "", svg, flags=re.DOTALL)  # its style is the page's
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r' id="([^"]+)"', lambda match: match[0] if f"#{match[1]}" in svg else "", svg)
    svg = svg.replace(INK, "currentColor").replace(LINE, "var(--line)").replace(PAPER, "var(--paper)")
    svg = re.sub(r"#0401([0-9a-f]{2})", lambda match: f"var(--c{int(match[1], 16)})", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1)
