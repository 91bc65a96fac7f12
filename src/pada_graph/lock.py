"""One session at a time works on a run directory: a file lock between processes, and a register within this one.

A session is one call of `run()` or one invocation of a compiled graph. It takes the lock with the first node that opens
the directory and keeps it from node to node; when it ends, the lock goes once no node of it is at work any more: the
thread of a sync node outlives a cancelled run of LangGraph's server. What the session opened there is closed first, and
a directory that it made is removed if the start was refused.
"""

import fcntl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO
from uuid import UUID, uuid4

from pada_graph import stopping
from pada_graph.errors import InputError, StoppedError
from pada_graph.rundir import RunDir

# All that a start writes before data and configuration are accepted. A directory with anything else in it is kept.
_BEFORE_ACCEPTED = (
    ".lock",
    "resolved_config.json",
    "task.py",
    "environment.json",
    "events.jsonl",
    "heads.json",
    "checkpoints.sqlite",
    "checkpoints.sqlite-wal",
    "checkpoints.sqlite-shm",
)


@dataclass
class _Held:
    file: TextIO  # closing it lets the lock go
    session: UUID
    close: Callable[[Path], None]  # what the session opened there
    made: list[Path]  # the directory and its parents as far as it made them, innermost first
    stop: stopping.Stop = field(default_factory=stopping.Stop)
    working: int = 0
    ended: bool = False


_held: dict[Path, _Held] = {}
_guard = threading.Lock()


def hold(root: Path, session: UUID, close: Callable[[Path], None] = lambda root: None) -> None:
    """Take the run directory for a session, which may have it already; `close` is called before it is let go.

    Raises:
        InputError: another process or session has it, or it cannot be made.
    """
    with _guard:
        if (held := _held.get(_resolved(root))) is None:
            made = _missing(root)
            _held[root.resolve()] = _Held(_lock(root), session, close, made)
        elif held.session != session or held.ended:
            raise InputError(f"{root}: this process is already working on this run. Wait for it, or stop it first.")


@contextmanager
def at_work(root: Path) -> Iterator[None]:
    """Keep the lock of a held run directory for as long as a node uses it, even if its session ends meanwhile.

    Whichever of its nodes' errors LangGraph reports, it is the session's first one: those that follow become that one.

    Raises:
        BaseException: the session's first error, if it has one already.
    """
    with _guard:
        held = _held[root.resolve()]
        held.working += 1
    token = stopping.current.set(held.stop)
    failed = held.stop.first
    try:
        if failed is None:
            yield
    except BaseException as error:
        failed = held.stop.tell(error)
    finally:
        stopping.current.reset(token)
        with _guard:
            held.working -= 1
            _let_go(root.resolve(), held)
    if failed is not None:
        raise failed


def stop(session: UUID, why: BaseException) -> None:
    """Have a session begin nothing new. Takes no lock: a signal's handler may have interrupted whoever holds it."""
    for held in list(_held.values()):
        if held.session == session:
            held.stop.tell(why)


def end(session: UUID) -> None:
    """End a session: what it has still at work begins nothing new, and the last of it lets the directory go."""
    stop(session, StoppedError("The session has ended. Run it again to go on."))
    with _guard:
        for root, held in list(_held.items()):
            if held.session == session:
                held.ended = True
                _let_go(root, held)


@contextmanager
def locked(root: Path, close: Callable[[Path], None] = lambda root: None) -> Iterator[UUID]:
    """Hold a run directory for a new session, which is returned; `close` is called before it is let go.

    Raises:
        InputError: another process or session has it, or it cannot be made.
    """
    session = uuid4()
    hold(root, session, close)
    try:
        yield session
    finally:
        end(session)


def _lock(root: Path) -> TextIO:
    try:
        root.mkdir(parents=True, exist_ok=True)
        file = RunDir(root).path(".lock").open("a")
    except OSError as error:
        raise _unusable(root, error) from error
    for last in (False, True):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError as error:
            if last:
                file.close()
                raise InputError(
                    f"{root}: another process is working on this run. Wait for it, or stop it first."
                ) from error
            time.sleep(0.05)  # perhaps somebody only looked, see in_use
    return file


def in_use(root: Path) -> bool:
    """Whether a process works on the run directory now. Looking refuses nobody: `_lock` tries again after a moment."""
    place = RunDir(root).path(".lock")
    if not place.exists():
        return False
    with place.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _missing(root: Path) -> list[Path]:
    """What has to be made for a run directory: itself and its parents as far as they are not there, innermost first."""
    try:
        return [path for path in (root.resolve(), *root.resolve().parents) if not path.exists()]
    except OSError as error:  # a name that is too long
        raise _unusable(root, error) from error


def _resolved(root: Path) -> Path:
    try:
        return root.resolve()
    except (OSError, ValueError) as error:  # ValueError: a null byte
        raise _unusable(root, error) from error


def _unusable(root: Path, error: Exception) -> InputError:
    return InputError(f"{str(root)!r}: cannot be used as run directory ({error}). Choose another --run-dir.")


def _let_go(root: Path, held: _Held) -> None:
    if held.ended and not held.working:
        try:
            held.close(root)
        finally:
            if held.made:
                _remove(held.made)
            held.file.close()
            del _held[root]


def _remove(made: list[Path]) -> None:
    """Take back a run directory that a refused start made, and the parents made for it that hold nothing else."""
    with suppress(OSError):
        if not {path.name for path in made[0].iterdir()} <= set(_BEFORE_ACCEPTED):
            return
        for name in _BEFORE_ACCEPTED:
            (made[0] / name).unlink(missing_ok=True)
        for directory in made:
            directory.rmdir()
