"""What leaves a finished run: adapter, merged model and synthetic data, each a folder as the hub has them."""

from pada_graph.export.folders import Exported, export_run
from pada_graph.export.hub import push
from pada_graph.export.show import print_exported

__all__ = ["Exported", "export_run", "print_exported", "push"]
