import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pada_graph.errors import InputError, StoppedError
from pada_graph.services import Reply
from pada_graph.teacher.budget import Spending
from pada_graph.teacher.journal import Call, Journal
from pada_graph.teacher.journal_file import NOT_BILLED, SCHEMA_VERSION
from tests.provider_tools import unfinished

REPLY = Reply("text é \n", "stop", 3, 4)


def call(key: str, role: str = "judge") -> Call:
    return Call(key, role, "openai:x", "item", 0, "prompt")  # type: ignore[arg-type]


def test_nothing_is_opened_before_the_first_use(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "calls.sqlite")
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_started_call_is_countable_and_has_no_reply(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "calls.sqlite")
    journal.start(call("a"))
    journal.start(call("b"))
    assert journal.find("a") is None
    assert (journal.calls(), unfinished(journal)) == (2, 2)
    journal.finish("a", REPLY)
    assert journal.find("a") == REPLY
    assert (journal.calls(), unfinished(journal)) == (2, 1)
    journal.close()
    assert Journal(tmp_path / "calls.sqlite").find("a") == REPLY


def test_repeated_start_counts_as_another_call(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "calls.sqlite")
    journal.start(call("a"))
    journal.start(call("a"))
    assert (journal.calls(), unfinished(journal)) == (2, 1)


def test_refused_call_is_neither_paid_nor_outstanding(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "calls.sqlite")
    journal.start(call("a"))
    journal.refuse("a", "no such model")
    assert (journal.calls(), unfinished(journal), journal.find("a")) == (0, 0, None)
    journal.start(call("a"))
    journal.finish("a", REPLY)
    assert (journal.calls(), journal.find("a")) == (1, REPLY)


def test_usage_sums_finished_calls_by_role(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "calls.sqlite")
    for key, role in (("a", "judge"), ("b", "judge"), ("c", "generator"), ("d", "analyst")):
        journal.start(call(key, role))
    for key in "abc":
        journal.finish(key, REPLY)
    assert journal.usage() == {
        "judge": {"calls": 2, "input_tokens": 6, "output_tokens": 8},
        "generator": {"calls": 1, "input_tokens": 3, "output_tokens": 4},
    }


def test_sums_follow_every_write_without_reading_the_calls_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "calls.sqlite"
    journal = Journal(path)
    journal.start(call("before", "analyst"))
    journal.close()

    def unread(self: Journal, sql: str, *values: object) -> list[object]:
        raise AssertionError(sql)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_read", unread)
        for key, role in (("a", "judge"), ("a", "judge"), ("b", "judge"), ("c", "generator"), ("d", "generator")):
            journal.start(call(key, role))
        for key in "ab":
            journal.finish(key, REPLY)
        journal.finish("a", REPLY)  # twice, as two threads may that asked the same
        journal.finish("before", Reply("no token count", "stop", 0, 0))
        journal.finish("c", NOT_BILLED)
        journal.refuse("d", "no such model")
        found = journal.spent()
        assert (journal.calls(), journal.unanswered()) == (5, 1)
    assert found == {
        "analyst": Spending(sent=1, finished=1, uncounted=1),
        "generator": Spending(sent=1, finished=1),
        "judge": Spending(sent=3, finished=2, input_tokens=6, output_tokens=8),
    }
    journal.close()
    assert Journal(path).spent() == found


def test_a_stored_reply_is_no_failure_though_the_head_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "calls.sqlite")
    heads = tmp_path / "heads.json"
    journal.start(call("a"))
    heads.write_text("{ damaged")
    journal.finish("a", REPLY)
    assert journal.find("a") == REPLY and journal.usage()["judge"]["calls"] == 1
    with pytest.raises(InputError, match="damaged"):  # told before anything else is written
        journal.start(call("b"))
    assert journal.calls() == 1
    heads.unlink()
    journal.start(call("b"))
    assert json.loads(heads.read_text())["finished_calls"] == {"calls.sqlite": 1}


def test_replies_are_read_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pada_graph.teacher.journal._PAGE", 2)
    journal = Journal(tmp_path / "calls.sqlite")
    for number in range(5):
        journal.start(call(str(number)))
        if number != 3:
            journal.finish(str(number), Reply(str(number), "stop", 1, 1))
    sizes: list[int] = []
    read = Journal._read

    def counted(self: Journal, sql: str, *values: object) -> list[object]:
        rows = read(self, sql, *values)
        sizes.append(len(rows))
        return rows

    monkeypatch.setattr(Journal, "_read", counted)
    assert sorted(reply.text for _, reply in journal.replies()) == ["0", "1", "2", "4"]
    assert sizes == [2, 2, 0]


def test_writes_of_many_threads_share_commits_and_none_is_lost(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "calls.sqlite")
    journal.start(call("first"))
    groups: list[int] = []
    connections = journal._process
    assert connections is not None
    commit = connections._commit

    def counted(group: list) -> None:  # type: ignore[type-arg]
        groups.append(len(group))
        time.sleep(0.003)  # a slow disk
        commit(group)

    connections._commit = counted  # type: ignore[method-assign]

    def work(number: int) -> Reply | None:
        journal.start(call(str(number)))
        journal.finish(str(number), REPLY)
        return journal.find(str(number))

    with ThreadPoolExecutor(64) as pool:
        assert list(pool.map(work, range(640))) == [REPLY] * 640
    assert sum(groups) == 1280
    assert len(groups) < 1280 / 8  # alone each write would wait for a commit of its own
    assert unfinished(journal) == 1


WORKER = """
import sys, time
from pathlib import Path
from concurrent.futures import ThreadPoolExecutor
from pada_graph.services import Reply
from pada_graph.teacher.journal import Call, Journal
journal = Journal(Path(sys.argv[1]))
def work(number):
    journal.start(Call(str(number), "judge", "m", "i", 0, "p"))
    journal.finish(str(number), Reply("t" * 200, "stop", 1, 1))
    sys.stdout.write(f"{number}\\n")
    sys.stdout.flush()
with ThreadPoolExecutor(8) as pool:
    list(pool.map(work, range(100000)))
"""


def test_whatever_returned_before_a_kill_is_there_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "calls.sqlite"
    child = subprocess.Popen([sys.executable, "-c", WORKER, str(path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(200)]
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read()
    child.wait()
    told = [line for line in ("".join(lines) + rest).splitlines(keepends=True) if line.endswith("\n")]
    assert len(told) >= 200
    journal = Journal(path)
    assert all(journal.find(line.strip()) for line in told)
    assert unfinished(journal) <= 8


def _in_child(path: Path, journal: Journal) -> None:
    journal.start(call("child"))
    journal.finish("child", REPLY)
    os._exit(0 if journal.find("parent") == REPLY else 1)


def test_forked_child_and_parent_both_go_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "calls.sqlite")
    journal.start(call("parent"))
    journal.finish("parent", REPLY)
    child = multiprocessing.get_context("fork").Process(target=_in_child, args=(tmp_path, journal))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert journal.find("child") == REPLY
    journal.start(call("later"))
    assert unfinished(journal) == 1


def test_a_write_that_comes_after_the_close_fails_and_the_next_one_opens_the_file_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "calls.sqlite")
    journal.start(call("a"))
    late = journal._process
    assert late is not None
    journal.close()
    journal._process = late  # taken by a thread before the close, used after it
    with ThreadPoolExecutor(1) as pool, pytest.raises(StoppedError, match="was closed while a call was under way"):
        pool.submit(journal.start, call("b")).result(30)
    journal._process = None
    journal.start(call("b"))
    assert journal.calls() == 2


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE calls (x)")


def garbage(path: Path) -> None:
    path.write_bytes(b"This is no database, whatever its name says.\n" * 100)


def newer(path: Path) -> None:
    journal = Journal(path)
    journal.start(call("a"))
    journal.close()
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")


def torn(path: Path) -> None:
    journal = Journal(path)
    for number in range(200):
        journal.start(call(str(number)))
    journal.close()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("damage", [foreign, garbage, newer, torn])
def test_damaged_or_foreign_file_is_refused_by_name_and_left_alone(damage, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "calls.sqlite"
    damage(path)
    before = path.read_bytes()
    journal = Journal(path)
    with pytest.raises(StoppedError, match=r"calls\.sqlite.*(move it away|mend)"):
        for number in range(200):
            journal.find(str(number))
    journal.close()
    assert path.read_bytes() == before


def test_full_disk_stops_the_run_and_loses_nothing_finished(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "calls.sqlite")
    journal.start(call("a"))
    journal.finish("a", REPLY)
    connections = journal._process
    assert connections is not None
    pages = connections._writer.execute("PRAGMA page_count").fetchone()[0]
    connections._writer.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoppedError, match="Free some space"):
        for number in range(100):
            journal.start(Call(f"b{number}", "judge", "m", "i", 0, "prompt" * 1000))
    assert journal.find("a") == REPLY
    connections._writer.execute("PRAGMA max_page_count = 100000")
    journal.start(call("c"))
    journal.finish("c", REPLY)
    assert journal.find("c") == REPLY
