"""PaDA-Agent as a LangGraph state machine: fine-tune, find failure patterns, write data against them, fine-tune again.

    from pada_graph import RunConfig, build_graph, run

The names load on first use, so that importing the package is quick.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pada_graph.telemetry import switch_off

if TYPE_CHECKING:
    from pada_graph.config import RunConfig
    from pada_graph.config_file import load_config, parse_config
    from pada_graph.graph import build_graph
    from pada_graph.runner import run
    from pada_graph.services import Services
    from pada_graph.tracking import tracked

__all__ = ["RunConfig", "Services", "build_graph", "load_config", "parse_config", "run", "tracked"]

switch_off()
# Read when torch is imported; left as it is where you have set it. Threads that wait for each other sleep: spinning,
# they starve whatever shares their cores, and two of them on a shared core compute less than one.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

_HOME = {
    "RunConfig": "config",
    "Services": "services",
    "build_graph": "graph",
    "load_config": "config_file",
    "parse_config": "config_file",
    "run": "runner",
    "tracked": "tracking",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pada_graph' has no attribute {name!r}")
    return getattr(import_module(f"pada_graph.{_HOME[name]}"), name)
