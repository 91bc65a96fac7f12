"""How alike are the centroids of one error pattern in two samples, and those of two patterns? For evolution.ALIKE.

    python benchmarks/pattern_threshold.py [RUN_DIR ...]

Groups of analyses are the kinds of tests/data/made_up_analyses.jsonl, written for this project, and in each run
directory the clusters of each round. Each group of at least four is divided at random into halves, 50 times, as if two
rounds had seen a half each. "same" is the cosine of a group's two halves, "other" that of halves of two groups of one
source. A run's clusters were found by the same embeddings, so that their halves look more alike, and two clusters less,
than those of two rounds would.
"""

import json
import random
import sys
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import numpy as np

from pada_graph.clustering import SentenceEmbedder, centroids
from pada_graph.rundir import RunDir

DRAWS = 50
THRESHOLDS = (0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.8)
MADE_UP = Path(__file__).parents[1] / "tests" / "data" / "made_up_analyses.jsonl"


def made_up() -> dict[str, list[str]]:
    """Texts of the made-up analyses by kind."""
    groups: dict[str, list[str]] = {}
    for line in MADE_UP.read_text(encoding="utf-8").splitlines():
        analysis = json.loads(line)
        groups.setdefault(analysis["kind"], []).append(text(analysis))
    return groups


def rounds(root: Path) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """Texts of a run's analyses by cluster, round by round."""
    run = RunDir(root)
    for t in run.iterations():
        analyses = {row["failure_id"]: row for row in run.rows_so_far(f"iteration_{t}/analyses.jsonl")}
        clusters = run.rows_so_far(f"iteration_{t}/clusters.jsonl")
        if clusters:
            yield (
                f"{root.name}, round {t}",
                {c["cluster"]: [text(analyses[i]) for i in c["failure_ids"]] for c in clusters},
            )


def text(analysis: dict[str, str]) -> str:
    """What a run embeds (nodes/pattern_analysis.py)."""
    return f"{analysis['scenario_category']}: {analysis['error_cause']}"


def cosines(groups: dict[str, list[str]], embedder: SentenceEmbedder) -> tuple[list[float], list[float]]:
    """Cosines of halves of one group, and of halves of two groups."""
    vectors = [embedder.embed(texts) for texts in groups.values() if len(texts) >= 4]
    same, other = [], []
    for draw in range(DRAWS):
        rng = random.Random(draw)
        halves = [centroids(found, rng.sample([i % 2 for i in range(len(found))], len(found))) for found in vectors]
        same += [float(a @ b) for a, b in halves]
        other += [float(one[0] @ two[1]) for one, two in permutations(halves, 2)]
    return same, other


def main() -> None:
    """Print quantiles and, for each threshold, what share of pairs it takes for one pattern."""
    embedder = SentenceEmbedder("builtin:minilm")
    sources = [("made up", made_up()), *(source for root in sys.argv[1:] for source in rounds(Path(root)))]
    for name, groups in sources:
        print(f"\n{name}: groups of {', '.join(str(len(texts)) for texts in groups.values())}")
        for what, values in zip(("same", "other"), cosines(groups, embedder), strict=True):
            if values:
                least, low, middle, high, most = np.quantile(values, (0, 0.05, 0.5, 0.95, 1))
                shares = "  ".join(f">={t}: {100 * np.mean(np.array(values) >= t):.0f} %" for t in THRESHOLDS)
                print(
                    f"  {what:5} min {least:.2f}  5 % {low:.2f}  median {middle:.2f}  95 % {high:.2f}  max {most:.2f}"
                )
                print(f"        {shares}")


if __name__ == "__main__":
    main()
