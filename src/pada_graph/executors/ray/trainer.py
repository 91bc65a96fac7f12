"""Data-parallel fine-tuning: the local executor with another child process, a driver of Ray Train (fit.py)."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from pada_graph.config import Ray
from pada_graph.executors import forks
from pada_graph.executors.local import Child, LocalTrainer, environment
from pada_graph.executors.ray.cluster import Cluster
from pada_graph.services import Progress, TrainJob
from pada_graph.student import ranks


class RayTrainer(LocalTrainer):
    """Trains each job that is not finished yet on the workers of a cluster.

    The job is the same JSON file as for the local child process, and so are checkpoints, manifest and log. A step
    still has `batch_size` rows, shared equally by the workers. A lost worker is replaced, and all go on from the last
    whole checkpoint.
    """

    def __init__(self, cluster: Cluster, make_room: Callable[[], None] = lambda: None):
        """Train on `cluster`; `make_room` frees the devices that something else of this run holds."""
        super().__init__(make_room)
        self._cluster = cluster

    def train(self, job: TrainJob, progress: Progress) -> None:
        """Make `job.adapter`, as `LocalTrainer.train` does.

        Raises:
            InputError: the model or the rows cannot be used, or the batch not be shared by the workers.
            DivergedError: the loss or the gradient is no longer finite.
            StoppedError: training failed; the message holds the cause.
        """
        places = {name: getattr(job, name).absolute() for name in ("rows", "adapter", "log")}
        super().train(dataclasses.replace(job, **places), progress)

    def _start(self, job_file: Path, output: BinaryIO) -> Child:
        return forks.plain(self._command(job_file), output, environment())  # the libraries are imported by the workers

    def _command(self, job_file: Path) -> list[str]:
        cluster = json.dumps(dataclasses.asdict(self._cluster))
        return ["-m", "pada_graph.executors.ray.fit", str(job_file), forks.PARENT, cluster]


def for_training(cluster: Cluster, settings: Ray, batch_size: int) -> Cluster:
    """The part of a cluster that trains: as many workers as can share a batch equally, unless their number is given.

    Raises:
        InputError: that number cannot share it.
    """
    if settings.workers is not None:
        ranks.share(batch_size, settings.workers)
        return cluster
    workers = next(n for n in range(cluster.workers, 0, -1) if batch_size % n == 0)
    return dataclasses.replace(cluster, workers=workers)
