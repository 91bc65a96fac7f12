"""The end of the inner loop (A.4): what of a batch joins the synthetic set, and what became of the rest."""

from typing import Any

from pada_graph.accounting import count_fates
from pada_graph.methods.base import Generating
from pada_graph.nodes.collection import batch_file, check_batch
from pada_graph.nodes.run import Run
from pada_graph.state import Attempt, BatchOutcome, BatchPlan, BatchState, BatchUpdate, Draft, Review, Sample

Final = dict[str, tuple[Draft, Review | None]]  # each slot's draft that counts, with its review


def accept_batch(state: BatchState, run: Run) -> BatchUpdate:
    """The batch passed, wholly or in part: its samples join the synthetic set."""
    best = _best_drafts(state) if _keeps_best_samples(run) else {}
    kept = [*state["kept"], *(draft for draft, _ in best.values())]
    return _close(state, run, kept, _final_drafts(state["history"]) | best)


def reject_batch(state: BatchState, run: Run) -> BatchUpdate:
    """The batch never passed: dropped, or its best attempt kept where the config says so."""
    if run.config.quality.on_exhausted == "drop":
        return _close(state, run, [], _final_drafts(state["history"]))
    if _keeps_best_samples(run):
        return accept_batch(state, run)
    best = max(state["history"], key=lambda attempt: attempt["score"] or 0)
    usable = [draft for draft in best["drafts"] if draft["fate"] == "ok"]
    return _close(state, run, usable, _final_drafts([*state["history"], best]))


def _keeps_best_samples(run: Run) -> bool:
    """Whether a sample that never passed is kept as its best attempt has it; else batches pass or fail whole."""
    return run.config.quality.gate == "sample" and run.config.quality.on_exhausted == "keep_best"


def _best_drafts(state: BatchState) -> Final:
    """Of each slot that never passed, the usable draft with the best rating, and its review."""
    best: Final = {}
    for attempt in state["history"]:
        reviews = {review["sample_id"]: review for review in attempt["reviews"]}
        for draft in attempt["drafts"]:
            slot, review = draft["sample_id"], reviews.get(draft["sample_id"])
            _, before = best.get(slot, (None, None))
            better = review and (before is None or review["score"] > before["score"])
            if slot in state["open"] and draft["fate"] == "ok" and better:
                best[slot] = draft, review
    return best


def _final_drafts(history: list[Attempt]) -> Final:
    """Each slot's last draft, with its review."""
    final: Final = {}
    for attempt in history:
        reviews = {review["sample_id"]: review for review in attempt["reviews"]}
        final |= {draft["sample_id"]: (draft, reviews.get(draft["sample_id"])) for draft in attempt["drafts"]}
    return final


def _close(state: BatchState, run: Run, kept: list[Draft], final: Final) -> BatchUpdate:
    """Write the batch's file and say what became of every slot."""
    plan, history = state["plan"], state["history"]
    samples = [_sample(state, run, draft, final[draft["sample_id"]][1]) for draft in kept]
    accepted = {sample["id"] for sample in samples}
    rejected = [rejection(plan, draft, review) for id_, (draft, review) in final.items() if id_ not in accepted]
    name = batch_file(run.folder(plan["iteration"]), plan["batch_id"])
    tag = {"batch_id": plan["batch_id"]}
    outcome: BatchOutcome = {
        "iteration": plan["iteration"],
        "batch_id": plan["batch_id"],
        "branch": plan["branch"],
        "strategy_id": plan["strategy_id"],
        "accepted_batch": bool(samples),
        "attempts": len(history),
        "scores": _scores(history),
        "feedback": [attempt["feedback"] for attempt in history],
        "books": [attempt["books"] for attempt in history],
        **count_fates(["accepted" for _ in samples] + [entry["fate"] for entry in rejected]),
        "file": name,
    }
    file = {
        "outcome": outcome,
        "accepted": samples,
        "rejected": rejected,
        "raw": [{**tag, "attempt": a["attempt"], **draft} for a in history for draft in a["drafts"]],
        "reviews": [{**tag, "attempt": a["attempt"], **review} for a in history for review in a["reviews"]],
    }
    check_batch(plan, file)
    run.dir.write_json(name, file)
    run.emit(
        "batch",
        iteration=plan["iteration"],
        batch=plan["batch_id"],
        accepted=len(samples),
        requested=len(plan["slots"]),
    )
    return {"outcomes": [outcome]}


def _scores(history: list[Attempt]) -> list[float]:
    return [attempt["score"] for attempt in history if attempt["score"] is not None]


def _sample(state: BatchState, run: Run, draft: Draft, review: Review | None) -> Sample:
    plan, strategy = state["plan"], state["strategy"]
    return {
        "id": draft["sample_id"],
        "row": draft["row"] or {},
        "iteration": plan["iteration"],
        "branch": plan["branch"],
        "strategy_id": plan["strategy_id"],
        "pattern_id": strategy["pattern_id"] if strategy else None,
        "seed_id": draft["seed_id"],
        "batch_id": plan["batch_id"],
        "generator": run.config.models.generator.model if isinstance(run.method, Generating) else "",
        "prompt_sha256": draft["prompt_sha256"],
        "attempts": draft["attempt"] + 1,
        "scores": _scores(state["history"][: draft["attempt"] + 1]),
        "review": review,
    }


def rejection(plan: BatchPlan, draft: Draft, review: Review | None) -> dict[str, Any]:
    """One line of rejected.jsonl: a draft that did not make it, and why."""
    return {
        "batch_id": plan["batch_id"],
        "branch": plan["branch"],
        "strategy_id": plan["strategy_id"],
        "sample_id": draft["sample_id"],
        "seed_id": draft["seed_id"],
        "row": draft["row"],
        "fate": "rejected" if draft["fate"] == "ok" else draft["fate"],
        "reason": draft["fault"] or "the batch stayed below the threshold",
        "overlap": draft["overlap"],
        "score": review["score"] if review else None,
        "feedback": review["feedback"] if review else "",
    }
