"""Loading: files of every kind, ids, nested disjoint splits, and errors that name place and fix."""

import gzip
import json
import sys
import types
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pada_graph.config import Data
from pada_graph.data import load_splits, overlap_notes
from pada_graph.errors import InputError
from pada_graph.near_duplicates import normalise
from pada_graph.tasks.arc_challenge import ArcChallenge
from pada_graph.tasks.gsm8k import Gsm8k
from pada_graph.tasks.humaneval import HumanEval
from pada_graph.tasks.jsonl import Jsonl
from pada_graph.tasks.squad import Squad


def _records(name, count):
    return [{"prompt": f"{name} question {n}?", "answer": str(n)} for n in range(count)]


def _write(folder, **files):
    for name, records in files.items():
        (folder / f"{name}.jsonl").write_text(
            "".join(json.dumps(record) + "\n" for record in records), encoding="utf-8"
        )
    return str(folder)


def _sizes(train=4, validation=2, test=2):
    return {"train_size": train, "validation_size": validation, "test_size": test}


@pytest.fixture
def folder(tmp_path):
    return _write(tmp_path, train=_records("train", 10), validation=_records("val", 5), test=_records("test", 5))


def _error(source, task=None, **options):
    with pytest.raises(InputError) as error:
        load_splits(task or Jsonl(), Data(source=str(source), **(_sizes() | options)))
    return str(error.value)


# ------------------------------------------------------------------------------------------------------------ splits


def test_smaller_train_sizes_are_prefixes_and_held_out_splits_stay(folder):
    loaded = {size: load_splits(Jsonl(), Data(source=folder, **_sizes(train=size))) for size in (3, 6, 10)}
    for size in (3, 6):
        assert loaded[size]["train"] == loaded[10]["train"][:size]
        assert loaded[size]["validation"] == loaded[10]["validation"]
        assert loaded[size]["test"] == loaded[10]["test"]
    assert [row["prompt"] for row in loaded[10]["train"]] != [f"train question {n}?" for n in range(10)]


def test_the_data_seed_chooses_the_rows_and_nothing_else_does(folder):
    first = load_splits(Jsonl(), Data(source=folder, **_sizes()))
    assert first == load_splits(Jsonl(), Data(source=folder, **_sizes()))
    assert first != load_splits(Jsonl(), Data(source=folder, seed=1, **_sizes()))
    assert [row["id"] for row in first["train"]] == ["train-8", "train-9", "train-2", "train-6"]  # on every machine


def _gsm(name, count):
    return [{"question": f"{name} {n}?", "answer": f"{n} eggs\n#### {n}"} for n in range(count)]


def test_splits_cut_from_one_file_are_disjoint(tmp_path):
    source = _write(tmp_path, train=_gsm("t", 12), test=_gsm("e", 3))
    splits = load_splits(Gsm8k(), Data(source=source, **_sizes(train=9, validation=3, test=3)))
    ids = {split: {row["id"] for row in rows} for split, rows in splits.items()}
    assert ids["train"] | ids["validation"] == {f"train-{n}" for n in range(1, 13)}
    assert ids["test"] == {"test-1", "test-2", "test-3"}


def test_with_all_three_files_each_split_has_its_own(tmp_path):
    source = _write(tmp_path, train=_gsm("t", 4), validation=_gsm("v", 2), test=_gsm("e", 2))
    splits = load_splits(Gsm8k(), Data(source=source, **_sizes()))
    assert {row["id"] for row in splits["validation"]} == {"validation-1", "validation-2"}


def test_humaneval_cuts_all_three_from_its_one_file(tmp_path):
    records = [
        {
            "task_id": f"HumanEval/{n}",
            "prompt": f"def f{n}():\n",
            "entry_point": f"f{n}",
            "test": "t",
            "canonical_solution": "s",
        }
        for n in range(8)
    ]
    splits = load_splits(HumanEval(), Data(source=_write(tmp_path, test=records), **_sizes()))
    assert {row["id"] for rows in splits.values() for row in rows} == {f"HumanEval/{n}" for n in range(8)}


def _squad(article, count, name=""):
    answers = {"text": ["Oregon"], "answer_start": [0]}
    return [
        {
            "id": f"{article}{n}",
            "title": article,
            "context": "Oregon",
            "question": f"{article}{name} {n}?",
            "answers": answers,
        }
        for n in range(count)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_whole_articles_go_to_validation_or_test(tmp_path, seed):
    held_out = [record for n, count in enumerate([9, 1, 4, 4, 2, 7]) for record in _squad(f"article{n}", count)]
    source = _write(tmp_path, train=_squad("other", 4), validation=held_out)
    splits = load_splits(Squad(), Data(source=source, seed=seed, **_sizes(validation=6, test=6)))
    titles = {split: {row["title"] for row in rows} for split, rows in splits.items()}
    assert not titles["validation"] & titles["test"]
    assert [len(splits[split]) for split in ("train", "validation", "test")] == [4, 6, 6]
    other = load_splits(Squad(), Data(source=source, seed=seed, **_sizes(train=1, validation=6, test=6)))
    assert other["validation"] == splits["validation"]


def test_articles_too_large_to_part_are_an_error(tmp_path):
    source = _write(tmp_path, train=_squad("other", 4), validation=_squad("one", 20))
    message = _error(source, Squad())
    assert "data.validation_size: 2 rows are asked for, but 0 are left for validation" in message


def test_an_article_of_a_held_out_file_in_train_is_overlap(tmp_path):
    source = _write(
        tmp_path, train=_squad("a", 2, " in train") + _squad("b", 4), validation=_squad("a", 2), test=_squad("c", 2)
    )
    assert "belongs to the same group as validation row validation-" in _error(source, Squad(), train_size=6)
    splits = load_splits(Squad(), Data(source=source, overlap="drop", **_sizes()))
    assert {row["title"] for row in splits["train"]} == {"b"}


# ----------------------------------------------------------------------------------------------------------- overlap


@pytest.fixture
def overlapping(tmp_path):
    train = [*_records("train", 5), {"prompt": "  TEST question,\t3", "answer": "3"}]
    return _write(tmp_path, train=train, validation=_records("val", 2), test=_records("test", 4))


def test_overlap_is_refused_with_both_rows_and_the_fix(overlapping):
    message = _error(overlapping, **_sizes(train=6, test=4))
    assert "1 of 6 train rows overlap a held-out split" in message
    assert f"train row train-6 ({overlapping}/train.jsonl, line 6) asks the same as test row test-4" in message
    assert f"({overlapping}/test.jsonl, line 4)" in message
    assert "set data.overlap: drop" in message


def test_dropped_overlap_is_made_up_for_while_rows_last(overlapping):
    splits = load_splits(Jsonl(), Data(source=overlapping, overlap="drop", **_sizes(train=5, test=4)))
    assert {row["id"] for row in splits["train"]} == {f"train-{n}" for n in range(1, 6)}
    message = _error(overlapping, overlap="drop", **_sizes(train=6, test=4))
    assert "5 are left for train, 1 others overlap a held-out split. Set data.train_size: 5." in message


def test_rows_of_validation_that_stand_in_test_are_dropped_from_validation(tmp_path):
    same = _records("same", 1)
    source = _write(
        tmp_path, train=_records("train", 4), validation=_records("val", 2) + same, test=same + _records("t", 1)
    )
    assert "validation row validation-3" in _error(source, validation_size=3)
    splits = load_splits(Jsonl(), Data(source=source, overlap="drop", **_sizes()))
    assert {row["id"] for row in splits["validation"]} == {"validation-1", "validation-2"}


OWL = "Which color helps the screech owl most to hide in the dark trees of its forest at night?"


@pytest.fixture
def near(tmp_path):
    train = [{"prompt": text, "answer": "grey"} for text in (OWL.replace("owl", "owls"), "How old are oaks?")]
    return _write(
        tmp_path,
        train=[*train, *_records("train", 4)],
        validation=_records("val", 2),
        test=[*_records("test", 1), {"prompt": OWL, "answer": "grey"}],
    )


def test_nearly_the_same_question_in_two_splits_is_refused_with_both_rows_and_the_similarity(near):
    message = _error(near, train_size=6)
    assert "1 of 6 train rows overlap a held-out split" in message
    assert f"train row train-1 ({near}/train.jsonl, line 1) asks nearly the same (94 % of the words) as" in message
    assert f"test row test-2 ({near}/test.jsonl, line 2)" in message


def test_what_was_left_out_is_told_row_by_row_and_in_a_sentence(near):
    splits = load_splits(Jsonl(), Data(source=near, overlap="drop", **_sizes(train=5)))
    assert "train-1" not in {row["id"] for row in splits["train"]}
    assert splits.overlaps == [
        {
            "split": "train",
            "id": "train-1",
            "place": f"{near}/train.jsonl, line 1",
            "with_split": "test",
            "with_id": "test-2",
            "with_place": f"{near}/test.jsonl, line 2",
            "kind": "question",
            "similarity": 0.944,
            "dropped": True,
        }
    ]
    assert overlap_notes(splits.overlaps) == ["data: rows left out of train because they overlap a held-out split: 1"]


def test_rows_that_repeat_one_another_within_train_stay_and_are_noted(tmp_path):
    train = [*_records("train", 3), {"prompt": OWL, "answer": "grey"}, {"prompt": OWL.upper(), "answer": "grey"}]
    source = _write(tmp_path, train=train, validation=_records("val", 2), test=_records("test", 2))
    splits = load_splits(Jsonl(), Data(source=source, **_sizes(train=5)))
    assert [(o["split"], o["with_split"], o["similarity"], o["dropped"]) for o in splits.overlaps] == [
        ("train", "train", 1.0, False)
    ]
    assert overlap_notes(splits.overlaps) == [
        "data: rows of train that nearly repeat another one of it, and were kept: 1"
    ]


def test_rows_of_one_form_with_other_numbers_are_no_overlap(tmp_path):
    form = "Ann sells {} eggs on Monday and {} eggs on Tuesday at the market. How many eggs does she sell in all?"
    rows = [{"prompt": form.format(n, 3 * n), "answer": str(4 * n)} for n in range(20, 28)]
    source = _write(tmp_path, train=rows[:4], validation=rows[4:6], test=rows[6:])
    assert load_splits(Jsonl(), Data(source=source, **_sizes())).overlaps == []


SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared data is not here")
@pytest.mark.parametrize(
    ("task", "sizes", "fix"),
    [
        (ArcChallenge(), (1200, 290, 500), "train has 1119 rows, but train 1200 are asked for. What fits, at most: "
         "data.train_size: 1119."),
        (ArcChallenge(), (1000, 299, 500), "Set data.validation_size: 298."),
        (HumanEval(), (1000, 500, 500), "2000 in all. What fits, at most: data.test_size: 41, "
         "data.validation_size: 41, data.train_size: 82."),
        (HumanEval(), (100, 32, 32), "Set data.train_size: 99."),
    ],
)  # fmt: skip
def test_sizes_beyond_the_public_data_get_the_number_that_fits(task, sizes, fix):
    asked = _sizes(*sizes)
    assert fix in _error(SHARED / task.name, task, overlap="drop", **asked)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("What is it?", "  what  IS it", True),
        ("“What” is it…", "What is it?", True),
        ("5 - 3?", "5 + 3?", False),
        ("5 * 3?", "5 / 3?", False),
        ("3.5", "35", False),
        ("कि", "का", False),
        ("?", "!", False),
    ],
)
def test_questions_are_compared_by_their_words(one, other, equal):
    assert (normalise(one) == normalise(other)) is equal


@given(st.text())
def test_normalising_twice_changes_nothing(text):
    assert normalise(normalise(text)) == normalise(text)


# --------------------------------------------------------------------------------------------------------------- ids


def test_own_ids_are_kept_where_unique_and_replaced_where_not(tmp_path):
    records = _records("train", 4)
    for record, own in zip(records, ["a", 7, "b", "b"], strict=True):
        record["id"] = own
    validation = _records("val", 2)
    validation[0]["id"] = "a"
    source = _write(tmp_path, train=records, validation=validation, test=_records("test", 2))
    splits = load_splits(Jsonl(), Data(source=source, **_sizes()))
    assert {row["id"] for row in splits["train"]} == {"train-1", "7", "train-3", "train-4"}
    assert {row["id"] for row in splits["validation"]} == {"validation-1", "validation-2"}


def test_an_own_id_never_takes_another_rows_made_one(tmp_path):
    records = _records("train", 4)
    records[0]["id"] = "train-2"
    source = _write(tmp_path, train=records, validation=_records("val", 2), test=_records("test", 2))
    ids = [row["id"] for row in load_splits(Jsonl(), Data(source=source, **_sizes()))["train"]]
    assert len(set(ids)) == 4


# ------------------------------------------------------------------------------------------------------------- files


def test_gzip_bom_crlf_and_blank_lines_are_fine(tmp_path):
    _write(tmp_path, test=_records("test", 2))
    lines = [json.dumps(record) for record in _records("val \u2028 \U0001f600", 2)]
    (tmp_path / "validation.jsonl").write_bytes(b"\xef\xbb\xbf" + "\r\n\r\n".join(lines).encode())
    with gzip.open(tmp_path / "train.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in _records("tra\u2028in", 4))
    splits = load_splits(Jsonl(), Data(source=str(tmp_path), **_sizes()))
    assert {row["id"] for row in splits["validation"]} == {"validation-1", "validation-3"}
    assert all("tra\u2028in" in row["prompt"] for row in splits["train"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"prompt": "p", "answer": "a"', "not valid JSON"),
        (b'{"prompt": "p", "answer": NaN}', "NaN is not JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'["p", "a"]', "found a JSON list. Each line must be one JSON object"),
        (b'{"prompt": "p"}', 'field "answer" must be a string, but is missing'),
        (b'{"prompt": "p", "answer": 5}', 'field "answer" must be a string, but is of type int'),
        (b'{"prompt": " ", "answer": "a"}', 'field "prompt" is empty'),
        (b'{"prompt": "\\ud83d", "answer": "a"}', "holds a lone surrogate"),
        (b'{"prompt": "caf\xe9", "answer": "a"}', "not UTF-8 text"),
    ],
)
def test_a_bad_row_is_named_by_file_line_and_field(folder, tmp_path, line, message):
    path = tmp_path / "validation.jsonl"
    path.write_bytes(path.read_bytes() + line + b"\n")
    error = _error(folder)
    assert error.startswith(f"{path}, line 6: ")
    assert message in error


def test_the_fields_of_a_row_without_the_right_ones_are_shown_and_its_like_are_counted(tmp_path):
    renamed = [{"question": "p", "answer": "a"}] * 3
    source = _write(tmp_path, train=[*_records("t", 4), *renamed], validation=_records("v", 2), test=_records("e", 2))
    assert _error(source) == (
        f'{source}/train.jsonl, line 5: field "prompt" must be a string, but is missing; the row has: question, '
        "answer; rename them, or write a task file (docs/tasks.md). Mend the row or remove it. In all, 3 of the file's "
        "7 rows are refused."
    )


def test_a_number_compared_as_text_gets_both_ways_out(tmp_path):
    numbers = [{"prompt": f"What is {n}?", "answer": n} for n in range(4)]
    source = _write(tmp_path, train=numbers, validation=_records("v", 2), test=_records("e", 2))
    fix = "is of type int; write it in quotes, or set data.match: number. Mend the row"
    assert fix in _error(source) and fix in _error(source, Jsonl("judge"))


def test_a_damaged_gzip_file_is_named(folder, tmp_path):
    (tmp_path / "train.jsonl").unlink()
    path = tmp_path / "train.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"prompt": "p", "answer": "a"}\n' * 1000)[:-20])
    assert _error(folder).startswith(f"{path}: cannot be read")
    path.write_bytes(b"no gzip")
    assert _error(folder).startswith(f"{path}: cannot be read")


def test_missing_folders_and_files_are_named_with_the_fix(folder, tmp_path):
    assert f"data.source: there is no file or folder rowz.jsonl, seen from {Path.cwd()}. Use" in _error("rowz.jsonl")
    (tmp_path / "validation.jsonl").unlink()
    assert f"{tmp_path} holds no validation.jsonl or validation.jsonl.gz" in _error(folder)
    (tmp_path / "train.jsonl.gz").write_bytes(b"")
    (tmp_path / "validation.jsonl").write_text("")
    assert "holds train.jsonl and train.jsonl.gz. Remove the one" in _error(folder)


# ------------------------------------------------------------------------------------------------------------- sizes


def test_a_size_beyond_the_file_names_the_size_that_fits(folder):
    message = _error(folder, train_size=11)
    assert "train has 10 rows, but train 11 are asked for. What fits, at most: data.train_size: 10." in message
    assert load_splits(Jsonl(), Data(source=folder, **_sizes(train=10)))["train"]


def test_sizes_beyond_a_shared_file_get_sizes_that_fit(tmp_path):
    source = _write(tmp_path, train=_gsm("t", 10), test=_gsm("e", 2))
    message = _error(source, Gsm8k(), train_size=20, validation_size=10)
    assert "30 in all" in message
    assert "What fits, at most: data.validation_size: 3, data.train_size: 7" in message
    assert load_splits(Gsm8k(), Data(source=source, **_sizes(train=7, validation=3)))


def test_an_empty_file_is_named(folder, tmp_path):
    (tmp_path / "test.jsonl").write_text("\n")
    assert "test holds no rows, too few for test. Add rows." in _error(folder)


# ------------------------------------------------------------------------------------------------- hub and built-ins


def _fake_datasets(monkeypatch, load):
    module, exceptions = types.ModuleType("datasets"), types.ModuleType("datasets.exceptions")
    module.load_dataset = load
    exceptions.DatasetsError = type("DatasetsError", (Exception,), {})
    monkeypatch.setitem(sys.modules, "datasets", module)
    monkeypatch.setitem(sys.modules, "datasets.exceptions", exceptions)


def test_the_hub_is_asked_for_the_tasks_own_splits(monkeypatch):
    asked = []

    def load(path, name, *, split):
        asked.append((path, name, split))
        return _gsm(split, 10)

    _fake_datasets(monkeypatch, load)
    splits = load_splits(Gsm8k(), Data(**_sizes()))
    assert asked == [("openai/gsm8k", "main", "train"), ("openai/gsm8k", "main", "test")]
    assert len(splits["validation"]) == 2


@pytest.mark.parametrize("error", [ConnectionError("Couldn't reach the Hub"), ValueError('Unknown split "train"')])
def test_a_hub_that_fails_is_an_error_with_the_way_out(monkeypatch, error):
    def load(path, name, *, split):
        raise error

    _fake_datasets(monkeypatch, load)
    message = _error("hub", Gsm8k())
    assert f"openai/gsm8k (train) cannot be had from the hub: {error}." in message
    assert "set data.source to a folder with train.jsonl" in message


def test_without_the_package_or_a_hub_id_the_hub_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    assert "pip install 'pada-graph[train]'" in _error("hub", Gsm8k())
    assert "task jsonl has no data set on the hub" in _error("hub", Jsonl())


def test_the_demo_brings_its_own_rows(monkeypatch):
    demo = types.ModuleType("pada_graph.demo.data")
    demo.demo_rows = lambda: {"train": _records("t", 4), "validation": _records("v", 2), "test": _records("e", 2)}
    monkeypatch.setitem(sys.modules, "pada_graph.demo.data", demo)
    splits = load_splits(Jsonl(), Data(source="builtin:demo", **_sizes()))
    assert {row["prompt"][0] for row in splits["train"]} == {"t"}
    demo.demo_rows = lambda: {"train": [{"prompt": "p"}], "validation": _records("v", 2), "test": _records("e", 2)}
    assert _error("builtin:demo").startswith("builtin:demo train, row 1: field")
