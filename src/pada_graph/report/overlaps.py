"""What the report says of overlaps: in the data itself, and in what the leakage guard stopped."""

from collections import Counter
from typing import Any

from pada_graph.rundir import RunDir

KINDS = {  # of an overlap, as nodes/guard.py writes them
    "ngram": "shares words in a row with a validation or test row",
    "embedding": "rephrases a validation or test row",
    "seed": "hardly differs from its seed",
    "train": "repeats a train row",
    "accepted": "repeats a sample of an earlier round",
    "round": "repeats a sample of the same round",
}


def overlaps(run: RunDir, limit: int = 50) -> dict[str, Any]:
    """Rows left out of a split or repeated in it, and drafts and strategies that the leakage guard stopped."""
    data = run.rows_so_far("data/overlaps.jsonl")
    stopped = [row for t in run.iterations() for row in run.rows_so_far(f"iteration_{t}/overlaps.jsonl")]
    counts = Counter((row["iteration"], row["subject"], row["kind"]) for row in stopped)
    return {
        "looked": run.path("data/manifest.json").exists() or bool(data),
        "data": data[:limit],
        "data_total": len(data),
        "stopped": stopped[:limit],
        "stopped_total": len(stopped),
        "counts": sorted((*key, count) for key, count in counts.items()),
        "kinds": KINDS,
    }
