"""From a data source to the three splits of a run: checked rows, disjoint, nested in size (section 3.1).

One permutation for each source file, seeded by `data.seed`: the test split is cut first, then validation, then train as
a prefix of what is left. So train of 300 is part of train of 600, and validation and test are the same for every train
size. Where a task has groups (SQuAD: articles) and splits share a file, whole groups are dealt to the splits first.

A row that asks what a row of an earlier cut split asks, word for word or nearly (near_duplicates.py), or that is of one
group with it, is an overlap; `data.overlap` says whether that is an error or the row is left out. Rows that repeat one
another within a split stay and are reported.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from typing_extensions import TypedDict

from pada_graph.config import Data
from pada_graph.errors import InputError
from pada_graph.near_duplicates import NearDuplicates, Template
from pada_graph.paths import own_files
from pada_graph.sizes import check_room
from pada_graph.sources import pools_of, read_source
from pada_graph.state import Row, Split
from pada_graph.tasks.base import Task

_ORDER: tuple[Split, ...] = ("test", "validation", "train")  # of cutting: who comes later yields


class SplitOverlap(TypedDict):
    """Two rows that ask the same or belong together; one line of data/overlaps.jsonl."""

    split: Split
    id: str
    place: str  # file and line
    with_split: Split  # the same split: a repetition, and the row stays
    with_id: str
    with_place: str
    kind: Literal["question", "group"]
    similarity: float | None  # of the questions: share of words in common, 1 = word for word; None for groups
    dropped: bool


class Splits(dict[Split, list[Row]]):
    """The rows of each split."""

    overlaps: Sequence[SplitOverlap] = ()  # rows left out, and rows that repeat another of their split
    unused: Sequence[str] = ()  # one sentence for each file that has more rows than are asked for


@dataclass(frozen=True)
class _Record:
    row: Row
    place: str
    group: str | None


def load_splits(task: Task, data: Data) -> Splits:
    """Read, check, shuffle and cut the rows of a run.

    Returns:
        Exactly train_size, validation_size and test_size rows, each with a unique "id". The same on every machine.
        Where the user gave no size for files of their own, what is left out for its overlap may be missing.

    Raises:
        InputError: the source cannot be read, a row is bad, a split is too small, or rows stand in two splits; names
            file, row and field, and says what to do.
    """
    pools: Mapping[Split, str] = pools_of(task, data.source)
    sources = {file: list(read_source(task, data.source, file)) for file in dict.fromkeys(pools.values())}
    ids = _ids(sources)
    sizes: dict[Split, int] = {"train": data.train_size, "validation": data.validation_size, "test": data.test_size}
    unset = [split for split in _ORDER if f"{split}_size" not in data.model_fields_set]
    free = unset if own_files(data.source) else []
    pieces: dict[Split, list[_Record]] = {}
    for file, raw_records in sources.items():
        records = _all_parsed(task, ids, raw_records)
        sharing = {split: sizes[split] for split in _ORDER if pools[split] == file}
        where = data.source if data.source.endswith(file) else f"{data.source}: {file}"
        check_room(where, len(records), sharing, free)
        random.Random(data.seed).shuffle(records)
        pieces |= _dealt(records, sharing)
    template = Template(task.question(record.row) for record in pieces["train"])

    def question(record: _Record) -> str:
        return template.without(task.question(record.row))

    chosen: dict[Split, list[_Record]] = {}
    overlaps: list[SplitOverlap] = []
    for split in _ORDER:
        least = 1 if split in free else sizes[split]
        chosen[split], found = _cut(
            question, split, sizes[split], pieces[split], chosen, drop=data.overlap == "drop", least=least
        )
        overlaps += found
    splits = Splits({split: [record.row for record in chosen[split]] for split in ("train", "validation", "test")})
    splits.overlaps = overlaps
    splits.unused = [line for file, rows in sources.items() if (line := _unused(file, len(rows), splits, pools, free))]
    return splits


def notes(splits: Splits) -> list[str]:
    """What to know of the data before anything is spent: rows that are not used, and rows that were left out."""
    return [*splits.unused, *(note.removeprefix("data: ") for note in overlap_notes(splits.overlaps))]


def overlap_notes(overlaps: Sequence[SplitOverlap]) -> list[str]:
    """What a reader of the report should know of them, one sentence a split."""
    notes = []
    for split in _ORDER:
        own = [overlap for overlap in overlaps if overlap["split"] == split]
        dropped = sum(overlap["dropped"] for overlap in own)
        if dropped:
            notes.append(f"data: rows left out of {split} because they overlap a held-out split: {dropped}")
        if repeated := len(own) - dropped:
            notes.append(f"data: rows of {split} that nearly repeat another one of it, and were kept: {repeated}")
    return notes


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


def _unused(file: str, rows: int, splits: Splits, pools: Mapping[Split, str], free: Sequence[Split]) -> str:
    """What keeps rows of a file out of all splits, besides their overlap; empty if nothing does."""
    cut = [split for split in _ORDER if pools[split] == file]
    used = sum(len(splits[split]) for split in cut)
    left_out = sum(overlap["dropped"] for overlap in splits.overlaps if overlap["split"] in cut)
    if used + left_out == rows:
        return ""
    settings = ", ".join(f"data.{split}_size" for split in cut if split not in free)
    return f"{used} of {rows} {file} rows are used ({settings or 'rows of one group stand in one split'})"


def _all_parsed(task: Task, ids: Mapping[str, str], raw: Sequence[tuple[int, str, Mapping[str, Any]]]) -> list[_Record]:
    """Parse the rows of one file; the first that cannot be is told, with how many share its fate."""
    records, faults = [], []
    for _, place, record in raw:
        try:
            records.append(_parsed(task, ids[place], place, record))
        except InputError as error:
            faults.append(str(error))
    if faults:
        others = f" In all, {len(faults)} of the file's {len(raw)} rows are refused." if len(faults) > 1 else ""
        raise InputError(f"{faults[0]}{others}")
    return records


def _parsed(task: Task, row_id: str, place: str, raw: Mapping[str, Any]) -> _Record:
    try:
        row = {"id": row_id, **task.parse(raw)}
    except ValueError as error:
        advice = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
        raise InputError(f"{place}: {error}{advice}. Mend the row or remove it.") from error
    except KeyError as error:  # a task of the user's own may read its fields without looking
        has = ", ".join(raw)
        raise InputError(
            f"{place}: field {error} is missing; the row has: {has}. Mend the row or remove it."
        ) from error
    return _Record(row, place, task.group(row))


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
    question_of: Callable[[_Record], str],
    split: Split,
    size: int,
    records: list[_Record],
    chosen: Mapping[Split, list[_Record]],
    drop: bool,
    least: int,
) -> tuple[list[_Record], list[SplitOverlap]]:
    """Take the first `size` rows that overlap no split chosen before; what was left out or is repeated comes second.

    `least` rows will do where no more are left.
    """
    earlier = {r.row["id"]: (other, r) for other, taken in chosen.items() for r in taken}
    groups: dict[str | None, str] = {record.group: id_ for id_, (_, record) in earlier.items() if record.group}
    held_out = NearDuplicates((id_, question_of(record)) for id_, (_, record) in earlier.items())
    own, by_id = NearDuplicates(), {record.row["id"]: record for record in records}
    piece: list[_Record] = []
    found: list[SplitOverlap] = []
    repeated: list[SplitOverlap] = []
    for record in records:
        id_, question = record.row["id"], question_of(record)
        if len(piece) == size:
            break
        if id_ in earlier:
            continue
        match = held_out.find(question)
        if (twin := match.id if match else groups.get(record.group)) is not None:
            similarity = match.similarity if match else None
            found.append(_overlap(split, record, *earlier[twin], similarity=similarity, dropped=drop))
            if drop:
                continue
        if match := own.find(question):
            repeated.append(_overlap(split, record, split, by_id[match.id], similarity=match.similarity, dropped=False))
        own.add(id_, question)
        piece.append(record)
    if found and not drop:
        named = "; ".join(map(_in_words, found[:3])) + ("; ..." if len(found) > 3 else "")
        raise InputError(
            f"{len(found)} of {size} {split} rows overlap a held-out split: {named}. "
            f"To leave such rows out of {split}, set data.overlap: drop."
        )
    if len(piece) < least:
        left = f", {len(found)} others overlap a held-out split" if found else ""
        fix = (
            f"Set data.{split}_size: {len(piece)}." if piece else "Ask for fewer rows in the other splits, or add rows."
        )
        raise InputError(
            f"data.{split}_size: {size} rows are asked for, but {len(piece)} are left for {split}{left}. {fix}"
        )
    return piece, [*found, *repeated]


def _overlap(
    split: Split, record: _Record, other: Split, twin: _Record, *, similarity: float | None, dropped: bool
) -> SplitOverlap:
    return {
        "split": split,
        "id": record.row["id"],
        "place": record.place,
        "with_split": other,
        "with_id": twin.row["id"],
        "with_place": twin.place,
        "kind": "group" if similarity is None else "question",
        "similarity": similarity,
        "dropped": dropped,
    }


def _in_words(overlap: SplitOverlap) -> str:
    if overlap["similarity"] is None:
        what = "belongs to the same group as"
    elif overlap["similarity"] == 1:
        what = "asks the same as"
    else:
        what = f"asks nearly the same ({100 * overlap['similarity']:.0f} % of the words) as"
    return (
        f"{overlap['split']} row {overlap['id']} ({overlap['place']}) {what} {overlap['with_split']} row "
        f"{overlap['with_id']} ({overlap['with_place']})"
    )
