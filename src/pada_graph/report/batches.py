"""What the report says of the rounds' batches and samples: scores, fates, and samples beside their seeds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from pada_graph.accounting import total
from pada_graph.report.texts import fields, spread
from pada_graph.rundir import RunDir
from pada_graph.state import Fates
from pada_graph.tasks import get_task


def batch_rounds(run: RunDir) -> list[dict[str, Any]]:
    """Per round: batch outcomes, what became of all drafts of all attempts, and the judge's mean ratings."""
    rounds = []
    for t in run.iterations():
        outcomes = run.rows_so_far(f"iteration_{t}/batches.jsonl")
        if not outcomes:
            continue
        names = {
            item["strategy_id"]: item["strategy_name"] for item in run.rows_so_far(f"iteration_{t}/strategies.jsonl")
        }
        reviews = run.rows_so_far(f"iteration_{t}/reviews.jsonl")
        passed = Counter(outcome["attempts"] for outcome in outcomes if outcome["accepted_batch"])
        fates = Counter(draft["fate"] for draft in run.rows_so_far(f"iteration_{t}/synthetic_raw.jsonl"))
        rounds.append(
            {
                "iteration": t,
                "outcomes": [{**o, "strategy_name": names.get(o["strategy_id"])} for o in outcomes],
                "passed": sum(passed.values()),
                "passed_at": sorted(passed.items()),
                "drafts": sum(fates.values()),
                "unfit": {fate: fates[fate] for fate in ("failed", "duplicate", "contaminated")},
                "reviews": len(reviews),
                "ratings": {key: _mean(reviews, key) for key in ("adherence", "utility", "relevance", "score")},
                "accounting": total(outcomes),
                "funnel": _funnel(outcomes),
            }
        )
    return rounds


def _funnel(outcomes: Sequence[Mapping[str, Any]]) -> list[Fates]:
    """What became of the samples asked for in each attempt, all batches together."""
    attempts = zip_longest(*(outcome.get("books", []) for outcome in outcomes))
    return [total(books for books in attempt if books) for attempt in attempts]


def samples(run: RunDir, config: Mapping[str, Any], limit: int = 12) -> dict[str, Any]:
    """Accepted and rejected samples beside their seed rows, `limit` of each, evenly spaced over the run."""
    task = get_task(config["task"], config["data"]["match"])
    accepted = [
        sample for t in run.iterations() for sample in run.rows_so_far(f"iteration_{t}/synthetic_accepted.jsonl")
    ]
    rejected = [
        {**sample, "iteration": t}
        for t in run.iterations()
        for sample in run.rows_so_far(f"iteration_{t}/rejected.jsonl")
    ]
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

    return {
        "accepted": shown(accepted),
        "accepted_total": len(accepted),
        "rejected": shown(rejected),
        "rejected_total": len(rejected),
    }


def _mean(reviews: Sequence[Mapping[str, Any]], key: str) -> float | None:
    values = [review[key] for review in reviews if review[key] is not None]
    return sum(values) / len(values) if values else None
