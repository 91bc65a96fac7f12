"""The hostile programs through `pada-graph score`, a process of its own, at the limits that users have."""

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pada_graph import sandbox

HOSTILE = Path(__file__).parents[1] / "data" / "hostile_programs.jsonl"
SECRET = "canary-7351"
# The command itself, with a stopwatch round each verdict. As the reaper of its orphans (prctl 36,
# PR_SET_CHILD_SUBREAPER) it can call the roll of all that its sandboxes ever started and that has not ended.
COMMAND = """
import ctypes, json, os, sys, time
from pathlib import Path
from pada_graph import cli, sandbox
from pada_graph.tasks import humaneval

def parents():
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state not in "ZX":
            yield int(path.parent.name), int(parent)

def descendants():
    found, known = {os.getpid()}, dict(parents())
    while more := {process for process, parent in known.items() if parent in found} - found:
        found |= more
    return sorted(found - {os.getpid()})

assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0
report, sys.argv[1:] = Path(sys.argv[1]), sys.argv[2:]
judge, times, at_work = humaneval.run_tests, {}, 0

def timed(program, *rest):
    global at_work
    started = time.monotonic()
    outcome = judge(program, *rest)
    times[program] = time.monotonic() - started
    at_work = max(at_work, len(descendants()))
    return outcome

humaneval.run_tests = timed
try:
    cli.main()
finally:
    deadline = time.monotonic() + 2
    while (left := descendants()) and time.monotonic() < deadline:
        time.sleep(0.05)
    limits = [sandbox.CPU_SECONDS, sandbox.WALL_SECONDS]
    report.write_text(json.dumps({"times": times, "left": left, "at_work": at_work, "limits": limits}))
"""


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed")
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_hostile_programs_get_the_right_verdict_in_time_and_touch_nothing(tmp_path):
    """Most of them behave like the right function if their attack succeeds: a wrong verdict names the hole."""
    marker = f"marker-{os.getpid()}-{random.getrandbits(64)}"
    home_canary = Path.home() / f".{marker}"
    file, report = tmp_path / "hostile.jsonl", tmp_path / "report.json"
    with (
        socket.create_server(("", 0)) as server,
        tempfile.NamedTemporaryFile("w+", prefix=marker) as canary,
    ):
        server.settimeout(0.2)
        canary.write(SECRET)
        canary.flush()
        home_canary.write_text(SECRET)
        text = HOSTILE.read_text(encoding="utf-8").replace("@HOME@", str(home_canary)).replace("@TMP@", canary.name)
        file.write_text(text.replace("@PORT@", str(server.getsockname()[1])), encoding="utf-8")
        try:
            done = subprocess.run(
                [sys.executable, "-c", COMMAND, report, "score", file],
                env={**os.environ, "AWS_SECRET_ACCESS_KEY": SECRET},
                capture_output=True,
                text=True,
                check=False,
            )
            assert home_canary.read_text() == Path(canary.name).read_text() == SECRET
            assert list(Path.home().glob(f".{marker}*")) == [home_canary]
            assert list(Path(tempfile.gettempdir()).glob(f"{marker}*")) == [Path(canary.name)]
        finally:
            home_canary.unlink()
        with pytest.raises(TimeoutError):
            server.accept()
    assert (done.returncode, done.stderr) == (0, "9 of 76 correct (11.8%)\n")
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    verdicts = [json.loads(line) for line in done.stdout.splitlines()]
    wrong = [
        (row["name"], verdict["reason"])
        for row, verdict in zip(rows, verdicts, strict=True)
        if row["correct"] != verdict["correct"]
    ]
    assert wrong == []
    assert [verdict["reason"] for verdict in verdicts if SECRET in verdict["reason"]] == []
    assert sum(not row["correct"] for row in rows) >= 34

    seen = json.loads(report.read_text())
    assert seen["limits"] == [5, 10] == [sandbox.CPU_SECONDS, sandbox.WALL_SECONDS]
    assert len(seen["times"]) == len(rows)
    print("slowest verdicts in seconds:", *(round(took, 1) for took in sorted(seen["times"].values())[-15:]))
    assert [took for took in seen["times"].values() if took > sandbox.WALL_SECONDS + 2] == []
    assert seen["left"] == [] and seen["at_work"] > 0  # the roll call sees sandboxes while they work
