"""Studio: the whole agent offline in a minute or two."""

from pada_graph import build_graph
from pada_graph.demo.studio import TinyDemo

graph = build_graph(config_schema=TinyDemo)
