"""Rows of the user's own: how many go to which split when nobody says.

One file is split: a fifth of its rows each for test and validation, the rest for train. A folder with a file for each
split is used whole.
"""

import gzip
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pada_graph.errors import InputError
from pada_graph.paths import own_files
from pada_graph.state import Split

ONE_IN = 5  # validation and test get one row in five each: intervals and failures are what a small data set lacks


def own_sizes(data: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes that a `data` section leaves out and, for one file, that repetitions are dropped.

    Empty for any other source: the data sets of the hub have the paper's sizes.
    """
    files = own_files(str(data.get("source", "")))
    if len(files) > 1:
        return {f"{split}_size": max(1, _rows(file)) for split, file in files.items() if f"{split}_size" not in data}
    if not files or {"train_size", "validation_size", "test_size", "overlap"} <= data.keys():
        return {}
    rows = sum(map(_rows, files.values()))
    held_out = {size: data.get(size, _fifth(rows)) for size in ("validation_size", "test_size")}
    left = rows - sum(size for size in held_out.values() if isinstance(size, int))
    return {"train_size": max(1, left), **held_out, "overlap": "drop"}


def check_room(where: str, rows: int, sizes: Mapping[Split, int], free: Sequence[Split]) -> None:
    """Refuse sizes that one file cannot fill.

    Args:
        where: the file, for the message.
        rows: it has so many.
        sizes: what is asked of it.
        free: the splits whose size was filled in; the message names the others' settings alone.

    Raises:
        InputError: with the sizes that fit.
    """
    asked = sum(sizes.values())
    if asked <= rows:
        return
    if rows < len(sizes):
        raise InputError(f"{where} holds {rows or 'no'} rows, too few for {' and '.join(sizes)}. Add rows.")
    fitting = _fitting(rows, sizes, free)
    told = [f"data.{split}_size: {size}" for split, size in fitting.items() if split not in free]
    raise InputError(
        f"{where} has {rows} rows, but {' and '.join(f'{split} {size}' for split, size in sizes.items())} are asked for"
        f"{f', {asked} in all' if len(sizes) > 1 else ''}. What fits, at most: {', '.join(told)}."
    )


def _fitting(rows: int, sizes: Mapping[Split, int], free: Sequence[Split]) -> dict[Split, int]:
    """The sizes shrunk to the rows of one file, in proportion; a held-out split keeps a fifth, if it asks for as much.

    What the user gave no size for is filled in once more: a fifth each for test and validation, the rest for train.
    """
    asked, fair = sum(sizes.values()), {}
    for split, size in sizes.items():
        share = max(1, min(size * rows // asked, rows - len(sizes) + 1))
        if len(sizes) > 1 and split != "train":
            share = min(size, _fifth(rows) if "train" in free else max(share, _fifth(rows)))
        fair[split] = share
    rest = "train" if "train" in free else max(fair, key=lambda split: fair[split])
    fair[rest] += rows - sum(fair.values())
    return fair


def _fifth(rows: int) -> int:
    """What a held-out split gets of one file's rows."""
    return max(1, rows // ONE_IN)


def _rows(path: Path) -> int:
    """Lines that are not blank; 0 for a file that cannot be read, which is told when its rows are."""
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as lines:
            return sum(1 for line in lines if line.strip())
    except (OSError, EOFError, zlib.error):
        return 0
