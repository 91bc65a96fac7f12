"""One file of rows: split for the user, sizes and repetitions included."""

import gzip
import json

import pytest

from pada_graph.config import Data, RunConfig
from pada_graph.data import load_splits
from pada_graph.errors import InputError
from pada_graph.tasks.jsonl import Jsonl

WORDS = ["apple", "river", "stone", "cloud", "piano", "tiger", "lemon", "chair", "ocean", "candle"]


def rows(count: int) -> list[dict[str, str]]:
    return [
        {"prompt": f"What is a {WORDS[n % 10]} in the house of {WORDS[n // 10 % 10]} and {n}?", "answer": str(n)}
        for n in range(count)
    ]


def write(path, records) -> str:
    text = "".join(json.dumps(record) + "\n\n" for record in records)  # blank lines are no rows
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_a_fifth_each_is_held_out_and_every_row_stands_in_one_split(tmp_path, name):
    data = Data(source=write(tmp_path / name, rows(40)))
    assert (data.train_size, data.validation_size, data.test_size, data.overlap) == (24, 8, 8, "drop")
    splits = load_splits(Jsonl(), data)
    answers = [row["answer"] for split in splits.values() for row in split]
    assert len(answers) == 40 == len(set(answers))
    assert {row["id"] for row in splits["test"]} <= {f"{name}-{n}" for n in range(1, 80)}


def test_held_out_rows_stay_when_fewer_train_rows_are_asked_for(tmp_path):
    source = write(tmp_path / "rows.jsonl", rows(40))
    small, whole = Data(source=source, train_size=10), Data(source=source)
    assert (small.train_size, small.validation_size, small.test_size) == (10, 8, 8)
    few, all_ = load_splits(Jsonl(), small), load_splits(Jsonl(), whole)
    assert few["test"] == all_["test"] and few["train"] == all_["train"][:10]


def test_what_is_given_is_kept_and_the_rest_filled_in(tmp_path):
    source = write(tmp_path / "rows.jsonl", rows(40))
    data = Data(source=source, test_size=20, overlap="error")
    assert (data.train_size, data.validation_size, data.test_size, data.overlap) == (12, 8, 20, "error")
    assert RunConfig(task="jsonl", data={"source": source}).data.train_size == 24
    assert Data(source=str(tmp_path)).train_size == 1000  # a folder keeps the paper's sizes


def test_recorded_sizes_outlive_a_file_that_grows(tmp_path):
    path = tmp_path / "rows.jsonl"
    recorded = Data(source=write(path, rows(40))).model_dump()
    write(path, rows(60))
    assert Data.model_validate(recorded).model_dump() == recorded


def test_repeated_rows_are_left_out_of_train_and_the_size_that_fits_is_named(tmp_path):
    repeated = rows(20) + [dict(row) for row in rows(20)]
    source = write(tmp_path / "rows.jsonl", repeated)
    with pytest.raises(InputError, match=r"overlap a held-out split\. Set data\.(train|validation)_size: \d+\."):
        load_splits(Jsonl(), Data(source=source))
    splits = load_splits(Jsonl(), Data(source=source, train_size=4, validation_size=4, test_size=4))
    questions = [{row["prompt"] for row in split} for split in splits.values()]
    assert not questions[0] & questions[1] and not questions[0] & questions[2] and not questions[1] & questions[2]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", r"rows\.jsonl holds no rows"), (b"{\n", r"rows\.jsonl, line 1: not valid JSON"),
     (b'{"prompt": "Which?"}\n', 'line 1: field "answer" must be a string')],
)  # fmt: skip
def test_a_file_that_cannot_be_split_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_splits(Jsonl(), Data(source=str(path)))


def test_a_file_of_another_kind_is_refused_with_what_is_accepted(tmp_path):
    (tmp_path / "rows.csv").write_text("prompt,answer\n")
    with pytest.raises(InputError, match=r"rows\.csv is not a folder\. Use hub, builtin:demo, one file FILE\.jsonl"):
        load_splits(Jsonl(), Data(source=str(tmp_path / "rows.csv")))
