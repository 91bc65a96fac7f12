"""heads.json: how far the journal and the graph state had come, so that one that fell behind is found out.

SQLite forgets silently: without its -wal file, which a copy leaves out easily, a database is an older one without any
error, and LangGraph starts from zero. A head is written after what it names is durable, so that it may lag and never
leads. Like every file of a run it is forced to disk, some 1 ms a teacher call.
"""

import json
import threading
from contextlib import suppress
from pathlib import Path

from typing_extensions import TypedDict

from pada_graph.errors import InputError, StoppedError
from pada_graph.rundir import RunDir

HEADS = "heads.json"

_lock = threading.Lock()  # one process at a time holds a run, and its threads share this


class Heads(TypedDict, total=False):
    """The latest known progress of a run."""

    finished_calls: dict[str, int]  # by the journal's file name
    checkpoint: str  # id of the newest checkpoint of the root graph
    thread: str  # the graph's thread, in whichever saver


def read_heads(root: Path) -> Heads:
    """The heads of a run directory; none where none were written, or a power cut emptied an older version's file.

    Raises:
        InputError: the file is damaged.
    """
    path = RunDir(root).path(HEADS)
    try:
        text = path.read_text(encoding="utf-8").strip("\0")
        heads: Heads = json.loads(text) if text else {}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: damaged ({error}), so that nobody can tell whether the journal or the graph state lost "
            "something. Restore it, or delete it and run the same command again."
        ) from error
    return heads


def record_calls(journal: Path, finished: int) -> None:
    """Note how many finished calls a journal holds on disk."""
    with _lock:
        heads = read_heads(journal.parent)
        _write(journal.parent, {**heads, "finished_calls": {**heads.get("finished_calls", {}), journal.name: finished}})


def record_checkpoint(root: Path, thread: str, checkpoint: str) -> None:
    """Note the newest checkpoint that is on disk."""
    with _lock:
        _write(root, {**read_heads(root), "thread": thread, "checkpoint": checkpoint})


def forget(root: Path, *names: str) -> None:
    """Take heads back, because what they name was given up."""
    with _lock:
        if kept := {name: value for name, value in read_heads(root).items() if name not in names}:
            _write(root, kept)  # type: ignore[arg-type]
        else:
            RunDir(root).path(HEADS).unlink(missing_ok=True)


def _write(root: Path, heads: Heads) -> None:
    with suppress(StoppedError):  # a disk that is full now will tell; until then the older head stands, which is safe
        RunDir(root).write_json(HEADS, heads)
