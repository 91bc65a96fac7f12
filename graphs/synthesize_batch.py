"""Studio: one batch of an existing run through generation and quality control, beside the run's own."""

from pada_graph.graph import build_one_batch
from pada_graph.studio import StudioConfig

graph = build_one_batch(config_schema=StudioConfig)
