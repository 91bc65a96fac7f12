"""What the benchmarks keep, and what they say of sides that failed."""

import argparse
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from benchmarks import measure, teacher_calls
from benchmarks.peers import running

ROOT = Path(__file__).parents[2]
PEERS = list(running.LIBRARIES)


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(measure, "RESULTS", tmp_path / "results")
    monkeypatch.setattr("sys.argv", ["a_script", "--times", "5"])
    return tmp_path / "results"


def given(**changed: Any) -> argparse.Namespace:
    return argparse.Namespace(**{"calls": None, "times": 5, "least": 5, "peers": PEERS, **changed})


def asked(wall: float) -> running.Asked:
    return running.Asked(measure.Process(wall, wall, 100.0, ""), "", {"wall": wall}, 10)


def test_a_side_that_failed_has_a_row_in_the_kept_table(results: Path) -> None:
    row = measure.Row("some figure", "s", 1.0)
    running.report("a_script", [row], given(), {"curator"})
    kept = json.loads((results / "a_script.json").read_text())
    assert [found["name"] for found in kept["rows"]] == ["some figure", "left out: it failed"]
    assert kept["rows"][1]["peer_name"] == "curator" and kept["rows"][1]["met"] is None
    assert kept["command"] == "python -m benchmarks.a_script --times 5"
    assert kept["versions"]["revision"] == measure.REVISION


@pytest.mark.parametrize("trial", [{"calls": 10}, {"times": 4}, {"peers": PEERS[1:]}])
def test_a_trial_is_shown_and_not_kept(
    results: Path, capsys: pytest.CaptureFixture[str], trial: dict[str, Any]
) -> None:
    running.report("a_script", [measure.Row("some figure", "s", 1.0)], given(**trial))
    assert "some figure" in capsys.readouterr().out and not results.exists()


def test_a_peer_that_fails_is_left_out_and_ours_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    def measured(side: str) -> running.Asked:
        if side == failing:
            raise RuntimeError(f"{side} returned 3 of 10 rows")
        return asked(1.0)

    failing = "curator"
    assert set(running.in_turn(("ours", "curator", "sdg_hub"), measured, 2)) == {"ours", "sdg_hub"}
    assert "left out: curator returned 3 of 10 rows" in capsys.readouterr().out
    failing = "ours"
    with pytest.raises(RuntimeError, match="ours returned"):
        running.in_turn(("ours", "curator"), measured, 2)


def test_of_rounds_in_turn_medians_count_and_the_ratios_of_single_rounds_are_kept() -> None:
    row = measure.compared("some figure", "s", [1.0, 4.0, 3.0], peer=[2.0, 2.0, 4.0], floor=1.5, more_is_better=False)
    assert (row.ours, row.peer, row.ratio, row.ratios) == (3.0, 2.0, 1.5, (0.5, 2.0))
    assert row.share_of_floor == 0.5
    assert measure.compared("some figure", "s", [1.0, 4.0, 3.0], peer=2.0).ratios == (0.5, 2.0)
    assert measure.compared("some figure", "s", [1.0, 4.0, 3.0], peer=[0.0, 2.0, 4.0]).ratios == ()
    assert measure.compared("some figure", "s", 1.0, peer=2.0).ratios == ()


def test_the_goal_is_judged_beside_the_best_of_all_libraries_or_not_at_all() -> None:
    walls = dict(zip(PEERS, (10.0, 9.0, 8.0, 7.0), strict=True))
    found = {
        "ours": [asked(5.0)],
        "aiohttp_loop": [asked(1.0)],
        **{side: [asked(wall)] for side, wall in walls.items()},
    }
    judged = [row for row in teacher_calls.compare(0.05, 2000, found) if row.goal]
    assert [(row.peer_name, row.met) for row in judged] == [(PEERS[3], True)]  # 5 <= 0.75 * 7
    del found[PEERS[0]]
    assert not [row for row in teacher_calls.compare(0.05, 2000, found) if row.goal]


def test_rows_that_did_not_come_back_are_no_measurement() -> None:
    assert running.whole(asked(1.0), "curator", 10)
    with pytest.raises(RuntimeError, match="curator returned 10 of 11 rows"):
        running.whole(asked(1.0), "curator", 11)


def test_the_revision_says_whether_the_measured_code_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*words: str) -> None:
        who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", str(tmp_path), *who, *words], check=True, capture_output=True)

    for name in [name for name in os.environ if name.startswith("GIT_")]:  # a hook's would name another repository
        monkeypatch.delenv(name)
    monkeypatch.setattr(measure, "ROOT", tmp_path)
    assert measure._revision() == ""  # no checkout
    for name in ("src/code.py", "benchmarks/results/old.json", "docs/page.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("before")
    git("init")
    git("add", "-A")
    git("commit", "-m", "all")
    clean = measure._revision()
    assert clean and not clean.endswith("-dirty")
    (tmp_path / "docs/page.md").write_text("after")
    git("commit", "--all", "-m", "docs alone")
    (tmp_path / "benchmarks/results/old.json").write_text("after")
    assert measure._revision() == clean
    (tmp_path / "src/code.py").write_text("after")
    assert measure._revision() == f"{clean}-dirty"


def test_rounds_of_an_interrupted_run_count_until_its_result_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rounds(times: int, key: str = "training_200") -> list[int]:
        return measure.in_turn({"ours": partial(next, numbers)}, times, key)["ours"]

    monkeypatch.setattr(measure, "ROOT", tmp_path)
    monkeypatch.setattr(measure, "REVISION", "abc1234")
    numbers = iter((0, 1))
    with pytest.raises(StopIteration):
        rounds(3)
    numbers = iter(range(2, 99))
    assert rounds(3) == [0, 1, 2] and rounds(2) == [0, 1]
    assert rounds(1, "training_24") == [3]
    for number, other in enumerate(("abc1235", "abc1234-dirty", "abc1234-dirty", "", ""), 4):  # of other code
        monkeypatch.setattr(measure, "REVISION", other)
        assert rounds(1) == [number]
    monkeypatch.setattr(measure, "REVISION", "abc1234")
    assert rounds(3) == [0, 1, 2]
    measure.forget("training_200")
    assert rounds(1) == [9] and rounds(1, "training_24") == [3]


def test_every_second_round_begins_at_the_other_end() -> None:
    order: list[str] = []
    sides = {name: partial(order.append, name) for name in "abc"}
    assert measure.in_turn(sides, 3) == {name: [None] * 3 for name in "abc"}
    assert "".join(order) == "abccbaabc"


def test_a_peer_runs_without_what_importing_the_package_sets() -> None:
    plain = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    show = "import os; print(os.environ.get('OMP_WAIT_POLICY'))"
    code = (
        "import os, sys; from benchmarks import measure; import pada_graph; print(os.environ['OMP_WAIT_POLICY']);"
        f"print(measure.process([sys.executable, '-c', {show!r}]).output, end='');"
        f"measure.as_given(); {show}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=plain, cwd=ROOT)
    assert done.stdout.split() == ["passive", "None", "None"]


def test_a_package_that_cannot_be_installed_leaves_a_peer_out_with_a_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "PEERS", tmp_path)
    monkeypatch.setattr(measure.venv, "create", lambda folder, **_: (folder / "bin").mkdir(parents=True))
    monkeypatch.setattr(measure.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1))
    with pytest.raises(RuntimeError, match=r"curator cannot be measured: pip could not install curator==9"):
        measure.peer_python("curator", "curator==9")
    assert not (tmp_path / "curator/ready").exists()
