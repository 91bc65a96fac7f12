"""Row 12: SIGKILL wherever it hurts. Row 14: SIGTERM and Ctrl-C.

A seeded sample of moments, so that it takes about a minute; `make soak` tries them all.
"""

import contextlib
import itertools
import json
import os
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.fake_provider import Answer, FakeProvider, Request
from tests.faults.harness import KILLED, Case, answer, calls, check_calls, check_rows, outcome

MOMENTS = [
    ("put", "before"),  # a superstep is done but not committed
    ("put", "after"),
    ("put_writes", "before"),  # a task is done but not committed
    ("request", "unanswered"),  # a call is in flight
    ("start", "after"),  # a call is in the journal and not sent
    ("finish", "before"),  # a reply has arrived and is not committed
    ("finish", "after"),
    ("rename", "before"),  # a file is whole and has not got its name
    ("rename", "after"),
]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """What a run that nothing disturbs leaves behind, and how often it passes each point."""
    folder = tmp_path_factory.mktemp("unbroken")
    with FakeProvider(answer) as provider:
        case = Case(folder, provider, spec={"counts": str(folder / "counts.json")})
        assert case.run() == 0, case.message
        check_calls(case)
        check_rows(case.run_dir)
        regenerations = [row for row in calls(case.run_dir) if row["attempt"] > 0]
        assert regenerations, "the kill points are to lie in the inner loop too"
        counts = json.loads((folder / "counts.json").read_text())
        return outcome(case.run_dir), {**counts, "request": len(provider.requests)}


@pytest.mark.slow
@pytest.mark.parametrize("concurrency", [1, 2, 8])
@pytest.mark.parametrize(("point", "when"), MOMENTS)
def test_row_12_a_run_killed_anywhere_ends_as_if_nothing_had_happened(unbroken, tmp_path, concurrency, point, when):
    expected, counts = unbroken
    nth = random.Random(f"{point} {when} {concurrency}").randint(1, counts[point])
    with FakeProvider(answer) as provider:
        case = Case(tmp_path, provider, concurrency)
        if point == "request":
            status = case.kill_at_request(nth)
        else:
            status = case.run({"at": point, "nth": nth, "when": when, "do": "kill"})
        assert status == KILLED, f"{point} {nth} was not reached: {case.message}"
        assert case.run() == 0, case.message
        check_calls(case)
        check_rows(case.run_dir)
        assert outcome(case.run_dir) == expected


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("moment", ["metrics.json", "evolution.json", "report.html", "the last checkpoint"])
def test_row_12_a_run_killed_while_it_finishes_ends_as_if_nothing_had_happened(unbroken, tmp_path, moment, when):
    expected, counts = unbroken
    with FakeProvider(answer) as provider:
        case = Case(tmp_path, provider)
        fault = (
            {"at": "put", "nth": counts["put"]} if moment == "the last checkpoint" else {"at": "rename", "to": moment}
        )
        assert case.run({**fault, "when": when, "do": "kill"}) == KILLED, case.message
        assert case.run() == 0, case.message
        check_calls(case)
        check_rows(case.run_dir)
        assert outcome(case.run_dir) == expected


@pytest.mark.slow
def test_row_12_a_run_killed_after_every_fifth_call_ends_all_the_same(unbroken, tmp_path):
    expected, counts = unbroken
    with FakeProvider(answer) as provider:
        case = Case(tmp_path, provider, concurrency=2)
        while (status := case.run({"at": "finish", "nth": 5, "when": "after", "do": "kill"})) == KILLED:
            assert len(case.kills) < 20, "it gets nowhere"
        assert status == 0, case.message
        done = [sum(row["status"] == "finished" for row in journal.values()) for _, journal in case.kills]
        assert all(after - before >= 5 for before, after in itertools.pairwise([0, *done]))
        assert len(case.kills) >= counts["finish"] // 6  # another call in flight may finish beside the fifth
        check_calls(case)
        check_rows(case.run_dir)
        assert outcome(case.run_dir) == expected


def test_row_12_calls_in_flight_at_a_kill_show_as_started_without_a_result(tmp_path):
    everyone = threading.Barrier(2)

    def hold_two(request: Request) -> str:
        if request.nth == 0 and len(provider.requests) <= 2:
            everyone.wait(30)  # both are here, neither is answered
            case.process.kill()
        return answer(request)

    with FakeProvider(hold_two) as provider:
        case = Case(tmp_path, provider, concurrency=2)
        assert case.run() == KILLED
        left = calls(case.run_dir)
        assert [(row["status"], row["starts"]) for row in left] == [("started", 1)] * 2
        assert case.run() == 0, case.message
        again = [row for row in calls(case.run_dir) if row["starts"] == 2]
        assert {row["key"] for row in again} == {row["key"] for row in left}
        check_calls(case)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_row_14_a_signal_ends_the_run_at_once_though_calls_are_in_flight(unbroken, tmp_path, number, status):
    sent = 0.0
    heard = threading.Event()

    def slow(request: Request) -> Answer:
        nonlocal sent
        if len(provider.requests) < 7 or case.kills:
            return Answer(answer(request))
        if not sent:
            sent = time.monotonic()
            os.kill(case.process.pid, number)
        heard.wait(60)  # the provider thinks on
        return Answer(answer(request))

    with FakeProvider(slow) as provider:
        case = Case(tmp_path, provider, concurrency=2)
        assert case.run() == status, case.message
        assert time.monotonic() - sent < 20  # the answer would have taken a minute
        heard.set()
        assert "everything finished is kept. The same command goes on from here." in case.message
        assert "Traceback" not in case.message
        before = calls(case.run_dir)
        assert sum(row["status"] == "finished" for row in before) >= 5
        assert case.run() == 0, case.message
        check_calls(case)
        assert outcome(case.run_dir) == unbroken[0]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_row_14_a_signal_during_training_takes_the_child_along(tmp_path, number, status):
    pytest.importorskip("trl")
    student = {"model": "builtin:tiny", "training": {"epochs": 40, "batch_size": 2}, "lora": {"r": 4}}
    with FakeProvider(answer) as provider:
        case = Case(tmp_path, provider, spec={"trainer": "local"}, config={"iterations": 0, "student": student})
        process = case.start()
        log = case.run_dir / "iteration_0/training_log.jsonl"
        deadline = time.monotonic() + 100
        while not (log.exists() and log.read_text().count("\n") > 5):
            assert time.monotonic() < deadline and process.is_alive()
            time.sleep(0.05)
        (server,) = children_of(process.pid)
        (child,) = children_of(server)
        os.kill(process.pid, number)
        assert case.finish() == status
        deadline = time.monotonic() + 30
        while any(Path(f"/proc/{pid}").exists() for pid in (server, child)):
            assert time.monotonic() < deadline, "the training child outlives its parent"
            time.sleep(0.1)
        done = log.read_text().count("\n")
        assert case.run() == 0, case.message
        steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
        assert steps == list(range(1, 241)) and done < 240
        assert (case.run_dir / "iteration_0/adapter/manifest.json").exists()


def children_of(pid: int) -> list[int]:
    """Processes whose parent is `pid`."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            state, parent, *_ = stat.read_text().rpartition(")")[2].split()
            if int(parent) == pid and state != "Z":
                found.append(int(stat.parent.name))
    return found
