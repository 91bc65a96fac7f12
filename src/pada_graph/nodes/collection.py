"""The end of a round (A.3, equation 3): gather what quality control let through, drop repetitions, close the books."""

from collections.abc import Sequence
from typing import Any

from pada_graph.accounting import check_identity, check_ids, total
from pada_graph.errors import InputError
from pada_graph.nodes.guard import close_round
from pada_graph.nodes.run import Run
from pada_graph.state import Accounting, Artifact, BatchOutcome, BatchPlan, Fates, PadaState, Sample, StrategyOutcome


def collect_batches(state: PadaState, run: Run) -> PadaState:
    """D_syn = D_syn^err U D_syn^pat (equation 3): gather the batches, drop repetitions, close the books.

    Raises:
        StoppedError: the samples of a batch are not those of its plan, or the books do not balance.
        InputError: a file of the round is missing, or was changed.
    """
    iteration = state["iteration"]
    folder = run.dir.iteration(iteration)
    plans = read_plans(run, state["plan"])
    files = [run.dir.read_json(batch_file(folder, plan["batch_id"])) for plan in plans]
    for plan, file in zip(plans, files, strict=True):
        check_batch(plan, file)
    samples: list[Sample] = [sample for file in files for sample in file["accepted"]]
    patterns = [pattern["pattern_id"] for pattern in state.get("patterns", []) if pattern["iteration"] == iteration]
    late = close_round(iteration, [file["outcome"] for file in files], patterns, samples, run)
    closed = [_without(late, file) for file in files]
    accepted = [sample for sample in samples if sample["id"] not in late]
    rejected = [entry for file in files for entry in file["rejected"]]
    rejected += [_duplicate(sample) for sample in samples if sample["id"] in late]
    books = total(closed)
    check_identity(f"round {iteration}", books, sum(len(plan["slots"]) for plan in plans))
    slots = [slot["sample_id"] for plan in plans for slot in plan["slots"]]
    check_ids(f"round {iteration}", slots, [sample["id"] for sample in accepted] + [r["sample_id"] for r in rejected])
    run.dir.write_jsonl(f"{folder}/synthetic_raw.jsonl", [draft for file in files for draft in file["raw"]])
    run.dir.write_jsonl(f"{folder}/reviews.jsonl", [review for file in files for review in file["reviews"]])
    run.dir.write_jsonl(f"{folder}/rejected.jsonl", rejected)
    run.dir.write_jsonl(f"{folder}/batches.jsonl", closed)
    run.dir.write_jsonl(f"{folder}/synthetic_accepted.jsonl", accepted)
    run.emit("collect_batches", iteration=iteration, **books)
    accounting: Accounting = {"iteration": iteration, **books}
    reason = "" if accepted else _why_nothing(iteration, books)
    return {"accounting": [accounting], "outcomes": outcomes_by_strategy(closed), "stop_reason": reason}


def read_plans(run: Run, artifact: Artifact) -> list[BatchPlan]:
    """The plans that `artifact` is.

    Raises:
        InputError: the file is another one by now, as after a fork of the run from an earlier checkpoint.
    """
    if run.dir.artifact(artifact["path"]) != artifact:
        raise InputError(
            f"{run.dir.path(artifact['path'])}: is not the plan that this state belongs to, since the round was "
            "planned anew. Go on from the newest checkpoint, or from one before plan_batches."
        )
    plans: list[BatchPlan] = run.dir.read_jsonl(artifact["path"])
    return plans


def batch_file(folder: str, batch_id: str) -> str:
    """Where a batch's drafts, reviews, samples and outcome are, relative to the run directory."""
    return f"{folder}/batches/{batch_id}.json"


def check_batch(plan: BatchPlan, file: dict[str, Any]) -> None:
    """Check a batch's file against its plan: one fate for every slot.

    Raises:
        StoppedError: names the batch.
    """
    name = f"batch {plan['batch_id']}"
    check_identity(name, file["outcome"], len(plan["slots"]))
    found = [sample["id"] for sample in file["accepted"]] + [entry["sample_id"] for entry in file["rejected"]]
    check_ids(name, [slot["sample_id"] for slot in plan["slots"]], found)


def outcomes_by_strategy(outcomes: Sequence[BatchOutcome]) -> list[StrategyOutcome]:
    """What the state keeps of a round's batches: one record for each strategy, and one for the error branch."""
    groups: dict[str | None, list[BatchOutcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome["strategy_id"], []).append(outcome)
    return [
        {
            "iteration": group[0]["iteration"],
            "branch": group[0]["branch"],
            "strategy_id": strategy_id,
            "batches": len(group),
            "accepted_batches": sum(outcome["accepted_batch"] for outcome in group),
            "attempts": sum(outcome["attempts"] for outcome in group),
            "first_score": _mean([outcome["scores"][0] for outcome in group if outcome["scores"]]),
            "best_score": _mean([max(outcome["scores"]) for outcome in group if outcome["scores"]]),
            "lowest_batch": min(group, key=lambda outcome: max(outcome["scores"], default=0.0))["batch_id"],
            **total(group),
        }
        for strategy_id, group in groups.items()
    ]


def _mean(values: list[float]) -> float | None:
    return round(sum(values) / len(values), 3) if values else None


def _without(late: set[str], file: dict[str, Any]) -> BatchOutcome:
    """A batch's outcome once the repetitions among its samples are taken out."""
    outcome: BatchOutcome = file["outcome"]
    count = sum(sample["id"] in late for sample in file["accepted"])
    accepted = outcome["accepted"] - count
    return {
        **outcome,
        "accepted": accepted,
        "duplicate": outcome["duplicate"] + count,
        "accepted_batch": accepted > 0,
    }


def _duplicate(sample: Sample) -> dict[str, object]:
    review = sample["review"]
    return {
        "batch_id": sample["batch_id"],
        "branch": sample["branch"],
        "strategy_id": sample["strategy_id"],
        "sample_id": sample["id"],
        "seed_id": sample["seed_id"],
        "row": sample["row"],
        "fate": "duplicate",
        "reason": "it repeats a question of D_train or of another batch",
        "overlap": "round",
        "score": review["score"] if review else None,
        "feedback": review["feedback"] if review else "",
    }


def _why_nothing(iteration: int, books: Fates) -> str:
    if books["requested"] == 0:
        return f"round {iteration}: nothing to generate from (or generation.ratio is too small for one sample)"
    return f"round {iteration}: none of the {books['requested']} synthetic samples was accepted"
