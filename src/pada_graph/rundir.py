"""The run directory: atomic files and JSONL artifacts by sha256. It alone is enough to resume; lock.py guards it."""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pada_graph.errors import InputError, StoppedError
from pada_graph.state import Artifact


class RunDir:
    """Paths and files of one run. All writes are whole or absent: temporary file, fsync, rename."""

    def __init__(self, root: Path | str):
        self.root = Path(root)

    def path(self, name: str) -> Path:
        """The file or folder `name` of the run.

        Raises:
            InputError: the name leaves the run directory: absolute, "..", or through a symbolic link.
        """
        path, root = self.root / name, Path(os.path.realpath(self.root))
        if "\0" in name or Path(name).is_absolute() or Path(os.path.realpath(path)) != root / name:
            raise InputError(
                f"{self.root}: {name!r} is not a file of this run (a link, or outside of it). Remove it from there."
            )
        return path

    def iteration(self, iteration: int | None) -> str:
        """Folder of one iteration, relative to the run; None is the untuned base model."""
        return "untuned" if iteration is None else f"iteration_{iteration}"

    def iterations(self) -> list[int]:
        """Iterations that have a folder, in order."""
        folders = (re.fullmatch(r"iteration_(\d+)", path.name) for path in self.root.glob("iteration_*"))
        return sorted(int(match[1]) for match in folders if match)

    def write_text(self, name: str, text: str) -> None:
        """Write a file, whole or not at all.

        Raises:
            StoppedError: the disk refused it; what was written before stays as it was.
        """
        target = self.path(name)
        temporary = self.path(f"{name.removesuffix(target.name)}.{target.name}.tmp")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise StoppedError(
                f"{target}: cannot be written ({error.strerror}). Free some space or mend the permissions, "
                "then run the same command again."
            ) from error

    def write_json(self, name: str, value: Any) -> None:
        """Write an indented JSON file."""
        self.write_text(name, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    def read_json(self, name: str) -> Any:
        """Read a JSON file.

        Raises:
            InputError: missing or damaged.
        """
        path = self.path(name)
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: missing or damaged ({error}); is {self.root} a run directory?") from error

    def write_jsonl(self, name: str, rows: Iterable[Any]) -> Artifact:
        """Write rows, one a line, and return the file's count and sha256."""
        text, artifact = self.jsonl(name, rows)
        self.write_text(name, text)
        return artifact

    def jsonl(self, name: str, rows: Iterable[Any]) -> tuple[str, Artifact]:
        """What `write_jsonl` would write, and what it would return."""
        lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows]
        text = "".join(lines)
        return text, {"path": name, "count": len(lines), "sha256": hashlib.sha256(text.encode()).hexdigest()}

    def read_jsonl(self, name: str) -> list[Any]:
        """Read all rows of a JSONL file of this run.

        Raises:
            InputError: missing or damaged.
        """
        path = self.path(name)
        try:
            with path.open(encoding="utf-8") as file:
                return [json.loads(line) for line in file]
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path}: missing or damaged ({error}). Restore it, or start again in another --run-dir."
            ) from error

    def rows_so_far(self, name: str) -> list[Any]:
        """All rows of a JSONL file; none where it is missing, and without a last line that is still being written.

        Raises:
            InputError: another line is damaged.
        """
        path = self.path(name)
        try:
            text = path.read_text(encoding="utf-8")
            return [json.loads(line) for line in text[: text.rfind("\n") + 1].split("\n") if line]
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: damaged ({error}).") from error

    def artifact(self, name: str) -> Artifact | None:
        """Describe a JSONL file that is already there, or None."""
        try:
            data = self.path(name).read_bytes()
        except FileNotFoundError:
            return None
        return {"path": name, "count": data.count(b"\n"), "sha256": hashlib.sha256(data).hexdigest()}

    def stamp(self, name: str) -> tuple[int, ...] | None:
        """What changes whenever the file is written anew; None if it is not there. Cheaper than its sha256."""
        try:
            status = self.path(name).stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size

    def append(self, name: str, row: Any) -> None:
        """Append one line to a log (events.jsonl); not durable, never needed to resume."""
        with self.path(name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")

    def read_log(self, name: str) -> list[Any]:
        """Read what `append` wrote, if anything; lines torn by a kill are passed over."""
        rows: list[Any] = []
        if not self.path(name).exists():
            return rows
        for line in self.path(name).read_text(encoding="utf-8", errors="replace").split("\n"):
            with suppress(ValueError):
                rows.append(json.loads(line))
        return rows
