"""`pada-graph run` as a process that dies, or finds the disk full, at a chosen moment.

The command, the graph, the journal and the checkpoints are the real ones, and the teacher is asked over HTTP. Student
and embedder are fakes unless a spec says otherwise. `tests/faults/harness.py` starts it.
"""

import itertools
import json
import os
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from langgraph.checkpoint.sqlite import SqliteSaver
from safetensors.numpy import save_file

from pada_graph import cli, clustering, stopping
from pada_graph.executors import local
from pada_graph.rundir import RunDir
from pada_graph.services import Completion, Progress, TrainJob
from pada_graph.student import inference, manifest
from pada_graph.teacher.journal import Journal
from tests.fakes import FakeEmbedder, FakeTrainer

# Where a fault may strike: at the n-th call of one of these, before or after it.
POINTS: dict[str, tuple[Any, str]] = {
    "put": (SqliteSaver, "put"),  # the end of a superstep
    "put_writes": (SqliteSaver, "put_writes"),  # the end of a task
    "start": (Journal, "start"),  # a call is about to be sent
    "finish": (Journal, "finish"),  # its reply has arrived; after: it is committed
    "rename": (Path, "replace"),  # a file is whole and gets its name
    "write_text": (RunDir, "write_text"),  # the same, from its beginning
    "append": (RunDir, "append"),  # a line of events.jsonl
    "train": (FakeTrainer, "train"),
}


class PromptPredictor:
    """Answers by the prompt alone, so that what a killed process had answered makes no difference; learns with rows."""

    def __init__(self, student: Any = None):
        pass

    def release(self) -> None:
        """Nothing is held."""

    def predict(
        self, adapter: Path | None, prompts: Sequence[str], *, max_new_tokens: int, stop: Sequence[str]
    ) -> Iterator[Completion]:
        rows = (adapter.parent / "train.jsonl").read_text().count("\n") if adapter else 0
        for index, prompt in enumerate(prompts):
            a, b = map(int, re.findall(r"\d+", prompt)[:2])
            yield Completion(index, str(a + b) if (a + b) % 100 < 10 + rows else "no idea", truncated=False)


class LoadedEmbedder(FakeEmbedder):
    """FakeEmbedder with SentenceEmbedder's other two methods."""

    def __init__(self, model: str):
        pass

    def load(self) -> None:
        pass


class WholeTrainer(FakeTrainer):
    """Leaves an adapter behind that is whole, and this run's, for all that a resume looks at."""

    def __init__(self, make_room: Callable[[], None] = lambda: None):
        super().__init__()

    def train(self, job: TrainJob, progress: Progress) -> None:
        super().train(job, progress)
        save_file({"layer.lora_A.weight": np.zeros((job.lora["r"], 1))}, job.adapter / manifest.WEIGHTS)
        (job.adapter / "adapter_config.json").write_text(json.dumps({"r": job.lora["r"]}))
        manifest.write(job.adapter, manifest.job_hash(job), {"model": job.model, "lora": job.lora})


def main(spec: dict[str, Any]) -> None:
    """Run spec["config"] in spec["run_dir"]; never returns.

    "fault" is {"at": a point, "nth": from 1, "when": "before" | "after", "do": "kill" | "limit" | "fill"}; at "rename"
    "to", a file's name, may stand for "nth". "stderr" is a file descriptor for the command's messages; "trainer" "fake"
    or "local"; "student" "fake" or "real"; "counts" a file for how often each point was passed; "naps" what waits
    between tries are multiplied with.
    """
    silence(spec.get("stderr"))
    clustering.SentenceEmbedder = LoadedEmbedder  # type: ignore[misc, assignment]
    if spec.get("trainer", "fake") == "fake":
        local.LocalTrainer = WholeTrainer  # type: ignore[misc, assignment]
    if spec.get("student", "fake") == "fake":
        inference.TransformersPredictor = PromptPredictor  # type: ignore[misc, assignment]
    hurry(spec.get("naps", 0.01))
    counts = {name: itertools.count(1) for name in POINTS}
    for name, (owner, method) in POINTS.items():
        strike(owner, method, counts[name], name, spec.get("fault") or {}, spec["run_dir"])
    sys.argv = ["pada-graph", "run", spec["config"], "--run-dir", spec["run_dir"]]
    try:
        cli.main()
    finally:
        if "counts" in spec:
            Path(spec["counts"]).write_text(json.dumps({name: next(count) - 1 for name, count in counts.items()}))


def silence(stderr: int | None) -> None:
    """Progress goes nowhere, messages to the descriptor."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere if stderr is None else stderr, 2)


def hurry(factor: float) -> None:
    """Shorten the waits between tries."""
    for name, module in list(sys.modules.items()):
        if name.startswith("pada_graph.teacher") and getattr(module, "sleep", None) is stopping.sleep:
            module.sleep = lambda seconds: time.sleep(factor * seconds)  # type: ignore[attr-defined]


def strike(owner: Any, method: str, count: Iterator[int], name: str, fault: dict[str, Any], run_dir: str) -> None:
    """Put the fault before or after the n-th call of a method, and count the calls."""
    original: Callable[..., Any] = getattr(owner, method)

    after = fault.get("when") == "after"  # then calls count as they return: with the n-th, n are done

    def strike_if_due(last: Any) -> None:
        number = next(count)
        if name == fault.get("at") and (Path(last).name == fault["to"] if "to" in fault else number == fault["nth"]):
            do(fault["do"], Path(run_dir))

    def counted(*args: Any, **kwargs: Any) -> Any:
        if not after:
            strike_if_due(args[-1])
        result = original(*args, **kwargs)
        if after:
            strike_if_due(args[-1])
        return result

    setattr(owner, method, counted)


def do(what: str, run_dir: Path) -> None:
    """Die; or let no file grow from here on; or fill the run directory's file system."""
    if what == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    else:
        with (run_dir.parent / "filler").open("wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(b"\0" * 4096)
            except OSError:
                pass
