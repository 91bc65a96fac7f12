"""Names that users write in a config, as folders and files."""

from collections.abc import Callable, Mapping
from pathlib import Path

SPLITS = ("train", "validation", "test")
JSON_LINES = (".jsonl", ".jsonl.gz")


def named_folder(name: str) -> Path | None:
    """The folder of that name; None if there is none, or it cannot be a name."""
    return _named(name, Path.is_dir)


def named_file(name: str) -> Path | None:
    """The file of that name; None if there is none, or it cannot be a name."""
    return _named(name, Path.is_file)


def json_lines(name: str) -> Path | None:
    """The JSON Lines file of that name; None if there is none, or it is of another kind."""
    file = named_file(name)
    return file if file and file.name.lower().endswith(JSON_LINES) else None


def split_files(folder: Path, split: str) -> list[Path]:
    """A split's files in a folder: none, one, or by mistake both."""
    return [path for suffix in JSON_LINES if (path := folder / f"{split}{suffix}").is_file()]


def own_files(source: str) -> Mapping[str, Path]:
    """The files with rows of the user's own: one named "all", or a folder's by split; empty for any other source.

    A folder that lacks a split's file is none of the user's own splitting: the task's rule says how it is cut.
    """
    if file := json_lines(source):
        return {"all": file}
    folder = named_folder(source)
    found = {split: files[0] for split in SPLITS if folder and (files := split_files(folder, split))}
    return found if len(found) == len(SPLITS) else {}


def _named(name: str, is_there: Callable[[Path], bool]) -> Path | None:
    try:
        path = Path(name).expanduser()
        return path if is_there(path) else None
    except (OSError, RuntimeError, ValueError):  # too long, no such home, a null character
        return None
