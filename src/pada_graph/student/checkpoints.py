"""What an unfinished training has left, in `<adapter>.tmp`: its checkpoints, and the log up to the one that counts.

A checkpoint counts once its manifest says so: transformers writes into checkpoint-N in place, and trusts its name.
"""

import json
import os
import shutil
from itertools import takewhile
from pathlib import Path

from pada_graph.services import TrainJob
from pada_graph.student import manifest


def work_dir(job: TrainJob) -> Path:
    """Where an unfinished adapter lives."""
    return job.adapter.with_name(f"{job.adapter.name}.tmp")


def newest_checkpoint(job: TrainJob) -> tuple[int, Path] | None:
    """Step and folder of the newest whole checkpoint of this very job; torn ones and other jobs' are passed over."""
    inputs = manifest.job_hash(job)
    found = ((int(folder.name.rpartition("-")[2]), folder) for folder in work_dir(job).glob("checkpoint-*"))
    return next((entry for entry in sorted(found, reverse=True) if manifest.matches(entry[1], inputs)), None)


def trim_log(log: Path, steps: int) -> None:
    """Keep the first `steps` steps of a log, those that the checkpoint to resume from has seen.

    In place: somebody may be reading it.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch()
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = takewhile(lambda line: line.endswith("\n") and json.loads(line)["step"] <= steps, lines)
    os.truncate(log, len("".join(kept).encode()))


def clear(job: TrainJob, steps: int) -> None:
    """Take away what an earlier process left after the checkpoint to resume from, `steps` steps in."""
    trim_log(job.log, steps)
    folder, inputs = work_dir(job), manifest.job_hash(job)
    for found in folder.glob("checkpoint-*"):
        if not manifest.matches(found, inputs):
            shutil.rmtree(found)
    folder.mkdir(parents=True, exist_ok=True)
