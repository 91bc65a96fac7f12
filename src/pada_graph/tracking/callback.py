"""The callback: takes progress events, and has a thread of its own send them, so that no tracker holds up a run."""

import json
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from pada_graph.rundir import RunDir
from pada_graph.services import Progress
from pada_graph.teacher.secrets import redact
from pada_graph.tracking.metrics import Point, points
from pada_graph.tracking.trackers import LONGEST, Tracker, TrackerName, open_tracker

FILE = "tracking.json"  # the run's id in each tracker, so that a resumed run goes on there
RESULTS = ("metrics.json", "report.html")  # of a finished run
AT_ONCE = 500  # numbers in one request; MLflow servers take 1,000
PATIENCE = 60.0  # seconds that the end of a run waits for what has not been sent


@contextmanager
def tracked(name: TrackerName, run_dir: Path | str) -> Iterator[Progress]:
    """Give a function for `run(..., watch=)` that shows the run in MLflow or trackio.

    A tracker that fails while the run goes on is given up with a warning; the run goes on. docs/watch.md says what is
    sent.

    Args:
        name: "mlflow" or "trackio".
        run_dir: The run's. A run that goes on there goes on in the tracker.

    Raises:
        InputError: the library is not installed, or its server cannot be used.
    """
    sender = _Sender(name, open_tracker(name), RunDir(run_dir))
    try:
        yield sender.take
    finally:
        sender.close()


class _Sender:
    """Sends in a thread of its own what `take` was given."""

    def __init__(self, name: TrackerName, tracker: Tracker, directory: RunDir):
        self._name, self._tracker, self._directory = name, tracker, directory
        self._points: queue.SimpleQueue[Point | None] = queue.SimpleQueue()  # None: the end
        self._thread = threading.Thread(target=self._safely, args=(self._work,), name=f"track-{name}", daemon=True)
        self._begun, self._failed = False, False

    def take(self, event: dict[str, Any]) -> None:
        """Take one progress event. The first one begins the run in the tracker: the run directory is there by then."""
        if not self._begun:
            self._begun = True
            self._safely(self._begin)
            self._thread.start()
        for point in points(event):
            self._points.put(point)

    def close(self) -> None:
        """Send what is left; after a minute, give up."""
        if not self._begun:
            return
        self._points.put(None)
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            self._give_up(f"did not take everything within {PATIENCE:.0f} s")
        results = [self._directory.path(name) for name in RESULTS]
        finished = all(path.exists() for path in results)
        self._safely(lambda: self._tracker.end(results if finished else []))

    def _begin(self) -> None:
        known = self._directory.read_json(FILE) if self._directory.path(FILE).exists() else {}
        name = f"{self._directory.root.resolve().name}-{uuid4().hex[:8]}"
        settings = _flat(self._directory.read_json("resolved_config.json"))
        run = self._tracker.begin(name, known.get(self._name), settings)
        self._directory.write_json(FILE, {**known, self._name: run})

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            self._tracker.log(batch)

    def _next(self) -> list[Point] | None:
        """What has come since; None at the end, once everything before it is sent."""
        point = self._points.get()
        batch: list[Point] = []
        while point is not None:
            batch.append(point)
            if len(batch) == AT_ONCE or self._points.empty():
                return batch
            point = self._points.get()
        if batch:
            self._points.put(None)  # come back for the end
        return batch or None

    def _safely(self, work: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            work()
        except Exception as error:  # whatever a tracking library raises must not reach the run
            self._give_up(f"failed ({type(error).__name__}: {error})")

    def _give_up(self, what: str) -> None:
        self._failed = True
        said = f"--track {self._name}: {self._name} {what}; the rest of this run is not tracked. The run goes on."
        print(redact(said, {}), file=sys.stderr)  # noqa: T201


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """A recorded configuration (which holds no secrets) as dotted names and short texts."""
    found: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            found[f"{prefix}{key}"] = text[:LONGEST]
    return found
