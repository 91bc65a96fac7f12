"""What a fork of a run leaves behind: rounds and students that the branch at hand never came to.

A branch that starts at an earlier checkpoint (LangGraph's time travel) writes into the same folders, and may end sooner
than the one before it. What is not its own is moved to abandoned/, so that report and patterns are of one branch.
"""

import shutil
from pathlib import Path

from pada_graph.nodes.fine_tune import train_job
from pada_graph.nodes.run import Run
from pada_graph.state import PadaState
from pada_graph.student import checkpoints


def set_aside(state: PadaState, run: Run) -> None:
    """Move rounds after the last one, and the student of a last round that never had one.

    The checkpoints of a training that diverged are deleted: until here a killed run might have gone on from them.
    """
    last = state["iteration"]
    for later in (t for t in run.dir.iterations() if t > last):
        _move(run, run.dir.path(run.dir.iteration(later)))
    if any(e["iteration"] == last for e in state["evaluations"]):
        return
    shutil.rmtree(checkpoints.work_dir(train_job(run.config, run.dir, last)), ignore_errors=True)
    folder = run.dir.path(run.dir.iteration(last))
    grew = any(books["iteration"] == last and books["accepted"] for books in state.get("accounting", []))
    of_no_student = ("predictions_*", *(() if grew else ("train.jsonl", "training_log.jsonl", "adapter")))
    for pattern in of_no_student:
        for path in sorted(folder.glob(pattern)):
            _move(run, path)


def _move(run: Run, path: Path) -> None:
    """To the same place below abandoned/, with a number where there is one already."""
    target = run.dir.path("abandoned") / path.relative_to(run.dir.root)
    target.parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while target.exists():
        number += 1
        target = target.with_name(f"{path.name}.{number}")
    path.rename(target)
