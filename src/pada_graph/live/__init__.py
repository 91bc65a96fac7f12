"""What people see of a run while it works: panel, lines, JSON events, and `pada-graph status`."""

from pada_graph.live.board import Board
from pada_graph.live.forecast import Forecast
from pada_graph.live.status import print_status, read_status
from pada_graph.live.watching import going_on, watching, write_json
from pada_graph.live.words import clock, counted, describe, score_table, score_text, spent_words

__all__ = [
    "Board",
    "Forecast",
    "clock",
    "counted",
    "describe",
    "going_on",
    "print_status",
    "read_status",
    "score_table",
    "score_text",
    "spent_words",
    "watching",
    "write_json",
]
