"""One file of rows: split for the user, sizes and repetitions included."""

import gzip
import json
import re
import subprocess
import sys

import pytest

from pada_graph import run
from pada_graph.config import Data, RunConfig
from pada_graph.config_file import parse_config
from pada_graph.data import load_splits, notes
from pada_graph.errors import InputError
from pada_graph.rundir import RunDir
from pada_graph.tasks.jsonl import Jsonl
from tests.fakes import fake_services, new_problem

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
    assert Data(source=str(tmp_path)).train_size == 1000  # no folder with a file for each split


def test_recorded_sizes_outlive_a_file_that_grows(tmp_path):
    path = tmp_path / "rows.jsonl"
    recorded = Data(source=write(path, rows(40))).model_dump()
    write(path, rows(60))
    assert Data.model_validate(recorded).model_dump() == recorded


def test_rows_that_repeat_others_are_missing_from_the_splits_that_nobody_gave_a_size(tmp_path):
    repeated = [*rows(40), dict(rows(40)[0]), dict(rows(40)[1])]
    source = write(tmp_path / "rows.jsonl", repeated)
    splits = load_splits(Jsonl(), Data(source=source))
    left_out = sum(overlap["dropped"] for overlap in splits.overlaps)
    assert left_out > 0 and sum(map(len, splits.values())) == 42 - left_out and len(splits["test"]) == 8
    assert splits.unused == [] and any("rows left out of" in note for note in notes(splits))
    train = len(splits["train"])
    given = Data(source=source, train_size=train + left_out)
    with pytest.raises(InputError, match=rf"overlap a held-out split\. Set data\.train_size: {train}\."):
        load_splits(Jsonl(), given)


def test_repeated_rows_stand_in_one_split(tmp_path):
    source = write(tmp_path / "rows.jsonl", rows(20) + [dict(row) for row in rows(20)])
    for data in (Data(source=source), Data(source=source, train_size=4, validation_size=4, test_size=4)):
        questions = [{row["prompt"] for row in split} for split in load_splits(Jsonl(), data).values()]
        assert all(questions) and sum(map(len, questions)) == len(set.union(*questions))


@pytest.mark.parametrize(
    ("sizes", "fitting"),
    [
        ({"train_size": 1000}, "data.train_size: 24."),
        ({"test_size": 1000}, "data.test_size: 8."),
        ({"train_size": 30, "test_size": 12}, "data.test_size: 9, data.train_size: 23."),
        ({"train_size": 1000, "validation_size": 8, "test_size": 8},
         "data.test_size: 8, data.validation_size: 8, data.train_size: 24."),
    ],
)  # fmt: skip
def test_what_fits_leaves_the_held_out_splits_their_fifth_and_names_what_was_given(tmp_path, sizes, fitting):
    source = write(tmp_path / "rows.jsonl", rows(40))
    with pytest.raises(InputError) as error:
        load_splits(Jsonl(), Data(source=source, **sizes))
    assert str(error.value).endswith(f"What fits, at most: {fitting}")
    named = {name: int(size) for name, size in re.findall(r"data\.(\w+): (\d+)", fitting)}
    assert load_splits(Jsonl(), Data(source=source, **named))


def test_a_folder_with_a_file_for_each_split_is_used_whole_unless_sizes_are_given(tmp_path):
    for name, piece in (("train.jsonl", rows(30)[:24]), ("validation.jsonl.gz", rows(30)[24:27]),
                        ("test.jsonl", rows(30)[27:])):  # fmt: skip
        write(tmp_path / name, piece)
    data = Data(source=str(tmp_path))
    assert (data.train_size, data.validation_size, data.test_size, data.overlap) == (24, 3, 3, "error")
    assert notes(load_splits(Jsonl(), data)) == []
    few = Data(source=str(tmp_path), train_size=6)
    assert (few.train_size, few.validation_size) == (6, 3)
    assert notes(load_splits(Jsonl(), few)) == ["6 of 24 train rows are used (data.train_size)"]
    (tmp_path / "test.jsonl").unlink()
    assert Data(source=str(tmp_path)).train_size == 1000  # cut by the task's rule, with the paper's sizes


def test_a_folder_whose_train_repeats_test_is_used_but_for_those_rows_once_they_are_dropped(tmp_path):
    write(tmp_path / "train.jsonl", rows(10))
    write(tmp_path / "validation.jsonl", rows(14)[10:12])
    write(tmp_path / "test.jsonl", [rows(14)[0], *rows(14)[12:]])
    with pytest.raises(InputError, match=r"set data\.overlap: drop"):
        load_splits(Jsonl(), Data(source=str(tmp_path)))
    splits = load_splits(Jsonl(), Data(source=str(tmp_path), overlap="drop"))
    assert len(splits["train"]) == 9
    assert notes(splits) == ["rows left out of train because they overlap a held-out split: 1"]


def test_rows_of_one_file_that_no_split_asks_for_are_told(tmp_path):
    source = write(tmp_path / "rows.jsonl", rows(40))
    told = notes(load_splits(Jsonl(), Data(source=source, train_size=10)))
    assert told == ["26 of 40 rows.jsonl rows are used (data.train_size)"]


def test_a_run_of_filled_in_sizes_takes_what_is_left_and_goes_on_with_what_it_recorded(tmp_path):
    sums = [new_problem(str(n)) for n in range(40)]
    source = write(tmp_path / "rows.jsonl", [*sums, *sums[:10]])
    config = RunConfig(task="jsonl", method="vanilla", data={"source": source})
    metrics = run(config, tmp_path / "run", services=fake_services())
    assert any("rows left out of" in note for note in metrics["notes"])
    recorded = parse_config(RunDir(tmp_path / "run").read_json("resolved_config.json"), "recorded")
    assert recorded.data.model_dump() == config.data.model_dump()
    again = RunConfig(task="jsonl", method="vanilla", data={"source": source})
    assert run(again, tmp_path / "run", services=fake_services()) == metrics


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


@pytest.mark.parametrize(
    ("name", "content"),
    [("rows.csv", "\ufeffprompt,answer\nWhich?,this\n"), ("ROWS.JSON", '[{"prompt": "Which?", "answer": "this"}]')],
)
def test_a_file_of_another_kind_is_refused_with_the_line_that_converts_it(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match="is not JSON Lines, one object a line") as error:
        load_splits(Jsonl(), Data(source=str(tmp_path / name)))
    line = str(error.value).partition("Convert it: ")[2].rstrip(".").replace("python -c", f"{sys.executable} -c")
    subprocess.run(line, shell=True, check=True, cwd=tmp_path, timeout=60)
    (new,) = tmp_path.glob("*.jsonl")
    assert json.loads(new.read_text()) == {"prompt": "Which?", "answer": "this"}


def test_other_names_of_json_lines_get_the_right_one_and_case_does_not_matter(tmp_path):
    (tmp_path / "rows.ndjson").write_text("")
    with pytest.raises(InputError, match=r"If it is, under another name, rename it rows\.jsonl\."):
        load_splits(Jsonl(), Data(source=str(tmp_path / "rows.ndjson")))
    data = Data(source=write(tmp_path / "ROWS.JSONL", rows(10)))
    assert (data.train_size, len(load_splits(Jsonl(), data)["train"])) == (6, 6)


def test_a_folder_with_one_file_is_told_how_to_have_it_split(tmp_path):
    source = write(tmp_path / "rows.jsonl", rows(10))
    with pytest.raises(InputError, match=rf"holds no train\.jsonl .*set data\.source: {source}\."):
        load_splits(Jsonl(), Data(source=str(tmp_path)))
