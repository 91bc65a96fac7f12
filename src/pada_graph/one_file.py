"""One file with all rows: how many go to which split when nobody says."""

import gzip
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ONE_IN = 5  # validation and test get one row in five each: intervals and failures are what a small data set lacks


def named_file(name: str) -> Path | None:
    """The JSON Lines file of that name; None if there is none, or it cannot be a name."""
    try:
        path = Path(name).expanduser()
        return path if path.name.endswith((".jsonl", ".jsonl.gz")) and path.is_file() else None
    except (OSError, RuntimeError, ValueError):
        return None


def with_sizes(data: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in the sizes that a `data` section with one file as its source leaves out, and that repetitions are dropped.

    A fifth of the rows each for test and validation, what is left for train.
    """
    path = named_file(str(data.get("source", "")))
    if path is None or {"train_size", "validation_size", "test_size", "overlap"} <= data.keys():
        return dict(data)
    rows = _rows(path)
    held_out = {split: data.get(split, max(1, rows // ONE_IN)) for split in ("validation_size", "test_size")}
    left = rows - sum(size for size in held_out.values() if isinstance(size, int))
    return {"train_size": max(1, left), **held_out, "overlap": "drop", **data}


def _rows(path: Path) -> int:
    """Lines that are not blank; 0 for a file that cannot be read, which is told when its rows are."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            return sum(1 for line in lines if line.strip())
    except (OSError, EOFError, zlib.error):
        return 0
