"""`pada-graph preview`: a handful of failures carried through to three scored samples, for a person to read."""

from pada_graph.preview.rows import print_train_rows
from pada_graph.preview.show import print_preview
from pada_graph.preview.small_round import Preview, run_preview

__all__ = ["Preview", "print_preview", "print_train_rows", "run_preview"]
