"""Sample-level evaluation (A.1; Algorithm 1, lines 6 and 7): E = {(x, y, y-hat) | Fail(y-hat, y, x)}."""

import json
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path

from pada_graph import stopping
from pada_graph.methods import rounds
from pada_graph.nodes.grading import verdict
from pada_graph.nodes.run import Run
from pada_graph.services import Completion
from pada_graph.state import Evaluation, PadaState, Prediction, Row, Split
from pada_graph.stats import measures, score
from pada_graph.tasks.base import AT_ONCE


def evaluate(state: PadaState, run: Run) -> PadaState:
    """Evaluate the SLM on D_val and, where another round starts from its errors, on D_train.

    The untuned base model's validation score comes first, once: fine-tuning can also hurt. The test split is opened
    by `finalize` alone.
    """
    iteration = state["iteration"]
    evaluations = [score_split(run, None, "validation")] if iteration == 0 else []
    evaluations.append(score_split(run, iteration, "validation"))
    if another_round(state, run) and "train" in run.method.learns_from(run.config):
        evaluations.append(score_split(run, iteration, "train"))
    return {"evaluations": evaluations}


def another_round(state: PadaState, run: Run) -> bool:
    """Whether a round of augmentation may follow this iteration."""
    return state["iteration"] < rounds(run.config)


def score_split(run: Run, iteration: int | None, split: Split) -> Evaluation:
    """Let one model answer one split and score it. Finished answers are kept if the process dies half-way."""
    name = f"{run.dir.iteration(iteration)}/predictions_{split}.jsonl"
    rows = run.rows.split(split)
    artifact = run.dir.artifact(name)
    partial = run.dir.path(f"{name}.partial")
    if artifact is None or artifact["count"] != len(rows):
        artifact = run.dir.write_jsonl(name, _predict(run, iteration, split, rows, partial))
    partial.unlink(missing_ok=True)
    predictions = run.dir.read_jsonl(name)
    result, spent = score(predictions), run.spent() if run.grades_answers else {}
    run.emit("score", iteration=iteration, split=split, **result, measures=measures(predictions), **spent)
    return {"iteration": iteration, "split": split, "score": result, "predictions": artifact}


def _predict(run: Run, iteration: int | None, split: Split, rows: list[Row], partial: Path) -> list[Prediction]:
    """Answer the rows that `partial` lacks, appending each answer to it; return all, in the rows' order."""
    partial.parent.mkdir(parents=True, exist_ok=True)
    done = {prediction["id"]: prediction for prediction in _read_partial(partial)}
    todo = [row for row in rows if row["id"] not in done]
    adapter = None if iteration is None else run.dir.path(f"{run.dir.iteration(iteration)}/adapter")
    completions = run.services.predictor.predict(
        adapter,
        [run.task.prompt(row) for row in todo],
        max_new_tokens=run.config.student.inference.max_new_tokens or run.task.max_new_tokens,
        stop=run.task.stop,
    )
    run.emit("predicting", iteration=iteration, split=split, done=len(done), total=len(rows))
    with partial.open("a", encoding="utf-8") as file:
        for prediction in _judged(run, todo, completions) if todo else []:
            stopping.check()
            done[prediction["id"]] = prediction
            file.write(json.dumps(prediction, ensure_ascii=False) + "\n")
            file.flush()
            run.emit("predicting", iteration=iteration, split=split, done=len(done), total=len(rows))
    return [done[row["id"]] for row in rows]


def _judged(run: Run, rows: list[Row], completions: Iterator[Completion]) -> Iterator[Prediction]:
    """Score completions as they come, several at once where scoring waits: for programs (HumanEval), for the judge."""
    at_once = run.config.limits.concurrency if run.grades_answers else AT_ONCE
    pool = ThreadPoolExecutor(at_once)
    waiting: deque[Future[Prediction]] = deque()
    try:
        for completion in completions:
            # In this node's context, so that calls of a session that has to stop are not sent (stopping.py).
            waiting.append(pool.submit(copy_context().run, _judge, run, rows[completion.index], completion))
            while waiting[0].done() or len(waiting) > 4 * at_once:
                yield waiting.popleft().result()
                if not waiting:
                    break
        yield from (future.result() for future in waiting)
    finally:
        pool.shutdown(cancel_futures=True)  # after an error nothing new begins


def _judge(run: Run, row: Row, completion: Completion) -> Prediction:
    found = verdict(run, row, completion.text, item=f"answers/grade/{row['id']}")
    return {
        "id": row["id"],
        "prompt": run.task.prompt(row),
        "target": run.task.target(row),
        "output": completion.text,
        "correct": found.correct,
        "parsed": found.parsed,
        "reason": found.reason,
        "truncated": completion.truncated,
        "measures": dict(found.measures),
        "group": run.task.group(row),
    }


def _read_partial(path: Path) -> list[Prediction]:
    """The whole lines of an unfinished predictions file; a torn or damaged one is cut off with what follows it."""
    if not path.exists():
        return []
    predictions: list[Prediction] = []
    content, whole = path.read_bytes(), 0
    for line in content.split(b"\n")[:-1]:
        try:
            predictions.append(json.loads(line.decode()))
        except ValueError:
            break
        whole += len(line) + 1
    if whole < len(content):
        os.truncate(path, whole)
    return predictions
