"""Runs in MLflow or trackio, for those who keep them there: `pada-graph run --track mlflow`. Off unless asked for."""

from pada_graph.tracking.callback import tracked
from pada_graph.tracking.trackers import TrackerName

__all__ = ["TrackerName", "tracked"]
