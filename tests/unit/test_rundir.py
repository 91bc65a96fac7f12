"""The run directory: whole files or none, one process at a time."""

import errno
import shutil
from pathlib import Path
from uuid import uuid4

import pytest

from pada_graph.errors import InputError, StoppedError
from pada_graph.lock import at_work, end, hold, locked
from pada_graph.rundir import RunDir


def test_an_artifact_knows_its_count_and_hash(tmp_path):
    directory = RunDir(tmp_path)
    artifact = directory.write_jsonl("a/rows.jsonl", [{"text": "Zoë\u2028 ate"}, {"text": "b"}])
    assert artifact["count"] == 2 and directory.artifact("a/rows.jsonl") == artifact
    assert directory.read_jsonl("a/rows.jsonl")[0] == {"text": "Zoë\u2028 ate"}


def test_a_full_disk_keeps_the_old_file_and_stops_resumably(tmp_path, monkeypatch):
    directory = RunDir(tmp_path)
    directory.write_json("x.json", 1)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pada_graph.rundir.os.fsync", full)
    with pytest.raises(StoppedError, match=r"x.json: cannot be written \(No space left on device\)"):
        directory.write_json("x.json", 2)
    assert directory.read_json("x.json") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_damaged_files_are_named(tmp_path):
    (tmp_path / "x.json").write_text("{")
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n{"b"')
    with pytest.raises(InputError, match=r"x\.json: missing or damaged"):
        RunDir(tmp_path).read_json("x.json")
    with pytest.raises(InputError, match=r"x\.jsonl: missing or damaged"):
        RunDir(tmp_path).read_jsonl("x.jsonl")


def test_not_a_number_is_never_written(tmp_path):
    with pytest.raises(ValueError):
        RunDir(tmp_path).write_json("x.json", float("nan"))
    assert not (tmp_path / "x.json").exists()


def test_a_second_process_is_refused_at_once(tmp_path):
    with (
        locked(tmp_path),
        pytest.raises(InputError, match="this process is already working on this run"),
        locked(tmp_path),
    ):
        pass
    with locked(tmp_path):
        assert True


def test_the_lock_outlives_its_session_while_a_node_is_at_work(tmp_path):
    session = uuid4()
    closed = []
    hold(tmp_path, session, closed.append)
    hold(tmp_path, session, closed.append)  # its next node
    with at_work(tmp_path):
        end(session)  # cancelled, but a thread cannot be
        with pytest.raises(InputError, match="this process is already working on this run"), locked(tmp_path):
            pass
        assert closed == []
    assert closed == [tmp_path.resolve()]
    with locked(tmp_path):
        pass


def test_a_directory_made_for_a_start_that_was_not_accepted_is_taken_back_with_its_empty_parents(tmp_path):
    (tmp_path / "runs").mkdir()
    with locked(tmp_path / "runs/new/deep") as session:
        assert (tmp_path / "runs/new/deep/.lock").exists() and session
    assert list(tmp_path.iterdir()) == [tmp_path / "runs"] and list((tmp_path / "runs").iterdir()) == []
    with locked(tmp_path / "more/one"), locked(tmp_path / "more/two"):
        RunDir(tmp_path / "more/two").write_json("data/manifest.json", {})
    assert list((tmp_path / "more").iterdir()) == [tmp_path / "more/two"]


def test_a_directory_made_for_a_start_is_kept_with_whatever_else_is_in_it(tmp_path):
    for name in ("cells/one/metrics.json", "teacher_calls.sqlite", "table1.md"):
        with locked(tmp_path / "new") as session:
            (tmp_path / "new" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "new" / name).write_text("worth something")
        assert (tmp_path / "new" / name).read_text() == "worth something" and session
        shutil.rmtree(tmp_path / "new")


def test_a_directory_that_was_there_before_is_never_taken_back(tmp_path):
    (tmp_path / "mine").write_text("notes")
    with locked(tmp_path):
        pass
    assert (tmp_path / "mine").read_text() == "notes"


def test_a_file_in_the_place_of_a_run_directory_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be used as run directory"), locked(Path(tmp_path / "file")):
        pass


def test_a_log_line_torn_by_a_kill_is_passed_over(tmp_path):
    directory = RunDir(tmp_path)
    directory.append("events.jsonl", {"event": "a"})
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"event": "b", "ti')
    directory.append("events.jsonl", {"event": "c"})
    directory.append("events.jsonl", {"event": "d"})
    assert [event["event"] for event in directory.read_log("events.jsonl")] == ["a", "d"]
