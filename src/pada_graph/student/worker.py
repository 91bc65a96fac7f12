"""Training in a process of its own: `python -m pada_graph.student.worker JOB.json [PARENT_PID]`.

JOB.json holds the fields of `services.TrainJob`. Progress is the job's log file. A failure ends with exit status 1 and
one JSON line on stdout, {"error": message, "kind": a class of errors.py, or "" for the unforeseen}; what is unforeseen
leaves its traceback on stderr, where all other output goes. With PARENT_PID the worker ends when that process does.
"""

import json
import os
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from pada_graph.errors import PadaError
from pada_graph.services import TrainJob


def job_from_json(text: str) -> TrainJob:
    """Read a job that `job_to_json` wrote."""
    fields: dict[str, Any] = json.loads(text)
    fields.update({name: Path(fields[name]) for name in ("rows", "adapter", "log")})
    return TrainJob(**fields)


def job_to_json(job: TrainJob) -> str:
    """Write a job as JSON, paths as strings."""
    return json.dumps(vars(job), indent=2, default=str) + "\n"


def main(arguments: list[str], report: IO[str]) -> int:
    """Train the job, write what went wrong to `report`, and return the exit status."""
    if len(arguments) > 1:
        end_with(int(arguments[1]))
    failure = attempt(job_from_json(Path(arguments[0]).read_text(encoding="utf-8")))
    return tell(failure, report)


def tell(failure: dict[str, str] | None, report: IO[str]) -> int:
    """Write a failure, if it is one, to `report`; returns the exit status."""
    if failure is None:
        return 0
    report.write(json.dumps(failure) + "\n")
    report.flush()
    return 1


def attempt(job: TrainJob) -> dict[str, str] | None:
    """Train in this process; returns what went wrong, {"error", "kind"} as above, or None."""
    from pada_graph.student.training import train

    try:
        train(job, lambda event: None)
    except PadaError as error:
        return {"error": str(error), "kind": type(error).__name__}
    except Exception as error:  # of any library: the parent is told, and stops the run
        said = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        if out_of_memory(error):
            return {"error": said, "kind": "OutOfMemoryError"}
        if refused := _refused_write(job.adapter.parent):
            return {"error": refused, "kind": "StoppedError"}
        with suppress(OSError):
            traceback.print_exc()
        return {"error": said, "kind": ""}
    return None


def out_of_memory(error: Exception) -> bool:
    """Whether this is Python's, CUDA's or PyTorch's CPU allocator's word for it."""
    words = ("outofmemory", "out of memory", "can't allocate memory", "not enough memory", "bad_alloc")
    text = f"{type(error).__name__}: {error}".lower()
    return isinstance(error, MemoryError) or any(word in text for word in words)


def _refused_write(folder: Path) -> str | None:
    """Say so if the disk takes nothing more: safetensors and PyTorch raise errors of their own that hide it."""
    probe = folder / ".probe.tmp"
    try:
        with probe.open("wb") as file:
            file.write(bytes(1 << 16))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return (
            f"{folder}: cannot be written ({error.strerror}). Free some space or mend the permissions, then run the "
            "same command again: training goes on from its last whole checkpoint."
        )
    finally:
        probe.unlink(missing_ok=True)
    return None


def end_with(parent: int) -> None:
    """Have this process end, from now on, when its parent has ended."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.3)
        os._exit(143)

    threading.Thread(target=watch, daemon=True).start()


def report_channel() -> IO[str]:
    """What was stdout, for the report alone: what libraries print goes to stderr from here on."""
    stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return stdout


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], report_channel()))
