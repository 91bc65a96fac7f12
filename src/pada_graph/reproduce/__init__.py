"""`pada-graph reproduce table1|table2`: the paper's comparison on your models and data, one run directory a cell.

grid.py says which cells there are, cells.py what a cell is, work.py runs those that are missing; tables.py computes,
with differences.py, costs.py and averages.py; blocks.py puts that into words, output.py and page.py write it; paper.py
holds the paper's own figures.
"""

from pada_graph.reproduce.output import print_tables
from pada_graph.reproduce.work import reproduce

__all__ = ["print_tables", "reproduce"]
