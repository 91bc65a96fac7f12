"""At start the journal, the graph state and the files are compared: a contradiction stops, nothing restarts silently.

LangGraph takes a thread without checkpoints for a new one, and SQLite takes a database without its -wal file for an
older one; both would train and pay again without a word. What is compared: the databases with heads.json, the files
that the graph state names with their sha256, adapters with their manifests, and what there is at all of the three.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver

from pada_graph import databases
from pada_graph.config import RunConfig
from pada_graph.errors import InputError
from pada_graph.executors.local import LocalTrainer
from pada_graph.graph import build_graph
from pada_graph.heads import forget, read_heads, record_calls
from pada_graph.inheritance import is_inherited
from pada_graph.nodes.fine_tune import train_job
from pada_graph.rundir import RunDir
from pada_graph.services import Services, TrainJob
from pada_graph.state import Artifact
from pada_graph.student import manifest
from pada_graph.teacher.journal_file import inspect, unusable

# The state is plain JSON: nothing in a checkpoint may name a class or function to call.
PLAIN = JsonPlusSerializer(allowed_msgpack_modules=None)
CHECKPOINTS = "checkpoints.sqlite"
JOURNAL = "teacher_calls.sqlite"
OWN_THREAD = "run"  # in the run directory's own checkpoints

Saver = BaseCheckpointSaver[Any]

_COLUMNS = {
    "checkpoints": {"thread_id", "checkpoint_ns", "checkpoint_id", "type", "checkpoint", "metadata"},
    "writes": {"thread_id", "checkpoint_ns", "checkpoint_id", "task_id", "idx", "channel", "type", "value"},
}  # fmt: skip


def compare(
    config: RunConfig, directory: RunDir, thread: str, own: Saver | None, services: Services | None, rebuild: bool
) -> None:
    """Compare journal, graph state and files, all of them only read. `own` and `services` are the user's, if given.

    With `rebuild` the graph state is given up if it is contradicted: checkpoints.sqlite is moved aside, a thread of
    `own` left as it is. So are calls that the journal lost; a damaged journal is not, since what it holds was paid for.

    Raises:
        InputError: one is damaged, read-only, another program's or version's, or they contradict each other.
    """
    root = directory.root
    calls = _finished_calls(root, rebuild)
    try:
        with _reading(root, own) as saver:
            peft = services is None or isinstance(services.trainer, LocalTrainer)
            fault = _contradiction(config, directory, thread, saver, calls, given=own is not None, peft=peft)
    except PermissionError as error:
        raise InputError(f"{root / CHECKPOINTS}: the graph state cannot be used: {error}. Mend that.") from error
    except sqlite3.Error as error:
        fault = f"{root / CHECKPOINTS}: the graph state cannot be read: {error}"
    if rebuild:  # not before everything was looked at: who is refused keeps what a later look needs
        forget(root, "finished_calls")
        if calls:
            record_calls(root / JOURNAL, calls)
    if fault and not rebuild:
        raise InputError(
            f"{root}: {fault}. Nothing was changed. Restore it (a database with the -wal file beside it) from a copy, "
            "or run the same command with --rebuild-state (Python: rebuild_state=True): the graph then begins anew "
            "over the files and the journal, takes both as they are, and repeats no finished call and no whole adapter."
        )
    if fault:
        _move_aside(root / CHECKPOINTS)
        forget(root, "checkpoint", "thread")


def _finished_calls(root: Path, rebuild: bool) -> int:
    recorded = {} if rebuild else read_heads(root).get("finished_calls", {})
    try:
        return inspect(root / JOURNAL, recorded.get(JOURNAL, 0))
    except (sqlite3.Error, PermissionError) as error:
        raise InputError(unusable(root / JOURNAL, error)) from error


@contextmanager
def _reading(root: Path, own: Saver | None) -> Iterator[Saver]:
    """A saver to read the graph state from, which changes no file."""
    path = root / CHECKPOINTS
    if own is not None or not path.exists():
        yield own or InMemorySaver()
        return
    with databases.read_only(path) as connection:
        databases.check(path, connection)
        new = _is_new(connection)
        for table, columns in _COLUMNS.items():
            found = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            if columns - found and (found or not new):
                raise sqlite3.DatabaseError("it is another program's database, or another version's of LangGraph")
        saver = SqliteSaver(connection, serde=PLAIN)
        saver.is_setup = True  # it would write
        yield InMemorySaver() if new else saver


def _is_new(connection: sqlite3.Connection) -> bool:
    """Whether nothing was stored yet. LangGraph makes its tables one by one, and a kill may come in between."""
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return tables < _COLUMNS.keys() and not any(
        connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in tables
    )


def _move_aside(path: Path) -> None:
    number = 1
    while path.with_name(f"{path.name}.damaged{number}").exists():
        number += 1
    for suffix in ("-wal", "-shm", ""):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(path.with_name(f"{path.name}.damaged{number}{suffix}"))


def _contradiction(
    config: RunConfig, directory: RunDir, thread: str, saver: Saver, calls: int, *, given: bool, peft: bool
) -> str | None:
    """What of graph state, journal and files cannot be true together, in words."""
    if thread != OWN_THREAD and not given:
        return "the graph state is in the saver that the run was started with: give that one (checkpointer=...)"
    recorded = read_heads(directory.root).get("checkpoint")
    try:
        lost = recorded and saver.get_tuple(_address(thread, recorded)) is None
        state = build_graph(checkpointer=saver).get_state(_address(thread))
    except sqlite3.Error:
        raise
    except Exception as error:  # whatever a saver or msgpack makes of damaged bytes
        return f"the graph state cannot be read ({type(error).__name__}: {error})"
    if lost:
        place = directory.path(CHECKPOINTS) if thread == OWN_THREAD else f"the given {type(saver).__name__}"
        return (
            f"the graph state is behind: {place} lacks checkpoint {recorded}, stored when the last step ended "
            "(its -wal file is missing, or it is missing itself, or it is an older copy or another one)"
        )
    if not state.created_at:
        found = [path.name for path in (*sorted(directory.root.glob("iteration_*")), directory.path("untuned"))]
        found = [name for name in found if directory.path(name).exists() and not is_inherited(directory, name)]
        found += [f"{calls} finished calls in {JOURNAL}"] * bool(calls)
        return f"the graph state is empty, but the run has {', '.join(found)}" if found else None
    files = [_changed(directory, artifact) for artifact in _artifacts(state.values)]
    trained = range(len(state.values.get("training_sets", [])))
    files += [_unfit(train_job(config, directory, iteration), peft) for iteration in trained]
    if not state.tasks and not directory.path("metrics.json").exists():
        files.append(f"{directory.path('metrics.json')} is missing, and the run was finished")
    found = [fault for fault in files if fault]
    return f"the files are behind the graph state: {'; '.join(found)}" if found else None


def _address(thread: str, checkpoint: str | None = None) -> Any:
    where = {"thread_id": thread, "checkpoint_ns": ""}
    return {"configurable": where if checkpoint is None else {**where, "checkpoint_id": checkpoint}}


def _artifacts(value: Any) -> list[Artifact]:
    """Every file that the state names with its sha256, wherever it stands."""
    if isinstance(value, dict):
        if value.keys() == Artifact.__annotations__.keys():
            return [Artifact(path=value["path"], count=value["count"], sha256=value["sha256"])]
        return [found for part in value.values() for found in _artifacts(part)]
    return [found for part in value for found in _artifacts(part)] if isinstance(value, list) else []


def _changed(directory: RunDir, artifact: Artifact) -> str | None:
    found = directory.artifact(artifact["path"])
    if found == artifact:
        return None
    path = directory.path(artifact["path"])
    return f"{path} is missing" if found is None else f"{path} is not the file that the graph state names (sha256)"


def _unfit(job: TrainJob, peft: bool) -> str | None:
    """What is wrong with the adapter of a finished fine-tuning; another trainer than `peft` may write other files."""
    if not job.adapter.is_dir():
        return f"{job.adapter} is missing"
    if not peft and not any((job.adapter / name).exists() for name in (manifest.MANIFEST, "adapter_config.json")):
        return None
    if fault := manifest.damage(job.adapter) or manifest.unfit(job.adapter, job.model, job.lora):
        return fault
    if job.rows.exists() and not manifest.matches(job.adapter, manifest.job_hash(job)):
        return f"{job.adapter} was trained on other rows or with other settings than this run's"
    return None
