"""A driver of Ray Train: `python -m pada_graph.executors.ray.fit JOB.json PARENT_PID CLUSTER`, CLUSTER as JSON.

Each worker does what `pada_graph.student.worker` does in one process, in step with the others (student/ranks.py). The
driver reports as that worker does. It is a process of its own, so that ending it ends its workers, and Ray Train's
handlers of signals stay out of the graph's process.
"""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import IO, Any

from pada_graph.executors.local import DEFAULTS
from pada_graph.executors.ray.cluster import PATIENCE, Cluster
from pada_graph.services import TrainJob
from pada_graph.student import worker

LOST_WORKERS = 3  # times that training begins again from the last whole checkpoint


def main(arguments: list[str], report: IO[str]) -> int:
    """Train the job on the cluster, write what went wrong to `report`, and return the exit status."""
    job_file, parent, cluster = arguments
    worker.end_with(int(parent))
    return worker.tell(fit(Path(job_file).read_text(encoding="utf-8"), Cluster(**json.loads(cluster))), report)


def fit(job: str, cluster: Cluster) -> dict[str, str] | None:
    """Train a job, given as JSON; returns what went wrong, as `worker.attempt` does."""
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"  # models and data may have relative names
    for name, value in PATIENCE.items():
        os.environ.setdefault(name, value)
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
    from ray.train.torch import TorchConfig, TorchTrainer

    # Without a dashboard one of Ray Train's helpers warns every second that it cannot ask it.
    ray.init(address=cluster.address, logging_config=ray.LoggingConfig(log_level="ERROR"))
    notes, verdict = _notes(worker.job_from_json(job))
    shutil.rmtree(notes, ignore_errors=True)
    verdict.unlink(missing_ok=True)
    trainer = TorchTrainer(
        take_part,
        train_loop_config={"job": job, "folder": str(Path.cwd())},
        torch_config=TorchConfig(backend="nccl" if cluster.gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=cluster.workers,
            use_gpu=cluster.gpu,
            resources_per_worker=cluster.resources,
        ),
        run_config=RunConfig(
            name="train",
            storage_path=str(notes),
            failure_config=FailureConfig(max_failures=LOST_WORKERS),
            worker_runtime_env={"env_vars": {name: os.environ.get(name, value) for name, value in DEFAULTS.items()}},
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        lost = f"{LOST_WORKERS + 1} times a training worker was lost or failed, at last with: {_cause(error)}"
        return _read(verdict) or {"error": lost, "kind": ""}
    finally:
        shutil.rmtree(notes, ignore_errors=True)
    return _read(verdict)


def take_part(settings: dict[str, Any]) -> None:
    """What each worker does; returns where another has found why training cannot go on.

    Raises:
        RuntimeError: training failed here; Ray Train then ends the other workers and calls all of them again.
    """
    if Path(settings["folder"]).is_dir():  # another machine may lack it
        os.chdir(settings["folder"])
    job = worker.job_from_json(settings["job"])
    _, verdict = _notes(job)
    if verdict.exists():
        return
    if failure := worker.attempt(job):
        if failure["kind"]:  # it would fail again
            own = verdict.with_name(f"{verdict.name}.{os.environ['RANK']}")
            own.write_text(json.dumps(failure), encoding="utf-8")
            own.replace(verdict)
        raise RuntimeError(failure["error"])


def _notes(job: TrainJob) -> tuple[Path, Path]:
    """Where Ray Train keeps its books, and where a worker says that training cannot go on."""
    return job.adapter.with_name(f"{job.adapter.name}.ray"), job.adapter.with_name(f"{job.adapter.name}.failure.json")


def _read(verdict: Path) -> dict[str, str] | None:
    if not verdict.exists():
        return None
    failure: dict[str, str] = json.loads(verdict.read_text(encoding="utf-8"))
    verdict.unlink()
    return failure


def _cause(error: Exception) -> str:
    failures = getattr(error, "worker_failures", None) or {0: error}
    return str(next(iter(failures.values()))).strip().rpartition("\n")[2]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], worker.report_channel()))
