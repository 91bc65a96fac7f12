"""Fault matrix rows 15, 17 and 18: two processes, databases that are not what they were, adapters of another run."""

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver

from pada_graph import build_graph, databases, run
from pada_graph.errors import InputError, StoppedError
from pada_graph.executors.local import LocalTrainer
from pada_graph.heads import record_calls
from pada_graph.lock import locked
from pada_graph.services import Reply
from pada_graph.student import manifest
from pada_graph.teacher.journal import Call, Journal
from tests.fakes import FakeTeacher, FakeTrainer, KilledError, fake_services, write_sums
from tests.graph.test_loop import config

JOURNAL, CHECKPOINTS = "teacher_calls.sqlite", "checkpoints.sqlite"
CALLS = 5


@pytest.fixture(scope="module")
def sums(tmp_path_factory) -> Path:
    return write_sums(tmp_path_factory.mktemp("data") / "sums")


@pytest.fixture(scope="module")
def killed(sums, tmp_path_factory) -> Path:
    """What SIGKILL in the first round leaves: a copy of the run directory while everything in it is open."""
    root = tmp_path_factory.mktemp("killed")
    journal = Journal(root / "run" / JOURNAL)

    class Dying(FakeTeacher):
        def ask(self, role, prompt, *, item, attempt=0):
            with self._lock:
                if not (root / "left").exists():
                    for number in range(CALLS):
                        journal.start(Call(f"key{number}", "analyst", "a model", "item", number, "prompt"))
                        journal.finish(f"key{number}", Reply("text", "stop", 1, 1))
                    shutil.copytree(root / "run", root / "left")
            raise KilledError

    with pytest.raises(KilledError):
        run(config(sums, iterations=1), root / "run", services=fake_services(teacher=Dying()))
    journal.close()
    assert (root / "left" / f"{JOURNAL}-wal").stat().st_size and (root / "left" / f"{CHECKPOINTS}-wal").stat().st_size
    return root / "left"


@pytest.fixture
def left(killed, tmp_path) -> Path:
    return Path(shutil.copytree(killed, tmp_path / "run"))


def contents(root: Path) -> dict[str, bytes]:
    """All files but the lock, the log that a session opens with and SQLite's shared memory, which is no content."""
    passing = (".lock", "-shm")
    files = [path for path in root.rglob("*") if path.is_file() and not path.name.endswith(passing)]
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


def refused(sums: Path, root: Path, *words: str) -> str:
    """The message of a start that is refused; nothing of the run was changed."""
    before = contents(root)
    trainer = FakeTrainer()
    with pytest.raises(InputError) as error:
        run(config(sums, iterations=1), root, services=fake_services(trainer=trainer))
    for word in words:
        assert word in str(error.value)
    assert contents(root) == before and trainer.jobs == []
    return str(error.value)


def finishes(sums: Path, root: Path, **options) -> FakeTrainer:
    trainer = FakeTrainer()
    metrics = run(config(sums, iterations=1), root, services=fake_services(trainer=trainer), **options)
    assert metrics["stop_reason"] == "the only round is done"
    return trainer


def test_what_a_kill_leaves_goes_on(sums, left):
    trainer = finishes(sums, left)
    assert [job.adapter.parent.name for job in trainer.jobs] == ["iteration_1"]  # iteration 0 was trained before


# ------------------------------------------------------------------------------------------------------------ row 15

HOLDER = """
import sys
from pathlib import Path
from pada_graph.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def held_elsewhere(root: Path) -> Iterator[None]:
    """Another process that has the run."""
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(root)], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout.readline() == "held\n"
        yield
        other.stdin.close()


def test_row_15_a_second_process_is_refused_in_every_way_of_use(sums, tmp_path):
    root, settings = tmp_path / "run", config(sums, method="vanilla")
    graph = build_graph(fake_services(), InMemorySaver())
    thread = {"configurable": {"thread_id": "t"}}
    file = tmp_path / "config.yaml"
    file.write_text(settings.model_dump_json())
    with held_elsewhere(root):
        with pytest.raises(InputError, match="another process is working on this run"):
            run(settings, root, services=fake_services())
        with pytest.raises(InputError, match="another process is working on this run"):
            graph.invoke({"run_dir": str(root)}, thread, context=settings)
        main = "from pada_graph.cli import main; main()"
        command = [sys.executable, "-c", main, "run", str(file), "--run-dir", str(root)]
        second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert second.returncode == 2 and "another process is working on this run" in second.stderr
        assert sorted(path.name for path in root.iterdir()) == [".lock"]
    assert graph.invoke(None, thread, context=settings)["best_iteration"] == 0  # and when it is free, it goes on


def test_row_15_a_bare_graph_holds_its_run_until_it_ends_or_stops(sums, tmp_path):
    root, settings = tmp_path / "run", config(sums, iterations=1)
    probe = [sys.executable, "-c", HOLDER, str(root)]
    answers = []

    class Curious(FakeTeacher):
        def ask(self, role, prompt, *, item, attempt=0):
            if not answers:
                answers.append(subprocess.run(probe, input="", capture_output=True, text=True, check=False).stderr)
            raise KilledError

    saver, thread = InMemorySaver(), {"configurable": {"thread_id": "t"}}
    with pytest.raises(KilledError):
        build_graph(fake_services(teacher=Curious()), saver).invoke({"run_dir": str(root)}, thread, context=settings)
    assert "another process is working on this run" in answers[0]
    with held_elsewhere(root):  # stopped: free
        pass
    build_graph(fake_services(), saver).invoke(None, thread, context=settings, interrupt_before=["plan_batches"])
    with held_elsewhere(root):  # interrupted: free
        pass
    build_graph(fake_services(), saver).invoke(None, thread, context=settings)
    with held_elsewhere(root):  # ended: free
        pass


def test_row_15_a_second_run_in_the_same_process_is_refused_too(sums, tmp_path):
    settings, root = config(sums, method="vanilla"), tmp_path / "run"
    with locked(root):
        with pytest.raises(InputError, match="this process is already working on this run"):
            build_graph(fake_services()).invoke({"run_dir": str(root)}, context=settings)
        with pytest.raises(InputError, match="this process is already working on this run"):
            run(settings, root, services=fake_services())
    run(settings, root, services=fake_services())


# ------------------------------------------------------------------------------------------------------------ row 17


def drop_wal(path: Path) -> None:
    path.with_name(f"{path.name}-wal").unlink()
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)


def truncate(path: Path) -> None:
    fold(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 5000)


def flip(path: Path) -> None:
    fold(path)
    data = bytearray(path.read_bytes())
    data[:16] = bytes(byte ^ 0xFF for byte in data[:16])
    path.write_bytes(data)


def flip_inside(path: Path) -> None:
    """Destroy a page of the first table's tree."""
    fold(path)
    data = bytearray(path.read_bytes())
    data[4096 : 4096 + 64] = bytes(64)
    path.write_bytes(data)


def foreign(path: Path) -> None:
    for part in path.parent.glob(f"{path.name}*"):
        part.unlink()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")


def remove(path: Path) -> None:
    for part in path.parent.glob(f"{path.name}*"):
        part.unlink()


def fold(path: Path) -> None:
    """Bring the -wal file into the database, as a clean end does."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (drop_wal, "it is behind, 5 finished calls are on record and it holds 0"),
        (remove, "it is behind, 5 finished calls are on record and it holds 0"),
        (truncate, "damaged"),
        (flip, "file is not a database"),
        (flip_inside, "damaged"),
        (foreign, "it is another program's database"),
    ],
)
def test_row_17_a_journal_that_lost_something_is_refused_and_left_as_it_is(sums, left, fault, words):
    fault(left / JOURNAL)
    message = refused(sums, left, f"{JOURNAL}: the journal of teacher calls cannot be used", "--rebuild-state")
    assert words in message or (words == "damaged" and ("malformed" in message or "Tree" in message))


@pytest.mark.parametrize("fault", [drop_wal, remove, truncate, flip, flip_inside, foreign])
def test_row_17_checkpoints_that_lost_something_are_refused_and_rebuilt_on_demand(sums, left, fault):
    fault(left / CHECKPOINTS)
    refused(sums, left, CHECKPOINTS, "the graph state", "--rebuild-state")
    before = contents(left)
    trainer = finishes(sums, left, rebuild_state=True)
    assert json.loads((left / "heads.json").read_text())["finished_calls"] == {JOURNAL: CALLS}
    assert [job.adapter.parent.name for job in trainer.jobs] == ["iteration_0", "iteration_1"]
    damaged = left / f"{CHECKPOINTS}.damaged1"
    if fault in (truncate, flip, flip_inside, foreign):
        assert damaged.read_bytes() == before[CHECKPOINTS]  # moved aside, as it was


def test_row_17_a_journal_of_another_version_is_refused_with_its_log_unread(sums, left):
    with (
        contextlib.closing(sqlite3.connect(left / JOURNAL)) as one,
        contextlib.closing(sqlite3.connect(left / JOURNAL)),
    ):
        one.execute("PRAGMA user_version = 99")
        shutil.copytree(left, left.with_name("copy"))  # its -wal file holds the version
    refused(sums, left.with_name("copy"), "its schema version is 99, this version of pada-graph writes 1")


def test_row_17_a_flipped_checkpoint_value_is_told_and_not_begun_over(sums, left):
    fold(left / CHECKPOINTS)
    with contextlib.closing(sqlite3.connect(left / CHECKPOINTS)) as connection:
        connection.execute("UPDATE checkpoints SET checkpoint = x'c1c1c1' WHERE checkpoint_ns = ''")
        connection.commit()
    refused(sums, left, "the graph state cannot be read", "--rebuild-state")


@pytest.mark.parametrize("name", [JOURNAL, CHECKPOINTS])
def test_row_17_a_read_only_database_is_told_at_the_start(sums, left, name):
    (left / name).chmod(0o444)
    if os.getuid():
        refused(sums, left, name, "read-only")
        return
    nobody = 65534  # root may write anywhere: be someone else for a moment
    for path in [*left.parents[:2], left, *left.rglob("*")]:
        os.chown(path, nobody, nobody)
    for path in left.parents[:4]:
        path.chmod(path.stat().st_mode | 0o055)
    os.seteuid(nobody)
    try:
        refused(sums, left, name, "read-only")
    finally:
        os.seteuid(0)


def test_row_17_lost_calls_are_given_up_on_demand_and_the_graph_state_is_kept(sums, left):
    drop_wal(left / JOURNAL)
    trainer = finishes(sums, left, rebuild_state=True)
    assert [job.adapter.parent.name for job in trainer.jobs] == ["iteration_1"]


def test_row_17_lost_calls_are_given_up_while_a_limit_changes(sums, left):
    drop_wal(left / JOURNAL)
    raised = config(sums, iterations=1, limits__max_calls=500)
    before = contents(left)
    with pytest.raises(InputError, match="--rebuild-state"):
        run(raised, left, services=fake_services())
    assert contents(left) == before
    metrics = run(raised, left, services=fake_services(), rebuild_state=True)
    assert metrics["stop_reason"] == "the only round is done"


def test_row_17_a_refused_rebuild_leaves_what_was_on_record(sums, left):
    flip(left / JOURNAL)
    before = contents(left)
    with pytest.raises(InputError, match=r"teacher_calls\.sqlite"):
        run(config(sums, iterations=1), left, services=fake_services(), rebuild_state=True)
    assert contents(left) == before and json.loads(before["heads.json"])["finished_calls"] == {JOURNAL: CALLS}


@pytest.mark.parametrize("rows", [0, 1])
def test_row_17_a_kill_between_the_graph_states_tables_is_none_and_one_lost_table_is_told(sums, tmp_path, rows):
    (tmp_path / "run").mkdir()
    with SqliteSaver.from_conn_string(str(tmp_path / "run" / CHECKPOINTS)) as saver:
        saver.setup()
        saver.conn.execute("DROP TABLE writes")
        for _ in range(rows):
            saver.conn.execute("INSERT INTO checkpoints (thread_id, checkpoint_id) VALUES ('run', '1')")
        saver.conn.commit()
    if rows:
        with pytest.raises(InputError, match="another program's database, or another version's of LangGraph"):
            finishes(sums, tmp_path / "run")
    else:
        finishes(sums, tmp_path / "run")


@pytest.mark.parametrize("content", ["", "\0\0\0\0"])
def test_row_17_heads_that_a_power_cut_emptied_are_none(sums, left, content):
    (left / "heads.json").write_text(content)
    assert [job.adapter.parent.name for job in finishes(sums, left).jobs] == ["iteration_1"]
    (left / "heads.json").write_text('{"finished_calls": ')
    refused(sums, left, "heads.json: damaged")


def test_row_17_the_journal_notices_in_a_bare_graph_too(left):
    drop_wal(left / JOURNAL)
    with pytest.raises(StoppedError, match="it is behind, 5 finished calls are on record"):
        Journal(left / JOURNAL).find("key1")


def test_row_17_damage_in_a_page_that_nobody_reads_is_found(tmp_path):
    path = tmp_path / "a.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.executemany("INSERT INTO t VALUES (?)", [("text" * 100,)] * 100)
        connection.commit()
    with databases.read_only(path) as connection:
        databases.check(path, connection)
    data = bytearray(path.read_bytes())
    data[-4096:-4032] = bytes(64)  # the head of the last page
    path.write_bytes(data)
    with databases.read_only(path) as connection, pytest.raises(sqlite3.DatabaseError, match="it is damaged"):
        databases.check(path, connection)


def test_row_17_heads_are_on_disk_before_they_are_in_place(tmp_path, monkeypatch):
    synced, fsync = [], os.fsync
    monkeypatch.setattr("pada_graph.rundir.os.fsync", lambda file: synced.append(os.fstat(file).st_ino) or fsync(file))
    record_calls(tmp_path / JOURNAL, 3)
    assert synced == [(tmp_path / "heads.json").stat().st_ino]


def test_row_17_heads_never_lead_and_follow_every_call(tmp_path):
    journal = Journal(tmp_path / JOURNAL)
    for number in range(3):
        journal.start(Call("one key", "analyst", "a model", "item", number, "prompt"))  # the same call raced
        assert json.loads((tmp_path / "heads.json").read_text() if number else "{}").get("finished_calls", {}) == (
            {JOURNAL: 1} if number else {}
        )
        journal.finish("one key", Reply("text", "stop", 1, 1))
    assert json.loads((tmp_path / "heads.json").read_text()) == {"finished_calls": {JOURNAL: 1}}
    journal.close()
    assert Journal(tmp_path / JOURNAL).find("one key")


# ------------------------------------------------------------------------------------------------------------ row 18


def write_adapter(folder: Path, model: str, lora: dict) -> Path:
    """A whole adapter folder with PEFT's two files, as training closes it."""
    import numpy as np
    from safetensors.numpy import save_file

    folder.mkdir()
    rank, name = lora["r"], "base_model.model.model.layers.0.self_attn.q_proj"
    tensors = {f"{name}.lora_{part}.weight": np.ones(shape, "float32") for part, shape in
               (("A", (rank, 8)), ("B", (8, rank)))}  # fmt: skip
    save_file(tensors, folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps({"r": rank, "base_model_name_or_path": model}))
    manifest.write(folder, "inputs", {"model": model, "lora": lora})
    manifest.check(folder, model, lora)
    return folder


@pytest.fixture(scope="module")
def adapter(tmp_path_factory) -> Path:
    pytest.importorskip("safetensors", reason="needs the extra: train")
    return write_adapter(tmp_path_factory.mktemp("adapter") / "adapter", "builtin:tiny", {"r": 4})


def edit(name: str, old: bytes, new: bytes):
    def change(folder: Path) -> None:
        data = (folder / name).read_bytes()
        assert old in data
        (folder / name).write_bytes(data.replace(old, new))

    return change


def cut(folder: Path) -> None:
    os.truncate(folder / "adapter_model.safetensors", 100)


WEIGHTS, PEFT = "adapter_model.safetensors", "adapter_config.json"
EDITS = {
    "header": (edit(WEIGHTS, b"[4,8]", b"[8,4]"), WEIGHTS),
    "truncated": (cut, WEIGHTS),
    "rank": (edit(PEFT, b'"r": 4', b'"r": 8'), PEFT),
    "base model": (edit(PEFT, b"builtin:tiny", b"builtin:huge"), PEFT),
    "no manifest": (lambda folder: (folder / manifest.MANIFEST).unlink(), "manifest.json is missing"),
}


@pytest.mark.parametrize("fault", EDITS)
def test_row_18_an_edited_adapter_is_refused(adapter, tmp_path, fault):
    folder = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    change, words = EDITS[fault]
    change(folder)
    with pytest.raises(StoppedError, match=words):
        manifest.check(folder, "builtin:tiny", {"r": 4})


@pytest.mark.parametrize("fault", ["header", "truncated", "rank"])
def test_row_18_an_edited_adapter_with_a_new_manifest_is_refused(adapter, tmp_path, fault):
    folder = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    EDITS[fault][0](folder)
    manifest.write(folder, "inputs", {"model": "builtin:tiny", "lora": {"r": 4}})
    with pytest.raises(StoppedError, match=r"has rank 4, 8|cannot be read"):
        manifest.check(folder, "builtin:tiny", {"r": 4})


def test_row_18_a_whole_adapter_of_another_run_is_refused(adapter):
    with pytest.raises(StoppedError, match=r"was trained on the base model builtin:tiny, this run's is builtin:huge"):
        manifest.check(adapter, "builtin:huge", {"r": 4})
    with pytest.raises(StoppedError, match=r"was trained with lora .'r': 4., this run's is .'r': 8."):
        manifest.check(adapter, "builtin:tiny", {"r": 8})


@pytest.mark.parametrize("fault", ["header", "missing", "another run's", "other rows'"])
def test_row_18_a_resume_refuses_an_adapter_that_is_not_the_runs(sums, left, adapter, fault):
    place = left / "iteration_0/adapter"
    shutil.rmtree(place)
    if fault == "other rows'":  # this run's base model and rank
        student = config(sums).student
        write_adapter(place, student.model, student.lora.model_dump())
    elif fault != "missing":
        shutil.copytree(adapter, place)
    if fault == "header":
        EDITS["header"][0](place)
    refused(sums, left, "the files are behind", "iteration_0/adapter", "--rebuild-state")


def test_row_18_an_adapter_without_manifest_and_configuration_is_none(sums, left):
    assert [path.name for path in (left / "iteration_0/adapter").iterdir()] == ["rows.json"]  # another trainer's
    with pytest.raises(InputError, match=r"iteration_0/adapter/manifest\.json is missing"):
        run(config(sums, iterations=1), left, services=fake_services(trainer=LocalTrainer()))
    finishes(sums, left)


def test_row_18_the_predictor_looks_before_it_loads(adapter, tmp_path, monkeypatch):
    from pada_graph.config import Lora, Student
    from pada_graph.student.inference import TransformersPredictor

    predictor = TransformersPredictor(Student(model="builtin:huge", lora=Lora(r=4)))
    monkeypatch.setattr(predictor, "_load", lambda: None)
    with pytest.raises(StoppedError, match="this run's is builtin:huge"):
        list(predictor.predict(adapter, ["a prompt"], max_new_tokens=1, stop=[]))
