"""Studio: the whole agent."""

from pada_graph import build_graph
from pada_graph.studio import StudioConfig

graph = build_graph(config_schema=StudioConfig)
