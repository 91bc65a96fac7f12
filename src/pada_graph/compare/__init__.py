"""`pada-graph compare`: finished runs side by side, and which differences between them are more than noise.

runs.py reads run directories and refuses what cannot be compared, tables.py computes, caveats.py says what to
bear in mind, show.py prints, page.py writes a page.
"""

from pada_graph.compare.page import write_page
from pada_graph.compare.runs import load_run
from pada_graph.compare.show import print_comparison, print_models
from pada_graph.compare.tables import Comparison, ModelRow, compare_runs, model_rows

__all__ = [
    "Comparison",
    "ModelRow",
    "compare_runs",
    "load_run",
    "model_rows",
    "print_comparison",
    "print_models",
    "write_page",
]
