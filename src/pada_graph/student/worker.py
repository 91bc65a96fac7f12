"""Training in a process of its own: `python -m pada_graph.student.worker JOB.json [PARENT_PID]`.

JOB.json holds the fields of `services.TrainJob`. Progress is the job's log file. A failure that has a known cause ends
with exit status 1 and one JSON line on stderr, {"error": message, "kind": "InputError" | "StoppedError"}; any other one
with Python's traceback. With PARENT_PID the worker ends when that process does.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pada_graph.errors import PadaError, StoppedError
from pada_graph.services import TrainJob


def job_from_json(text: str) -> TrainJob:
    """Read a job that `job_to_json` wrote."""
    fields: dict[str, Any] = json.loads(text)
    fields.update({name: Path(fields[name]) for name in ("rows", "adapter", "log")})
    return TrainJob(**fields)


def job_to_json(job: TrainJob) -> str:
    """Write a job as JSON, paths as strings."""
    return json.dumps(vars(job), indent=2, default=str) + "\n"


def main(arguments: list[str]) -> int:
    """Train the job and return the exit status."""
    if len(arguments) > 1:
        threading.Thread(target=_end_with, args=(int(arguments[1]),), daemon=True).start()
    job = job_from_json(Path(arguments[0]).read_text(encoding="utf-8"))
    try:
        _train(job)
    except PadaError as error:
        sys.stderr.write("\n" + json.dumps({"error": str(error), "kind": type(error).__name__}) + "\n")
        return 1
    return 0


def _train(job: TrainJob) -> None:
    from pada_graph.student.training import train

    try:
        train(job, lambda event: None)
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        raise StoppedError(
            f"Training ran out of memory ({str(error).splitlines()[0] if str(error) else type(error).__name__}). Lower "
            f"student.training.batch_size (now {job.training['batch_size']}), then run the same command again."
        ) from error


def _out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.3)
    os._exit(143)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
