"""`task: ./my_task.py`: a task in one Python file of the user's, known by the sha256 of its text.

A run keeps a copy in its directory and works from that alone; the file itself is read once, when the run begins.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pada_graph.errors import InputError
from pada_graph.rundir import RunDir

COPY = "task.py"  # in the run directory


def is_task_file(name: str) -> bool:
    """Whether a configuration's `task` names a file."""
    return name.endswith(".py")


def task_name(name: str) -> str:
    """What a task is called in tables: its name, or that of its file without the folder."""
    return Path(name).name if is_task_file(name) else name


def with_sha256(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the sha256 of the file that `task` names, unless it is given or the file cannot be read."""
    name = raw.get("task")
    if not isinstance(name, str) or not is_task_file(name):
        return {key: value for key, value in raw.items() if key != "task_sha256"}
    if raw.get("task_sha256"):
        return dict(raw)
    try:
        return {**raw, "task_sha256": _sha256(Path(name).expanduser().read_bytes())}
    except (OSError, RuntimeError, ValueError):  # told when the file is needed: a run that goes on has its copy
        return dict(raw)


def read_task_file(name: str, sha256: str | None = None) -> bytes:
    """Read the user's file.

    Raises:
        InputError: it cannot be read, or is not the one with this sha256.
    """
    try:
        source = Path(name).expanduser().read_bytes()
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"task: {name}: cannot be read ({error}). The path is seen from where the command is started."
        ) from error
    if sha256 is not None and _sha256(source) != sha256:
        raise InputError(f"task: {name}: its sha256 is {_sha256(source)}, not task_sha256. Leave task_sha256 out.")
    return source


def keep_copy(directory: RunDir, name: str, sha256: str | None) -> None:
    """Copy the file into the run directory, unless a copy of this sha256 is there.

    Raises:
        InputError: it cannot be read, is not the one with this sha256, or is not UTF-8.
    """
    copy = directory.path(COPY)
    if copy.exists() and _sha256(copy.read_bytes()) == sha256:
        return
    source = read_task_file(name, sha256)
    try:
        directory.write_text(COPY, source.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"task: {name}: not UTF-8 text ({error.reason}). Save the file as UTF-8.") from error


def read_copy(directory: RunDir, sha256: str | None) -> bytes:
    """Read the copy in a run directory.

    Raises:
        InputError: it is missing, or is not the file that the run began with.
    """
    copy = directory.path(COPY)
    try:
        source = copy.read_bytes()
    except OSError as error:
        raise InputError(f"{copy}: cannot be read ({error.strerror}). Restore it: it is the run's task.") from error
    if _sha256(source) != sha256:
        raise InputError(f"{copy}: was changed since the run began. Restore it, or start a new run.")
    return source


def _sha256(source: bytes) -> str:
    return hashlib.sha256(source).hexdigest()
