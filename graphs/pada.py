"""Studio: the whole agent."""

from pada_graph import build_graph

graph = build_graph()
