"""Recompute the numbers of a run's metrics.json from its raw outputs, with the standard library alone.

Run: python benchmarks/recompute_metrics.py RUN_DIR...

It shares no code with the package. Prints each number that differs, and the keys it does not know; exits with 1 if a
number differs. The bootstrap interval is compared with the exact distribution it samples, to within one item.
"""

import itertools
import json
import math
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Z = 1.959963984540054  # the normal distribution's 97.5 % quantile
FATES = ("rejected", "failed", "duplicate", "contaminated")


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def number(text: str) -> float | None:
    found = re.findall(r"-?\d[\d,]*(?:\.\d+)?", text)
    return float(found[-1].replace(",", "")) if found else None


def right(prediction: dict[str, Any], sums: bool) -> bool:
    """The verdict: read afresh where answers are numbers (task jsonl, data.match number), else as recorded."""
    if not sums:
        return bool(prediction["correct"])
    return number(prediction["output"]) is not None and number(prediction["output"]) == number(prediction["target"])


def score(predictions: list[dict[str, Any]], sums: bool) -> dict[str, float]:
    n, correct = len(predictions), sum(right(p, sums) for p in predictions)
    share = correct / n
    middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
    return {
        "n": n,
        "correct": correct,
        "accuracy": share,
        "low": max(0.0, middle - half),
        "high": min(1.0, middle + half),
        "unparsed": sum(p["parsed"] is None for p in predictions),
        "truncated": sum(p["truncated"] for p in predictions),
    }


def differences(n: int, fixed: int, broken: int) -> list[float]:
    """Chances of a resampled sum of -n ... n, each item +1, -1 or 0."""
    chances = [1.0]
    for _ in range(n):
        longer = [0.0] * (len(chances) + 2)
        for place, chance in enumerate(chances):
            longer[place] += chance * broken / n
            longer[place + 1] += chance * (n - fixed - broken) / n
            longer[place + 2] += chance * fixed / n
        chances = longer
    return chances


def quantile(chances: list[float], level: float) -> float:
    n, total = len(chances) // 2, 0.0
    for place, chance in enumerate(chances):
        total += chance
        if total >= level:
            return (place - n) / n
    return 1.0


def comparison(before: list[dict[str, Any]], after: list[dict[str, Any]], sums: bool) -> dict[str, Any]:
    first = {p["id"]: right(p, sums) for p in before}
    second = {p["id"]: right(p, sums) for p in after}
    n = len(first)
    fixed = sum(second[item] and not first[item] for item in first)
    broken = sum(first[item] and not second[item] for item in first)
    tail = sum(math.comb(fixed + broken, k) for k in range(min(fixed, broken) + 1)) / 2 ** (fixed + broken)
    chances = differences(n, fixed, broken)
    return {
        "n": n,
        "fixed": fixed,
        "broken": broken,
        "difference": (fixed - broken) / n,
        "error": math.sqrt(fixed + broken - (fixed - broken) ** 2 / n) / n,
        "low": quantile(chances, 0.025),
        "high": quantile(chances, 0.975),
        "p_value": min(1.0, 2 * tail),
    }


def teacher(run: Path) -> dict[str, dict[str, int]]:
    connection = sqlite3.connect(f"file:{run / 'teacher_calls.sqlite'}?mode=ro", uri=True)
    rows = connection.execute(
        "SELECT role, input_tokens, output_tokens FROM calls WHERE status = 'finished'"
    ).fetchall()
    connection.close()
    return {
        role: {
            "calls": sum(row[0] == role for row in rows),
            "input_tokens": sum(row[1] for row in rows if row[0] == role),
            "output_tokens": sum(row[2] for row in rows if row[0] == role),
        }
        for role in {row[0] for row in rows}
    }


def recompute(run: Path) -> dict[str, Any]:
    """metrics.json, as far as it is made of numbers."""
    config = json.loads((run / "resolved_config.json").read_text())
    sums = config["task"] == "jsonl" and config["data"]["match"] == "number"
    train = len(lines(run / "data/train.jsonl"))

    def scored(folder: str, split: str) -> dict[str, float] | None:
        predictions = lines(run / folder / f"predictions_{split}.jsonl")
        return score(predictions, sums) if predictions else None

    iterations, accounting, synthetic = [], Counter(), 0
    count = len(list(run.glob("iteration_*/predictions_validation.jsonl")))
    for t in range(len(list(run.glob("iteration_*/batches.jsonl"))) + 1):
        folder = run / f"iteration_{t}"
        accepted, rejected = lines(folder / "synthetic_accepted.jsonl"), lines(folder / "rejected.jsonl")
        accounting["requested"] += len(accepted) + len(rejected)
        accounting["accepted"] += len(accepted)
        accounting.update({fate: sum(entry["fate"] == fate for entry in rejected) for fate in FATES})
        synthetic += len(accepted)
        if t < count:
            scores = {split: scored(f"iteration_{t}", split) for split in ("train", "validation", "test")}
            iterations.append({"iteration": t, "train_rows": train, "synthetic_rows": synthetic, **scores})
            rows = len(lines(folder / "train.jsonl"))
            if rows != train + synthetic:
                iterations[-1]["synthetic_rows"] = rows - train
    best = max(range(count), key=lambda t: (iterations[t]["validation"]["accuracy"], -t))
    pair = [lines(run / f"iteration_{t}/predictions_test.jsonl") for t in (0, best)]
    grouped = any(prediction["group"] is not None for prediction in pair[0])
    return {
        "seed": config["seed"],
        "best_iteration": best,
        "untuned": {split: scored("untuned", split) for split in ("validation", "test")},
        "iterations": iterations,
        "comparison": comparison(*pair, sums) if best and not grouped else None,
        "accounting": dict(accounting),
        "teacher": teacher(run),
    }


def numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a JSON value, with its dotted name."""
    if isinstance(value, dict | list):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from numbers(part, f"{name}.{key}" if name else str(key))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield name, float(value)


def disagreements(run: Path) -> tuple[list[str], list[str]]:
    """What differs from metrics.json, in words; and the names of its numbers that this script does not know."""
    metrics = json.loads((run / "metrics.json").read_text())
    recorded, ours = dict(numbers(metrics)), dict(numbers(recompute(run)))
    step = 1.001 / (metrics["comparison"] or {"n": 1})["n"]
    different = []
    for name, value in ours.items():
        given = recorded.get(name)
        slack = step if name in ("comparison.low", "comparison.high") else 1e-9
        if given is None or abs(given - value) > slack:
            different.append(f"{name}: metrics.json has {given}, the raw outputs give {value}")
    total = sum(value for name, value in recorded.items() if name.startswith("seconds."))
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines() if line.endswith("}")]
    ends = [k for k, event in enumerate(events) if event["event"] == "finalize"]
    closing = ends[-1] if ends else len(events)  # a kill right after it has the run finalized again
    pairs = itertools.pairwise(events[:closing])
    busy = sum(max(0.0, after["time"] - before["time"]) for before, after in pairs if after["event"] != "session")
    report = events[closing]["time"] - events[closing - 1]["time"] if closing < len(events) else math.inf
    if not busy - 1 < total < busy + report + 1:  # the report is built after the clock was read
        different.append(f"seconds: metrics.json sums to {total}, the events to {busy} and {report} for the report")
    return different, sorted(name for name in recorded.keys() - ours.keys() if not name.startswith("seconds."))


def main() -> int:
    wrong = 0
    for argument in sys.argv[1:]:
        different, unknown = disagreements(Path(argument))
        wrong += len(different)
        print(f"{argument}: {'differs' if different else 'agrees'}; not checked: {', '.join(unknown) or 'nothing'}")
        print("".join(f"  {line}\n" for line in different), end="")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
