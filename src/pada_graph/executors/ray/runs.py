"""Several runs side by side, one device each: what a grid of experiments needs, and where scaling is easiest."""

import json
import os
import sys
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pada_graph.config import RunConfig
from pada_graph.config_file import as_given, parse_config
from pada_graph.errors import PadaError
from pada_graph.executors.ray.cluster import check_shared, connect

RETRIES = 3  # of a run whose worker is lost; it goes on where it stopped


def run_side_by_side(jobs: Sequence[tuple[RunConfig, Path]]) -> Iterator[tuple[Path, str | None]]:
    """Run each configuration in its run directory, and yield the directory, and None or what went wrong, as each ends.

    As many run at once as there are devices, at most `ray.workers`. Each is a Ray task, a process of its own, that
    calls `pada_graph.run` with the local executor on one GPU, or on one CPU where there is none. A run whose worker is
    lost is begun again, and goes on by itself. When the iterator is closed or interrupted, so are the runs; the same
    call goes on with them. The first job's `ray` section counts.

    Raises:
        InputError: Ray is not there, or a machine does not see a run directory; before anything is run.
    """
    if not jobs:
        return
    import ray

    settings = jobs[0][0].ray
    cluster = connect(settings)
    for parent in {path.absolute().parent for _, path in jobs}:
        check_shared(parent)
    # One call for each process, so that memory is returned and the number of threads is that of its device.
    task = ray.remote(num_cpus=1, num_gpus=int(cluster.gpu), max_retries=RETRIES, max_calls=1)(_run)
    waiting = deque(jobs)
    running: dict[Any, Path] = {}
    try:
        while waiting or running:
            while waiting and (settings.workers is None or len(running) < settings.workers):
                config, path = waiting.popleft()
                alone = as_given(config.model_copy(update={"executor": "local"}), mode="json")
                running[task.remote(json.dumps(alone), str(path.absolute()), str(Path.cwd()))] = path
            (ended, *_), _ = ray.wait(list(running))
            path = running.pop(ended)
            try:
                yield path, ray.get(ended)
            except ray.exceptions.RayError as error:
                said = str(error).strip().partition("\n")[0]
                yield path, f"{path}: its worker was lost {RETRIES + 1} times, at last with: {said}"
    finally:
        for task_at_work in running:
            ray.cancel(task_at_work, force=True)


def _run(config: str, run_dir: str, folder: str) -> str | None:
    """In a process of its own: one run; returns what went wrong."""
    from pada_graph.runner import run

    if Path(folder).is_dir():  # another machine may lack it
        os.chdir(folder)
    try:
        run(parse_config(json.loads(config), run_dir), run_dir)
    except PadaError as error:
        return str(error)
    except Exception as error:  # of any library: the other runs go on
        traceback.print_exc(file=sys.stderr)
        return f"{type(error).__name__}: {error}"
    return None
