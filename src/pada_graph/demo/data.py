"""The demo's data set: three splits with a planted generalization gap, the same on every machine.

In train two kinds of problems are common and four are rare; in validation and test all six are equally frequent. A
student fine-tuned on train learns the common kinds and mistakes the rare ones for them.
"""

import random
from collections.abc import Mapping

from pada_graph.demo.problems import KINDS, make_problem
from pada_graph.near_duplicates import NearDuplicates
from pada_graph.state import Row, Split

COMMON = ("total", "left")
RARE = tuple(kind for kind in KINDS if kind not in COMMON)
COUNTS: dict[Split, Mapping[str, int]] = {
    "train": dict.fromkeys(COMMON, 26) | dict.fromkeys(RARE, 3),
    "validation": dict.fromkeys(KINDS, 12),
    "test": dict.fromkeys(KINDS, 25),
}


def demo_rows() -> dict[Split, list[Row]]:
    """Make all rows, {"id", "question", "answer"} each, in a fixed mixed order.

    No question occurs twice, and none nearly repeats one of another split.
    """
    seen: set[str] = set()
    earlier = NearDuplicates()
    rows: dict[Split, list[Row]] = {}
    for split in COUNTS:
        rows[split] = _split(split, seen, earlier)
        for row in rows[split]:
            earlier.add(row["id"], row["question"])
    return rows


def _split(split: Split, seen: set[str], earlier: NearDuplicates) -> list[Row]:
    rng = random.Random(f"pada-graph demo {split}")
    problems = []
    for kind, count in COUNTS[split].items():
        for _ in range(count):
            problem = make_problem(kind, rng)
            while problem["question"] in seen or earlier.find(problem["question"]):
                problem = make_problem(kind, rng)
            seen.add(problem["question"])
            problems.append(problem)
    rng.shuffle(problems)
    return [{"id": f"{split}-{number}", **problem} for number, problem in enumerate(problems, start=1)]
