"""Studio: the Pattern Analysis Agent on a run directory that has predictions, beside the run's own analysis."""

from pada_graph.graph import build_pattern_analysis
from pada_graph.studio import StudioConfig

graph = build_pattern_analysis(config_schema=StudioConfig, trial=True)
