"""What README and docs say of speed is what the benchmarks' files hold."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
COUNTS = ("rows", "calls")
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.json"))


def rows(script: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((ROOT / f"benchmarks/results/{script}.json").read_text())["rows"]
    return found


def best(script: str, name: str) -> float:
    """The row that has a goal: beside the best peer."""
    (ratio,) = (row["ratio"] for row in rows(script) if row["name"] == name and row["goal"])
    return float(ratio)


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_kept_file_says_where_it_comes_from_and_its_sums_are_right(path: Path) -> None:
    found = json.loads(path.read_text())
    script = re.match(r"python -m benchmarks\.(\w+)", found["command"])
    assert script and (ROOT / f"benchmarks/{script[1]}.py").exists() and f"{path.stem}_".startswith(f"{script[1]}_")
    assert {"cpu", "cores", "memory_gb"} <= found["machine"].keys() and "python" in found["versions"]
    assert str(ROOT) not in path.read_text()
    for row in found["rows"]:
        assert row["met"] is None or row["goal"]
        if row["unit"] in COUNTS:
            assert row["ratio"] is None  # as many are of nothing
        elif row["peer"]:
            assert row["ratio"] == pytest.approx(row["ours"] / row["peer"])


def test_the_readmes_ratios_are_those_of_the_files() -> None:
    text = (ROOT / "README.md").read_text()
    ratios = [float(word) for word in re.findall(r"\| (\d\.\d\d) x ", text)]
    measured = [
        1 / best("predictions_arc_challenge", "arc_challenge, 200 rows"),
        1 / best("predictions_squad", "squad, 200 rows"),
        1 / best("predictions_gsm8k", "gsm8k, 40 rows"),
        1 / best("training", "fine-tuning on 80 rows of SQuAD"),
        best("graph_cost", "whole run, 300 rows, two iterations"),
        best("teacher_calls", "1000 calls of 500 ms, whole process"),
        best("teacher_calls", "2000 calls of 50 ms, whole process"),
        best("rate_limit", "400 calls, 20 a second: time over the ideal"),
        best("startup", "a training job, beside training"),
        best("clustering_guard", "guard, 5,000 held-out x 1,000 new rows"),
    ]
    assert ratios == [pytest.approx(value, abs=0.005) for value in measured]


def test_every_table_of_the_page_has_its_file_and_every_file_its_table() -> None:
    shown = re.findall(r"<!-- generated: benchmark (\w+) -->", (ROOT / "docs/performance.md").read_text())
    assert sorted(shown) == [path.stem for path in RESULTS]
