"""Train in a child process: its memory is returned when it ends, and nothing it does can take the graph down."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from pada_graph import errors, telemetry
from pada_graph.errors import OutOfMemoryError, PadaError, StoppedError
from pada_graph.executors import forks
from pada_graph.services import Progress, TrainJob
from pada_graph.student import checkpoints, manifest, worker

Child = forks.Fork | subprocess.Popen[bytes]
POLL_SECONDS = 0.2
TERMINATE_SECONDS = 10
VMSTAT = Path("/proc/vmstat")  # Linux counts there the processes it killed for want of memory
# Set only where the user has not: no library that the worker loads reports to anybody, and threads that wait for each
# other sleep. Spinning, two of them on a core that is shared with another process compute a third of what one does.
DEFAULTS = {
    **telemetry.OFF,
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_WAIT_POLICY": "passive",
}


class LocalTrainer:
    """Runs `pada_graph.student.worker` for each job that is not finished yet."""

    def __init__(self, make_room: Callable[[], None] = lambda: None):
        """Train on this machine; `make_room` frees the devices that something else of this run holds."""
        self._make_room = make_room

    def train(self, job: TrainJob, progress: Progress) -> None:
        """Make `job.adapter`, whole or not at all; do nothing if it is there, whole, and made from the same inputs.

        Out of memory, it goes on once from the last whole checkpoint with half as many rows at once: the same steps,
        as `rows_together` in the log shows.

        Raises:
            InputError: the worker found the model or the rows unusable.
            DivergedError: the loss or the gradient is no longer finite.
            StoppedError: training failed; the message holds the cause.
        """
        try:
            self._train(job, progress)
        except OutOfMemoryError:
            try:
                self._train(dataclasses.replace(job, parts=2 * job.parts), progress)
            except OutOfMemoryError as error:
                raise StoppedError(
                    f"{error} So it did with half as many rows at once. Run the same command again where more memory "
                    "is free, or start another --run-dir with a smaller student.training.batch_size or student.model."
                ) from error

    def _train(self, job: TrainJob, progress: Progress) -> None:
        if manifest.matches(job.adapter, manifest.job_hash(job)):
            shutil.rmtree(checkpoints.work_dir(job), ignore_errors=True)  # left by a kill after the last rename
            return
        self._make_room()
        job.adapter.parent.mkdir(parents=True, exist_ok=True)
        job_file = job.adapter.with_name(f"{job.adapter.name}.job.json")
        job_file.write_text(worker.job_to_json(job), encoding="utf-8")
        checkpoint = checkpoints.newest_checkpoint(job)
        checkpoints.trim_log(job.log, checkpoint[0] if checkpoint else 0)
        output = job.log.with_name(f"{job.log.stem}.worker.txt")
        killed_before = _killed_for_memory()
        with output.open("wb") as sink, job.log.open("rb") as log:
            log.seek(0, os.SEEK_END)
            child = self._start(job_file, sink)
            with child:
                try:
                    _follow(child, log, progress)
                finally:
                    _end(child)
                report = child.stdout.read() if child.stdout else b""
            status = child.wait()
        if status == -signal.SIGKILL and _killed_for_memory() > killed_before:
            raise OutOfMemoryError("The system killed the training process for want of memory.")
        if status != 0:
            raise _failure(status, report, output)
        manifest.check(job.adapter, job.model, job.lora)

    def _start(self, job_file: Path, output: BinaryIO) -> Child:
        return forks.start(["-m", "pada_graph.student.worker", str(job_file), forks.PARENT], output, environment())


def environment() -> dict[str, str]:
    """The environment variables of a child."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]  # SFTTrainer refuses several without a launcher
    return {**DEFAULTS, **os.environ, "CUDA_VISIBLE_DEVICES": visible}


def _follow(child: Child, log: BinaryIO, progress: Progress) -> None:
    """Report each new line of the log until the child has ended."""
    rest = b""
    ended = False
    while not ended:
        try:
            child.wait(POLL_SECONDS)
            ended = True
        except subprocess.TimeoutExpired:
            pass
        if os.fstat(log.fileno()).st_size < log.tell():  # cut back: a lost worker's steps are taken again
            log.seek(0, os.SEEK_END)
            rest = b""
        *lines, rest = (rest + log.read()).split(b"\n")
        for line in lines:
            progress(json.loads(line))


def _end(child: Child) -> None:
    """End a child that is still running: an interrupt or an error of ours has come between."""
    if child.poll() is not None:
        return
    child.terminate()
    try:
        child.wait(TERMINATE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _killed_for_memory() -> int:
    """How many processes the system has killed for want of memory since it started; 0 where it does not say."""
    lines = VMSTAT.read_text().splitlines() if VMSTAT.exists() else []
    return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))


def _failure(status: int, report: bytes, output: Path) -> PadaError:
    if status < 0:
        ended = signal.Signals(-status)
        causes = {
            signal.SIGTERM: "it was stopped",
            signal.SIGINT: "it was stopped",
            signal.SIGKILL: "somebody killed it, perhaps the system, out of memory",
        }
        return StoppedError(
            f"Training ended by {ended.name} ({causes.get(ended, 'a library crashed')}). Run the same command again: "
            f"it goes on from the last whole checkpoint. Output: {output}"
        )
    failure = json.loads(report or b"{}")
    if kind := failure.get("kind"):
        if kind == "OutOfMemoryError":
            return OutOfMemoryError(f"Training ran out of memory ({failure['error']}).")
        known: PadaError = getattr(errors, kind)(failure["error"])
        return known
    said = failure.get("error") or "no output"
    return StoppedError(f"Training failed with exit status {status}: {said} (all of it: {output})")
