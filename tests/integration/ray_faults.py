"""Ray Train's workers, struck: `python -m tests.integration.ray_faults FAULTS JOB.json PARENT_PID CLUSTER`.

FAULTS is JSON: {"kill": [[rank, step], ...]} kills that worker before that step, one of them each time that training
begins; {"halt": step} has all wait before that step, and end there; {"alone": true} takes `use_cpu` away; {"apart":
true} has the second worker come to other weights. Each worker notes its process, the sha256 of its weights, and the
steps it begins at.
"""

import functools
import json
import os
import signal
import sys
import time
from typing import Any

from pada_graph.executors.ray import fit
from pada_graph.student import checkpoints, ranks, worker

REAL = fit.take_part


def take_part(faults: dict[str, Any], settings: dict[str, Any]) -> None:
    """What a worker does, with the faults put in."""
    import trl
    from transformers import Trainer

    job = worker.job_from_json(settings["job"])
    rank = int(os.environ["RANK"])
    notes = job.adapter.parent
    begun = notes / f"begun-{rank}.jsonl"
    times = len(begun.read_text().splitlines()) if begun.exists() else 0
    checkpoint = checkpoints.newest_checkpoint(job)
    with begun.open("a") as file:
        file.write(f"{checkpoint[0] if checkpoint else 0}\n")
    (notes / f"worker-{rank}.pid").write_text(str(os.getpid()))

    struck_rank, struck_step = [*faults.get("kill", []), *[[-1, -1]] * 9][times]
    step, check, config = Trainer.training_step, ranks.check_in_step, trl.SFTConfig

    def training_step(self: Any, *args: Any, **kwargs: Any) -> Any:
        if (rank, self.state.global_step + 1) == (struck_rank, struck_step):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.state.global_step + 1 == faults.get("halt"):
            time.sleep(120)  # long after the test has looked
            os._exit(1)
        return step(self, *args, **kwargs)

    def check_in_step(model: Any) -> None:
        if faults.get("apart") and rank == 1:
            next(p for p in model.parameters() if p.requires_grad).data.add_(1)
        (notes / f"rank-{rank}.sha256").write_text(ranks.weights_sha256(model))
        check(model)

    Trainer.training_step, ranks.check_in_step = training_step, check_in_step
    if faults.get("alone"):
        trl.SFTConfig = lambda **settings: config(**{**settings, "use_cpu": False})
    REAL(settings)


def main(arguments: list[str], report: Any) -> int:
    """Train with the faults."""
    fit.take_part = functools.partial(take_part, json.loads(arguments[0]))
    return fit.main(arguments[1:], report)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], worker.report_channel()))
