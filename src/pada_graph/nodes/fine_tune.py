"""Fine-tuning the student (Algorithm 1, lines 2 and 24)."""

from typing import Any

from pada_graph import stopping
from pada_graph.accounting import check_training_set
from pada_graph.config import RunConfig
from pada_graph.errors import DivergedError, StoppedError
from pada_graph.nodes.run import Run
from pada_graph.rundir import RunDir
from pada_graph.services import TrainJob
from pada_graph.state import PadaState
from pada_graph.student import manifest


def fine_tune(state: PadaState, run: Run) -> PadaState:
    """Fine-tune the SLM on D_train, or on D_train and D_syn: a fresh adapter from the base model every time.

    A round whose training diverges is the last one: its student is left out, and the best of the earlier ones stays.

    Raises:
        StoppedError: the rows are not those that were accepted; training failed, or diverged with no earlier student
            to fall back on.
    """
    iteration = state["iteration"]
    folder = run.dir.iteration(iteration)
    originals = [{"id": row["id"], "source": "train", **_pair(run, row)} for row in run.rows.split("train")]
    synthetic = [{"id": s["id"], "source": "synthetic", **_pair(run, s["row"])} for s in run.synthetic(iteration)]
    check_training_set(iteration, len(synthetic), state.get("accounting", []))
    job = train_job(run.config, run.dir, iteration)
    before = run.dir.artifact(f"{folder}/train.jsonl")
    text, training_set = run.dir.jsonl(f"{folder}/train.jsonl", originals + synthetic)
    # A fork of the run, or an adapter that was lost: the other student's answers do not count. They go first, since a
    # kill may come in between.
    if before is not None and (before != training_set or manifest.is_missing(job)):
        for answers in run.dir.path(folder).glob("predictions_*"):
            answers.unlink()
    run.dir.write_text(f"{folder}/train.jsonl", text)
    run.emit("fine_tune", iteration=iteration, train_rows=len(originals), synthetic_rows=len(synthetic))

    def watch(progress: dict[str, Any]) -> None:
        stopping.check()
        run.emit("training", iteration=iteration, **progress)

    try:
        run.services.trainer.train(job, watch)
    except DivergedError as error:
        if iteration == 0:
            raise StoppedError(
                f"{error} There is no earlier student to go on with. Start another --run-dir with a lower "
                "student.training.learning_rate, or with student.dtype float32."
            ) from error
        reason = f"round {iteration}: training diverged"
        return {"stop_reason": reason, "notes": [f"{reason}, its student is left out. {error}"]}
    return {"training_sets": [training_set], "notes": _other_dtype(run, job, iteration)}


def _other_dtype(run: Run, job: TrainJob, iteration: int) -> list[str]:
    """Say so where `student.dtype: auto` has meant two things: the run was moved to another kind of machine."""
    now, first = (manifest.trained_dtype(adapter) for adapter in (job.adapter, run.dir.path("iteration_0/adapter")))
    if now == first or None in (now, first):
        return []
    return [
        f"iteration {iteration} was trained in {now}, iteration 0 in {first}: their scores differ by that too. A run "
        "that moves between machines needs student.dtype float32 or bfloat16"
    ]


def train_job(config: RunConfig, directory: RunDir, iteration: int) -> TrainJob:
    """What is trained in one iteration: its adapter is known by the `job_hash` of this."""
    folder, student = directory.path(directory.iteration(iteration)), config.student
    return TrainJob(
        model=student.model,
        dtype=student.dtype,
        rows=folder / "train.jsonl",
        adapter=folder / "adapter",
        log=folder / "training_log.jsonl",
        lora=student.lora.model_dump(),
        training=student.training.model_dump(),
        seed=config.seed,
    )


def _pair(run: Run, row: dict[str, object]) -> dict[str, str]:
    return {"prompt": run.task.prompt(row), "completion": run.task.target(row)}
