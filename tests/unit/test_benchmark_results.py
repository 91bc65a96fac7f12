"""What README and docs say of speed is what the benchmarks' files hold."""

import importlib.util
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
    """The ratio of the row that has a goal: beside the best peer; of rows whose name begins so."""
    (ratio,) = (row["ratio"] for row in rows(script) if row["name"].startswith(name) and row["goal"] and row["ratio"])
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
        if row.get("ratios"):
            assert row["ratios"][0] <= row["ratio"] <= row["ratios"][1]


def test_the_readmes_ratios_are_those_of_the_files() -> None:
    text = (ROOT / "README.md").read_text()
    ratios = [float(word) for word in re.findall(r"\| (\d\.\d\d) x ", text)]
    fine_tuning = rows("training")[0]["name"]
    measured = [
        1 / best("predictions_arc_challenge", "arc_challenge"),
        1 / best("predictions_squad", "squad"),
        1 / best("predictions_gsm8k", "gsm8k"),
        1 / best("training", fine_tuning),
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


def test_the_readme_says_of_how_many_rows_its_ratios_are() -> None:
    text = (ROOT / "README.md").read_text()
    for script, task in (
        ("predictions_arc_challenge", "ARC"),
        ("predictions_squad", "SQuAD"),
        ("predictions_gsm8k", "GSM8K"),
    ):
        (count,) = {re.search(r", (\d+) rows", row["name"])[1] for row in rows(script)}
        assert f"to {count} rows of {task}" in text
    assert rows("training")[0]["name"].replace("fine-tuning", "fine-tuning it") in text


@pytest.fixture
def reference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The site's hook, with no results yet."""
    spec = importlib.util.spec_from_file_location("reference", ROOT / "docs/hooks/reference.py")
    assert spec and spec.loader
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    monkeypatch.setattr(found, "RESULTS", tmp_path)
    return found


def test_a_table_of_the_page_has_the_ratios_of_single_rounds_where_the_file_has_them(
    reference: Any, tmp_path: Path
) -> None:
    row = {"name": "some", "unit": "s", "ours": 3.0, "peer": 2.0, "peer_name": "another", "ratio": 1.5, "goal": ""}
    row |= {"met": None, "floor": 1.5, "share_of_floor": 0.5}
    machine = {"cores": 2, "cpu": "some", "memory_gb": 24}
    written = {"machine": machine, "versions": {}, "command": "some", "rows": [{**row, "ratios": [1.25, 1.75]}, row]}
    (tmp_path / "some.json").write_text(json.dumps(written))
    shown = reference.benchmark("some").splitlines()[-2:]
    assert shown[0] == "| some (s) | 3 | 2 | another | 1.5 (1.25 to 1.75) |  |  | 1.5 (50%) |"
    assert shown[1] == "| some (s) | 3 | 2 | another | 1.5 |  |  | 1.5 (50%) |"


def test_the_page_names_each_goal_that_is_missed_with_a_ratio_or_without(reference: Any, tmp_path: Path) -> None:
    kept = {"unit": "s", "share_of_floor": None, "peer_name": "another"}
    slow = {**kept, "name": "slow", "ours": 3.0, "ratio": 1.5, "goal": "<= 1 x", "met": False}
    lost = {**kept, "name": "lost", "ours": 2, "ratio": None, "goal": "0", "met": False}
    fine = {**kept, "name": "fine", "ours": 1.0, "ratio": 0.5, "goal": "<= 1 x", "met": True}
    (tmp_path / "gpu").mkdir()
    (tmp_path / "some.json").write_text(json.dumps({"rows": [fine]}))
    assert reference.goals() == "All goals are met."
    (tmp_path / "gpu/other.json").write_text(json.dumps({"rows": [slow, {**fine, "met": None}, lost]}))
    said = reference.goals().splitlines()[2:]
    assert said == ["- slow (s): 1.5 x another; the goal is <= 1 x", "- lost (s): 2; the goal is 0"]
