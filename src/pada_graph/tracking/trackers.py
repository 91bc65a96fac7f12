"""MLflow and trackio behind one protocol, imported here alone, and only when asked for.

Where they keep things is their own setting: MLFLOW_TRACKING_URI, TRACKIO_DIR.
"""

import contextlib
import io
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from pada_graph.errors import InputError
from pada_graph.tracking.metrics import Point

TrackerName = Literal["mlflow", "trackio"]
PROJECT = "pada-graph"  # the experiment (MLflow) or project (trackio), where no environment variable names another
LONGEST = 500  # characters of a setting: MLflow servers before 2.8 refuse more


class Tracker(Protocol):
    """One run of ours in one tracking library."""

    def begin(self, name: str, known: str | None, settings: dict[str, str]) -> str:
        """Begin a run, or go on with the `known` one; return its id there."""
        ...

    def log(self, points: Sequence[Point]) -> None:
        """Send numbers."""
        ...

    def end(self, results: Sequence[Path]) -> None:
        """Close the run; a finished one with the files of its results, one that stopped without any."""
        ...


class Mlflow:
    """MLflow: a run of the experiment MLFLOW_EXPERIMENT_NAME, or pada-graph."""

    def __init__(self) -> None:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        try:
            self._client = MlflowClient()
            found = self._client.get_experiment_by_name(name)
            self._experiment = found.experiment_id if found else self._client.create_experiment(name)
        except MlflowException as error:
            raise InputError(
                f"--track mlflow: MLflow cannot be used ({error}). Set MLFLOW_TRACKING_URI to a server that answers, "
                "or run without --track; no run was begun."
            ) from error

    def begin(self, name: str, known: str | None, settings: dict[str, str]) -> str:
        """Begin a run with the settings as its parameters, or go on with the known one."""
        from mlflow.entities import Param

        if known:
            self._run = known
            self._client.update_run(known, status="RUNNING")
        else:
            self._run = self._client.create_run(self._experiment, run_name=name).info.run_id
            params = [Param(key, value) for key, value in settings.items()]
            for start in range(0, len(params), 100):  # what a server takes in one request
                self._client.log_batch(self._run, params=params[start : start + 100])
        return self._run

    def log(self, points: Sequence[Point]) -> None:
        """Send numbers in one request."""
        from mlflow.entities import Metric

        now = round(1000 * time.time())
        self._client.log_batch(self._run, metrics=[Metric(p.name, p.value, now, p.step) for p in points])

    def end(self, results: Sequence[Path]) -> None:
        """Close the run: FINISHED with its results as artifacts, or KILLED, which a resumed run takes back."""
        for path in results:
            self._client.log_artifact(self._run, str(path))
        self._client.set_terminated(self._run, "FINISHED" if results else "KILLED")


class Trackio:
    """trackio: a run of the project pada-graph. It writes into a local database; `trackio show` opens it."""

    def __init__(self) -> None:
        import trackio

        self._trackio: Any = trackio

    def begin(self, name: str, known: str | None, settings: dict[str, str]) -> str:
        """Begin a run with the settings as its configuration, or go on with the known one."""
        with _silent():  # it prints, and standard output may be JSON
            self._run = self._trackio.init(
                project=PROJECT,
                name=known or name,
                config=settings,
                resume="allow" if known else "never",
                embed=False,
                auto_log_cpu=False,
                auto_log_gpu=False,
            )
        return str(self._run.name)

    def log(self, points: Sequence[Point]) -> None:
        """Send numbers."""
        for point in points:
            self._run.log({point.name: point.value}, step=point.step)

    def end(self, results: Sequence[Path]) -> None:
        """Close the run; trackio knows no state of it."""
        with _silent():
            self._trackio.finish()


def open_tracker(name: TrackerName) -> Tracker:
    """Load a tracking library.

    Raises:
        InputError: it is not installed, or its server cannot be used.
    """
    try:
        return Mlflow() if name == "mlflow" else Trackio()
    except ImportError as error:
        raise InputError(
            f'--track {name}: {name} is not installed ({error}). Run: pip install "pada-graph[tracking]"'
        ) from error


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()):
        yield
