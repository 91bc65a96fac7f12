"""The Central Orchestrator (A.1): sets the shared state up, decides whether another round follows, closes the run."""

import platform
import time
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pada_graph.accounting import check_identity, total
from pada_graph.data import load_splits, overlap_notes
from pada_graph.errors import InputError
from pada_graph.evolution import evolution
from pada_graph.nodes.abandoned import set_aside
from pada_graph.nodes.evaluate import another_round, score_split
from pada_graph.nodes.grading import grading_notes
from pada_graph.nodes.recorded_config import record_config
from pada_graph.nodes.run import Run
from pada_graph.report.page import build_report
from pada_graph.stages import stage_seconds
from pada_graph.state import Evaluation, PadaState, Prediction
from pada_graph.stats import Paired, paired
from pada_graph.teacher.tally import count_replies

PACKAGES = (
    "pada-graph",
    "langgraph",
    "langchain-core",
    "torch",
    "transformers",
    "trl",
    "peft",
    "sentence-transformers",
)


def initialize(state: PadaState, run: Run) -> PadaState:
    """Initialise the shared state object (A.1): configuration, environment and data go into the run directory.

    Raises:
        InputError: the data cannot be used, this machine cannot score the task, the thread holds another run, or
            the directory holds a run with another configuration.
    """
    if state.get("training_sets"):
        raise InputError("This thread already holds a run: start a new thread, or resume this one without an input.")
    run.task.check()
    record_config(run.dir, run.config)
    run.dir.write_json("environment.json", {**_environment(), **run.task.environment()})
    if not run.dir.path("data/manifest.json").exists():
        splits = load_splits(run.task, run.config.data)
        manifest = {split: run.dir.write_jsonl(f"data/{split}.jsonl", rows) for split, rows in splits.items()}
        run.dir.write_jsonl("data/overlaps.jsonl", splits.overlaps)
        run.dir.write_json("data/manifest.json", manifest)
    run.emit("initialize", task=run.config.task_name, method=run.config.method, iterations=run.config.iterations)
    return {
        "run_dir": str(run.dir.root),
        "task": run.config.task,
        "method": run.config.method,
        "train_size": run.config.data.train_size,
        "seed": run.config.seed,
        "iteration": 0,
        "stop_reason": "",
        "notes": [*overlap_notes(run.dir.read_jsonl("data/overlaps.jsonl")), *grading_notes(run)],
    }


def _environment() -> dict[str, str]:
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


_ROUNDS_DONE = {0: "no rounds were asked for", 1: "the only round is done"}


def orchestrate(state: PadaState, run: Run) -> PadaState:
    """Track the state and decide: another round, or the end (Algorithm 1, line 4)."""
    iteration = state["iteration"]
    failures = {
        e["split"]: e["score"]["n"] - e["score"]["correct"] for e in state["evaluations"] if e["iteration"] == iteration
    }
    if not another_round(state, run):
        reason = (
            "vanilla fine-tuning has no rounds"
            if not run.method.augments
            else _ROUNDS_DONE.get(iteration, f"all {iteration} rounds are done")
        )
        return {"stop_reason": reason}
    learnt = run.method.learns_from(run.config)
    if run.method.needs_failures and not learnt:
        return {"stop_reason": "patterns and train errors are both switched off: there is nothing to learn from"}
    if run.method.needs_failures and not sum(failures[split] for split in learnt):
        found = ", ".join(f"{failures[split]} on {split}" for split in learnt)
        return {"stop_reason": f"after round {iteration} there is no failure left to learn from: {found}"}
    return {"iteration": iteration + 1}


def finalize(state: PadaState, run: Run) -> PadaState:
    """Choose the iteration by validation, then open the test split once: untuned, iteration 0 and the chosen one."""
    set_aside(state, run)
    best = best_iteration(state["evaluations"])
    models = [None, 0] if best == 0 else [None, 0, best]
    tested = [score_split(run, iteration, "test") for iteration in models]
    evaluations = [*state["evaluations"], *tested]
    metrics = summary(state, run, evaluations, best)
    run.dir.write_json("metrics.json", metrics)
    if state.get("clusters"):
        run.dir.write_json("evolution.json", evolution(run.dir.root))
    build_report(run.dir.root)
    run.emit("finalize", best_iteration=best, stop_reason=state["stop_reason"])
    return {"best_iteration": best, "evaluations": tested}


def best_iteration(evaluations: list[Evaluation]) -> int:
    """The iteration with the best validation accuracy; the earlier one if two are level."""
    scores = {
        e["iteration"]: e["score"]["accuracy"]
        for e in evaluations
        if e["split"] == "validation" and e["iteration"] is not None
    }
    return max(scores, key=lambda iteration: (scores[iteration], -iteration))


def _compare(run: Run, before: int | None, after: int) -> Paired:
    """Two models on the test split."""

    def read(iteration: int | None) -> list[Prediction]:
        predictions: list[Prediction] = run.dir.read_jsonl(f"{run.dir.iteration(iteration)}/predictions_test.jsonl")
        return predictions

    return paired(read(before), read(after))


def summary(state: PadaState, run: Run, evaluations: list[Evaluation], best: int) -> dict[str, Any]:
    """metrics.json: the one summary that others read (DESIGN 9)."""
    scores = {(e["iteration"], e["split"]): e["score"] for e in evaluations}
    books = {entry["iteration"]: total([entry]) for entry in state.get("accounting", [])}
    train_rows = len(run.rows.split("train"))
    planned = [plan for iteration in books for plan in run.dir.read_jsonl(f"{run.dir.iteration(iteration)}/plan.jsonl")]
    whole = total(books.values())
    check_identity("the run", whole, sum(len(plan["slots"]) for plan in planned))
    return {
        "task": run.config.task_name,
        "method": run.config.method,
        "seed": run.config.seed,
        "best_iteration": best,
        "stop_reason": state["stop_reason"],
        "notes": state.get("notes", []),
        "untuned": {split: scores.get((None, split)) for split in ("validation", "test")},
        "iterations": [
            {
                "iteration": iteration,
                "train_rows": train_rows,
                "synthetic_rows": training_set["count"] - train_rows,
                "accounting": books.get(iteration),
                **{split: scores.get((iteration, split)) for split in ("train", "validation", "test")},
            }
            for iteration, training_set in enumerate(state["training_sets"])
        ],
        "comparison": _compare(run, 0, best) if best else None,
        "untuned_comparison": _compare(run, None, best),
        "accounting": whole,
        "teacher": run.services.teacher.usage(),
        **count_replies(run.dir.path("teacher_calls.sqlite")),
        "seconds": stage_seconds(run.dir.read_log("events.jsonl"), time.time()),
    }
