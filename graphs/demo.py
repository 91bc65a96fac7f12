"""Studio: the whole agent offline in seconds."""

from pada_graph import build_graph
from pada_graph.demo.studio import TinyDemo

graph = build_graph(config_schema=TinyDemo)
