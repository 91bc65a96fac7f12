"""The training worker, struck by a fault: `python -m tests.faults.worker FAULT JOB.json PARENT_PID`.

FAULT is JSON: {"at": a point, "nth": from 1, "when": "before" | "after", "do": what, "size": if given, only where so
many rows are computed at once}. `sabotage` makes LocalTrainer start this instead of the real worker.
"""

import io
import itertools
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pada_graph.executors import forks


def sabotage(monkeypatch: pytest.MonkeyPatch, *faults: dict[str, Any] | None, only: str = "") -> list[Any]:
    """Let the n-th worker from here on meet the n-th fault, if its job file's path holds `only`; later ones none.

    Returns:
        The child processes, as they are started.
    """
    waiting = iter(faults)
    children: list[Any] = []

    def start(command: list[str], *rest: Any) -> Any:
        if only in command[2] and (fault := next(waiting, None)):
            command = ["-m", "tests.faults.worker", json.dumps(fault), *command[2:]]
        children.append(started(command, *rest))
        return children[-1]

    started = forks.start
    monkeypatch.setattr(forks, "start", start)
    monkeypatch.chdir(Path(__file__).parents[2])  # where `tests` is found
    return children


def strike(owner: Any, method: str, fault: dict[str, Any]) -> None:
    """Put the fault before or after the n-th call of a method."""
    original: Callable[..., Any] = getattr(owner, method)
    count: Iterator[int] = itertools.count(1)

    def struck(*args: Any, **kwargs: Any) -> Any:
        size = args[0].args.per_device_train_batch_size if "size" in fault else None
        now = next(count) >= fault["nth"] and size == fault.get("size")
        if now and fault["when"] == "before":
            do(fault["do"], args)
        result = original(*args, **kwargs)
        if now and fault["when"] == "after":
            do(fault["do"], args)
            return result * float("nan") if fault["do"] == "nan" else result
        return result

    setattr(owner, method, struck)


def do(what: str, args: tuple[Any, ...]) -> None:
    """What the fault does to the process; "torn" halves the file that was just written, and dies."""
    import torch

    if what == "torn":
        path = Path(args[1])
        path = path / "adapter_model.safetensors" if path.is_dir() else path
        os.truncate(path, path.stat().st_size // 2)
    if what in ("torn", "kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "limit":  # no file grows any more
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    if what == "oom":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
    if what == "allocate":  # more than the process may have
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
        torch.empty(1 << 30)


def main(fault: dict[str, Any], arguments: list[str], report: io.TextIOBase) -> int:
    """Run the worker with one of its steps replaced."""
    import torch
    from peft import PeftModel
    from transformers import Trainer

    from pada_graph.student import manifest, worker

    points: dict[str, tuple[Any, str]] = {
        "step": (Trainer, "training_step"),
        "torch.save": (torch, "save"),  # optimizer.pt and others of a checkpoint
        "save_pretrained": (PeftModel, "save_pretrained"),  # the weights of a checkpoint, at last of the adapter
        "manifest": (manifest, "write"),  # what closes a checkpoint, at last the adapter
        "rename": (Path, "rename"),  # puts the adapter in its place
    }
    strike(*points[fault["at"]], fault)
    return worker.main(arguments, report)  # type: ignore[arg-type]


if __name__ == "__main__":
    stdout = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.exit(main(json.loads(sys.argv[1]), sys.argv[2:], stdout))
