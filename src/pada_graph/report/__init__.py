"""One self-contained HTML page per run, made from the run directory alone."""

from pada_graph.report.headline import headline
from pada_graph.report.page import build_report

__all__ = ["build_report", "headline"]
