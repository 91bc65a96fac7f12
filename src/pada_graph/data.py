"""From a data source to the three splits of a run: checked rows, disjoint, nested in size (section 3.1).

One permutation for each source file, seeded by `data.seed`: the test split is cut first, then validation, then train as
a prefix of what is left. So train of 300 is part of train of 600, and validation and test are the same for every train
size. Where a task has groups (SQuAD: articles) and splits share a file, whole groups are dealt to the splits first.
"""

import gzip
import json
import random
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pada_graph.config import Data
from pada_graph.errors import InputError
from pada_graph.leakage import normalise
from pada_graph.state import Row, Split
from pada_graph.tasks.base import Task

_ORDER: tuple[Split, ...] = ("test", "validation", "train")  # of cutting: who comes later yields
_FOLDER = "a folder with train.jsonl, validation.jsonl and test.jsonl (or .jsonl.gz)"

Records = Iterable[tuple[int, str, Mapping[str, Any]]]  # row number, its place for messages, the record


@dataclass(frozen=True)
class _Record:
    row: Row
    place: str
    group: str | None


def load_splits(task: Task, data: Data) -> dict[Split, list[Row]]:
    """Read, check, shuffle and cut the rows of a run.

    Returns:
        Exactly train_size, validation_size and test_size rows, each with a unique "id". The same on every machine.

    Raises:
        InputError: the source cannot be read, a row is bad, a split is too small, or rows stand in two splits; names
            file, row and field, and says what to do.
    """
    pools: Mapping[Split, str] = _pools(task, data.source)
    sources = {file: list(_read(task, data.source, file)) for file in dict.fromkeys(pools.values())}
    ids = _ids(sources)
    sizes: dict[Split, int] = {"train": data.train_size, "validation": data.validation_size, "test": data.test_size}
    pieces: dict[Split, list[_Record]] = {}
    for file, raw_records in sources.items():
        records = [_parsed(task, ids[place], place, raw) for _, place, raw in raw_records]
        sharing = {split: sizes[split] for split in _ORDER if pools[split] == file}
        _check_room(f"{data.source}: {file}", len(records), sharing)
        random.Random(data.seed).shuffle(records)
        pieces |= _dealt(records, sharing)
    chosen: dict[Split, list[_Record]] = {}
    for split in _ORDER:
        chosen[split] = _cut(task, split, sizes[split], pieces[split], chosen=chosen, drop=data.overlap == "drop")
    return {split: [record.row for record in chosen[split]] for split in ("train", "validation", "test")}


# ---------------------------------------------------------------------------------------------------------- sources


def json_object(line: str, place: str) -> dict[str, Any]:
    """Parse one line of JSON Lines.

    Raises:
        InputError: it is not one JSON object of well-formed text; names `place` (file and row).
    """
    try:
        value = json.loads(line, parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{place}: holds a lone surrogate, half of a character such as an emoji. Write it whole or remove it."
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: not valid JSON ({error}). Each line must be one JSON object.") from error
    if not isinstance(value, dict):
        raise InputError(f"{place}: found a JSON {type(value).__name__}. Each line must be one JSON object.")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _pools(task: Task, source: str) -> Mapping[Split, str]:
    own: Mapping[Split, str] = {split: split for split in _ORDER}
    if source == "hub":
        return task.pools
    if source == "builtin:demo":
        return own
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise InputError(f"data.source: {source} is not a folder. Use hub, builtin:demo, or {_FOLDER}.")
    return own if all(_paths(folder, name) for name in _ORDER) else task.pools


def _read(task: Task, source: str, file: str) -> Records:
    if source == "hub":
        return _hub(task, file)
    if source == "builtin:demo":
        from pada_graph.demo.data import demo_rows

        rows = {str(split): records for split, records in demo_rows().items()}
        return _placed(f"builtin:demo {file}", rows[file])
    return _folder(Path(source).expanduser(), file)


def _placed(name: str, records: Iterable[Mapping[str, Any]]) -> Records:
    return ((number, f"{name}, row {number}", record) for number, record in enumerate(records, 1))


def _hub(task: Task, file: str) -> Records:
    if task.hub is None:
        raise InputError(f"data.source: task {task.name} has no data set on the hub. Set data.source to {_FOLDER}.")
    try:
        from datasets import load_dataset
        from datasets.exceptions import DatasetsError
    except ImportError as error:
        raise InputError("data.source: hub needs the package datasets: pip install 'pada-graph[train]'.") from error
    path, name = task.hub
    try:
        return _placed(f"hub {path} {file}", load_dataset(path, name, split=file))
    except (OSError, ValueError, DatasetsError) as error:
        raise InputError(
            f"data.source: {path} ({file}) cannot be had from the hub: {error}. Mend the network connection "
            f"(HF_HUB_OFFLINE=1 forbids it), or set data.source to {_FOLDER}."
        ) from error


def _paths(folder: Path, name: str) -> list[Path]:
    return [path for path in (folder / f"{name}.jsonl", folder / f"{name}.jsonl.gz") if path.is_file()]


def _folder(folder: Path, file: str) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    paths = _paths(folder, file)
    if not paths:
        raise InputError(f"data.source: {folder} holds no {file}.jsonl or {file}.jsonl.gz. It must be {_FOLDER}.")
    if len(paths) > 1:
        raise InputError(
            f"data.source: {folder} holds {file}.jsonl and {file}.jsonl.gz. Remove the one that is not meant."
        )
    path = paths[0]
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                place = f"{path}, line {number}"
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                if text.strip():
                    yield number, place, json_object(text, place)
    except UnicodeDecodeError as error:
        raise InputError(f"{place}: not UTF-8 text ({error.reason}). Save the file as UTF-8.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}). Is it damaged, or cut short?") from error


# ------------------------------------------------------------------------------------------------------------- rows


def _ids(sources: Mapping[str, list[tuple[int, str, Mapping[str, Any]]]]) -> dict[str, str]:
    """Ids by place: the record's own "id" (HumanEval: "task_id") where no other has it, else file and row number."""
    own, fallback = {}, {}
    for file, records in sources.items():
        for number, place, record in records:
            value = record.get("id", record.get("task_id"))
            own[place] = str(value).strip() if isinstance(value, str | int) else ""
            fallback[place] = f"{file}-{number}"
    times = Counter(own.values()) + Counter(fallback.values())
    return {place: value if value and times[value] == 1 else fallback[place] for place, value in own.items()}


def _parsed(task: Task, row_id: str, place: str, raw: Mapping[str, Any]) -> _Record:
    try:
        row = {"id": row_id, **task.parse(raw)}
    except ValueError as error:
        raise InputError(f"{place}: {error}. Mend the row or remove it.") from error
    return _Record(row, place, task.group(row))


def _check_room(where: str, rows: int, sizes: Mapping[Split, int]) -> None:
    asked = sum(sizes.values())
    if asked <= rows:
        return
    if rows < len(sizes):
        raise InputError(f"{where} holds {rows or 'no'} rows, too few for {' and '.join(sizes)}. Add rows.")
    scaled = {split: max(1, min(size * rows // asked, rows - len(sizes) + 1)) for split, size in sizes.items()}
    largest = max(scaled, key=lambda split: scaled[split])
    scaled[largest] += rows - sum(scaled.values())
    fitting = ", ".join(f"data.{split}_size: {size}" for split, size in scaled.items())
    raise InputError(
        f"{where} has {rows} rows, but {' and '.join(f'{split} {size}' for split, size in sizes.items())} are asked for"
        f"{f', {asked} in all' if len(sizes) > 1 else ''}. What fits: {fitting}."
    )


def _dealt(records: list[_Record], sizes: Mapping[Split, int]) -> dict[Split, list[_Record]]:
    """The rows each split may take. Splits of one file without groups may take any that is not taken before.

    With groups, each goes to the one of test and validation that is further from its size; train, if it shares the
    file, gets the groups that are left once both are full.
    """
    if len(sizes) == 1 or all(record.group is None for record in records):
        return dict.fromkeys(sizes, records)
    counts: Counter[Split] = Counter()
    owners: dict[str | None, Split] = {}
    held_out = [split for split in sizes if split != "train"]
    for group, rows in Counter(record.group for record in records).items():
        full = "train" in sizes and all(counts[split] >= sizes[split] for split in held_out)
        owners[group] = "train" if full else min(held_out, key=lambda split: counts[split] / sizes[split])
        counts[owners[group]] += rows
    return {split: [record for record in records if owners[record.group] == split] for split in sizes}


def _cut(
    task: Task, split: Split, size: int, records: list[_Record], *, chosen: Mapping[Split, list[_Record]], drop: bool
) -> list[_Record]:
    """Take the first `size` rows that stand in no split chosen before."""
    earlier = [(other, record) for other, chosen_records in chosen.items() for record in chosen_records]
    taken = {record.row["id"] for _, record in earlier}
    questions = {normalise(task.question(record.row)): (other, record) for other, record in earlier}
    groups = {record.group: (other, record) for other, record in earlier if record.group}
    piece: list[_Record] = []
    overlaps: list[str] = []
    for record in records:
        if len(piece) == size:
            break
        if record.row["id"] in taken:
            continue
        same_question = questions.get(normalise(task.question(record.row)))
        if same := same_question or groups.get(record.group or ""):
            other, twin = same
            what = "asks the same as" if same_question else "belongs to the same group as"
            overlaps.append(
                f"{split} row {record.row['id']} ({record.place}) {what} {other} row {twin.row['id']} ({twin.place})"
            )
            if drop:
                continue
        piece.append(record)
    if overlaps and not drop:
        raise InputError(
            f"{len(overlaps)} of {size} {split} rows overlap a held-out split. The first: {overlaps[0]}. "
            f"To leave such rows out of {split}, set data.overlap: drop."
        )
    if len(piece) < size:
        left = f", {len(overlaps)} others overlap a held-out split" if overlaps else ""
        fix = (
            f"Set data.{split}_size: {len(piece)}." if piece else "Ask for fewer rows in the other splits, or add rows."
        )
        raise InputError(
            f"data.{split}_size: {size} rows are asked for, but {len(piece)} are left for {split}{left}. {fix}"
        )
    return piece
