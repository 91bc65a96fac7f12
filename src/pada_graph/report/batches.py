"""What the report says of the rounds' batches: attempts, ratings, fates, and each batch's drafts attempt by attempt."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from pada_graph.accounting import total
from pada_graph.methods import get_method
from pada_graph.report.models import task_of
from pada_graph.report.rounds import RoundFiles
from pada_graph.report.texts import fields, spread
from pada_graph.rundir import RunDir
from pada_graph.state import Fates

SHORT = 500  # characters shown of a field where many drafts stand side by side
Fitted = tuple[str, int]  # id of a sample and the attempt (0 = first) that wrote it


def batch_rounds(run: RunDir, rounds: Sequence[RoundFiles], limit: int = 12) -> list[dict[str, Any]]:
    """Per round: batch outcomes, fates of all drafts, mean ratings; `limit` batches with all their drafts."""
    train = {row["id"]: row for row in run.rows_so_far("data/train.jsonl")}
    found = []
    for files in rounds:
        t, outcomes = files["iteration"], files["outcomes"]
        names = {
            item["strategy_id"]: item["strategy_name"] for item in run.rows_so_far(f"iteration_{t}/strategies.jsonl")
        }
        outcomes = [
            {**outcome, "strategy_name": names.get(outcome["strategy_id"]), "verdict": verdict(outcome)}
            for outcome in outcomes
        ]
        fates = Counter(draft["fate"] for draft in files["raw"])
        told = [outcome for outcome in outcomes if outcome["attempts"] > 1] or outcomes
        found.append(
            {
                "iteration": t,
                "closed": files["closed"],
                "planned": files["planned"],
                "outcomes": outcomes,
                "verdicts": Counter(outcome["verdict"] for outcome in outcomes),
                "passed_at": sorted(turns([files])["passed"].items()),
                "drafts": len(files["raw"]),
                "unfit": {fate: fates[fate] for fate in ("failed", "duplicate", "contaminated")},
                "reviews": len(files["reviews"]),
                "ratings": {
                    key: _mean(files["reviews"], key) for key in ("adherence", "utility", "relevance", "score")
                },
                "accounting": total(outcomes),
                "funnel": _funnel(outcomes),
                "several": len(told) < len(outcomes),
                "told": len(told),
                "shown": [_batch(outcome, files, train) for outcome in spread(told, limit)],
            }
        )
    return found


def _funnel(outcomes: Sequence[Mapping[str, Any]]) -> list[Fates]:
    """What became of the samples asked for in each attempt, all batches together."""
    attempts = zip_longest(*(outcome.get("books", []) for outcome in outcomes))
    return [total(books for books in attempt if books) for attempt in attempts]


def attempt_books(rounds: Sequence[RoundFiles]) -> Fates:
    """The books of all attempts of all batches: what was asked for again counts again."""
    return total(books for files in rounds for outcome in files["outcomes"] for books in outcome.get("books", []))


def _batch(outcome: Mapping[str, Any], files: RoundFiles, train: Mapping[str, Any]) -> dict[str, Any]:
    """A batch's slots, each with its seed and its draft of every attempt (None: not asked for again)."""
    batch = outcome["batch_id"]
    drafts = {(d["sample_id"], d["attempt"]): d for d in files["raw"] if d["batch_id"] == batch}
    reviews = {(r["sample_id"], r["attempt"]): r for r in files["reviews"] if r["batch_id"] == batch}
    accepted = fitted(files)
    turns = range(max((attempt for _, attempt in drafts), default=-1) + 1)
    slots = []
    for sample_id in dict.fromkeys(name for name, _ in drafts):
        own = [drafts.get((sample_id, turn)) for turn in turns]
        last = max(turn for turn in turns if own[turn])
        seed_id = next(draft["seed_id"] for draft in own if draft)
        cells = [
            draft
            and {
                "fate": _fate(draft, (sample_id, turn) in accepted, turn < last),
                "fault": draft["fault"],
                "fields": fields(draft["row"], SHORT),
                "review": reviews.get((sample_id, turn)),
            }
            for turn, draft in enumerate(own)
        ]
        slots.append({"id": sample_id, "seed_id": seed_id, "seed": fields(train.get(seed_id), SHORT), "drafts": cells})
    return {**outcome, "slots": slots, "turns": list(turns)}


def _fate(draft: Mapping[str, Any], accepted: bool, again: bool) -> str:
    """What became of one draft, in a word."""
    if accepted:
        return "accepted"
    if draft["fate"] != "ok":
        return str(draft["fate"])
    return "written again" if again else "rejected"


def fitted(files: RoundFiles) -> set[Fitted]:
    """The drafts that were accepted."""
    return {(sample["id"], sample["attempts"] - 1) for sample in files["accepted"]}


def scores(rounds: Sequence[RoundFiles]) -> tuple[list[float], list[float]]:
    """The judge's scores of accepted drafts, and of all others."""
    accepted: list[float] = []
    others: list[float] = []
    for files in rounds:
        good = fitted(files)
        for review in files["reviews"]:
            (accepted if (review["sample_id"], review["attempt"]) in good else others).append(review["score"])
    return accepted, others


def verdict(outcome: Mapping[str, Any]) -> str:
    """Whether a sample of the batch passed quality control ("passed"), or else its best attempt was kept ("best kept").

    A batch that passed may have no sample left, where all repeat those of other batches. Batches of earlier versions
    have no books of their attempts.
    """
    if any(books["accepted"] for books in outcome.get("books", [outcome])):
        return "passed"
    return "best kept" if outcome["accepted"] else "dropped"


def turns(rounds: Sequence[RoundFiles]) -> dict[str, Counter[int]]:
    """Of each verdict: attempts -> batches."""
    found: dict[str, Counter[int]] = {"passed": Counter(), "best kept": Counter(), "dropped": Counter()}
    for outcome in (outcome for files in rounds for outcome in files["outcomes"]):
        found[verdict(outcome)][outcome["attempts"]] += 1
    return found


def samples(run: RunDir, config: Mapping[str, Any], rounds: Sequence[RoundFiles], limit: int = 12) -> dict[str, Any]:
    """Accepted and rejected samples beside their seed rows, `limit` of each, evenly spaced over the run.

    `unjudged` says why samples have no review.
    """
    task = task_of(run, config)
    accepted = [sample for files in rounds for sample in files["accepted"]]
    rejected = [{**sample, "iteration": files["iteration"]} for files in rounds for sample in files["rejected"]]
    seeds = {row["id"]: row for row in run.rows_so_far("data/train.jsonl")} | {
        sample["id"]: sample["row"] for sample in accepted
    }

    def shown(chosen: list[Any]) -> list[Any]:
        return [
            {
                **sample,
                "question": task.question(sample["row"]) if sample["row"] else "",
                "fields": fields(sample["row"]),
                "seed": fields(seeds.get(sample["seed_id"])),
            }
            for sample in spread(chosen, limit)
        ]

    has_judge = get_method(config["method"]).quality_control
    return {
        "unjudged": "quality control is switched off" if has_judge else f"the method {config['method']} has no judge",
        "accepted": shown(accepted),
        "accepted_total": len(accepted),
        "rejected": shown(rejected),
        "rejected_total": len(rejected),
    }


def _mean(reviews: Sequence[Mapping[str, Any]], key: str) -> float | None:
    values = [review[key] for review in reviews if review[key] is not None]
    return sum(values) / len(values) if values else None
