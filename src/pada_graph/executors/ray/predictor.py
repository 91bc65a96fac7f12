"""Data-parallel evaluation: one split's prompts in batches, answered by several workers with the local predictor."""

import os
import threading
from collections.abc import Iterator, Sequence
from math import ceil
from pathlib import Path
from typing import Any

from pada_graph.config import Student
from pada_graph.errors import PadaError, StoppedError
from pada_graph.executors.ray.cluster import Cluster
from pada_graph.services import Completion

RETRIES = 3  # of each worker, and of each batch


class RayPredictor:
    """Answers with the base model or one adapter on the workers of a cluster; texts equal the local predictor's.

    That is so in float32: batches are others than a single process makes, and in bfloat16 padding may flip a near-tie.
    Workers start with the first prompts and keep the model until `release`, or until this object goes.
    """

    def __init__(self, cluster: Cluster, student: Student):
        self._cluster, self._student = cluster, student
        self._workers: list[Any] = []
        self._lock = threading.Lock()

    def predict(
        self, adapter: Path | None, prompts: Sequence[str], *, max_new_tokens: int, stop: Sequence[str]
    ) -> Iterator[Completion]:
        """Answer every prompt, longest first; completions come as each batch ends, on whichever worker.

        The batch of a worker that dies is done again.

        Raises:
            InputError: the model cannot be loaded.
            StoppedError: the adapter is damaged, or another base model's or rank's; workers died again and again.
        """
        import ray
        from ray.util import ActorPool

        folder = None if adapter is None else str(adapter.absolute())
        order = sorted(range(len(prompts)), key=lambda index: -len(prompts[index]))
        size = min(self._student.inference.batch_size, ceil(len(order) / self._cluster.workers) or 1)
        batches = [order[start : start + size] for start in range(0, len(order), size)]
        pool = ActorPool(self._at_work())

        def ask(worker: Any, batch: list[int]) -> Any:
            return worker.answer.remote(folder, [prompts[index] for index in batch], batch, max_new_tokens, list(stop))

        try:
            for answers in pool.map_unordered(ask, batches):
                yield from (Completion(*answer) for answer in answers)
        except ray.exceptions.RayError as error:
            self.release()
            if isinstance(cause := getattr(error, "cause", None), PadaError):
                raise cause from None
            raise StoppedError(
                f"The students' workers on Ray failed ({str(error).strip().rpartition(chr(10))[2]}). Run the same "
                "command again: the answers that are there are kept."
            ) from error

    def release(self) -> None:
        """End the workers: their devices are free. The next prompts start new ones."""
        import ray

        with self._lock:
            while self._workers:
                ray.kill(self._workers.pop())

    def _at_work(self) -> list[Any]:
        import ray

        with self._lock:
            if not self._workers:
                resources = self._cluster.resources
                start = ray.remote(_Worker).options(
                    num_cpus=resources["CPU"],
                    num_gpus=resources.get("GPU", 0),
                    max_restarts=RETRIES,
                    max_task_retries=RETRIES,
                )
                student = self._student.model_dump_json()
                self._workers = [start.remote(student, str(Path.cwd())) for _ in range(self._cluster.workers)]
            return list(self._workers)


class _Worker:
    """In a process of its own: a predictor, and where the models' relative names begin."""

    def __init__(self, student: str, folder: str):
        from pada_graph.student.inference import TransformersPredictor

        if Path(folder).is_dir():  # another machine may lack it
            os.chdir(folder)
        self._predictor = TransformersPredictor(Student.model_validate_json(student))

    def answer(
        self, adapter: str | None, prompts: list[str], indices: list[int], max_new_tokens: int, stop: list[str]
    ) -> list[tuple[int, str, bool]]:
        """Answer a batch: index in the split, text, truncated."""
        place = None if adapter is None else Path(adapter)
        answers = self._predictor.predict(place, prompts, max_new_tokens=max_new_tokens, stop=stop)
        return [(indices[answer.index], answer.text, answer.truncated) for answer in answers]
