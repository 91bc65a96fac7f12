"""Which cells a table has, what their names hold, what is refused before anything starts."""

import json
import re
from pathlib import Path

import pytest

from pada_graph.config import RunConfig
from pada_graph.config_file import parse_config
from pada_graph.errors import InputError
from pada_graph.reproduce import grid as grids
from pada_graph.reproduce import paper
from pada_graph.reproduce.grid import as_table, make_grid, numbers, words
from tests.fakes import sums_config, write_sums

DATA = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return sums_config(write_sums(tmp_path / "sums"))


@pytest.fixture
def any_data(monkeypatch) -> None:
    """Every task has all the rows that are asked for."""
    monkeypatch.setattr(grids, "_all_rows", lambda config, settings: {key: {"train": "0"} for key in settings})


def cells(grid) -> list[tuple]:
    return [(c.config.task, c.size, c.config.seed, c.variant) for c in grid.cells]


def test_table1_by_default_is_the_papers(any_data):
    grid = make_grid("table1", RunConfig(), methods=["pada", "vanilla"])
    assert grid.variants == ["vanilla", "pada"] and list(grid.sizes) == [1000, 600, 300]
    full = [(task, size) for task in paper.TASKS[:4] for size in paper.SIZES]
    assert {(task, size) for task, size, *_ in cells(grid)} == {*full, ("humaneval", 300)}
    assert [cell.variant for cell in grid.waves[0]] == ["vanilla"] * 13
    sizes = {
        (c.config.task, c.size): (c.config.data.train_size, c.config.data.validation_size, c.config.data.test_size)
        for c in grid.cells
    }
    assert sizes["gsm8k", 600] == (600, 500, 500)
    assert sizes["humaneval", 300] == (99, 32, 32)
    assert sizes["arc_challenge", 1000] == (1000, 298, 500)


def test_humaneval_belongs_to_the_limited_setting(any_data):
    grid = make_grid("table1", RunConfig(), methods=["vanilla"], sizes=[1000])
    assert "humaneval" not in grid.tasks
    with pytest.raises(InputError, match="Add 300 to --sizes"):
        make_grid("table1", RunConfig(), methods=["vanilla"], tasks=["humaneval"], sizes=[1000])


def test_table2_by_default_is_the_papers(any_data):
    grid = make_grid("table2", RunConfig(), sizes=[1000])
    assert grid.tasks == ["hellaswag", "arc_challenge"]
    assert [variant for *_, variant in cells(grid)][:2] == ["pada", "pada"]  # the first wave
    assert len(grid.cells) == 8
    with pytest.raises(InputError, match="--methods belongs to table1"):
        make_grid("table2", RunConfig(), methods=["pada"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ["vanila"]}, "--methods: unknown: vanila. Known: pada, vanilla"),
        ({"tasks": ["arc"]}, "--tasks: unknown: arc. Known: arc_challenge"),
        ({"sizes": [20, 20]}, "--sizes: name each once"),
        ({"seeds": []}, "--seeds: name each once, and at least one"),
        ({"sizes": [0]}, "train_size"),
        ({"seeds": [2**32]}, "seed"),
    ],
)
def test_options_that_make_no_grid_are_refused(config, options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        make_grid("table1", config, **{"methods": ["vanilla"], "tasks": ["jsonl"], "sizes": [20], **options})


def one(config: RunConfig, **options):
    defaults = {"methods": ["pada"], "tasks": ["jsonl"], "sizes": [20]}
    return make_grid("table1", config, **{**defaults, **options}).cells[0]


@pytest.mark.parametrize(
    "changes",
    [
        {"limits__max_calls": 5},
        {"unsafe_code_execution": True},
        {"models__judge": {"model": "openai:x", "api_key": "secret", "timeout": 3}},
    ],
)
def test_what_has_no_effect_on_results_is_not_in_the_hash(config, tmp_path, changes):
    base = {"models__judge": {"model": "openai:x"}}
    plain = one(sums_config(tmp_path / "sums", **base))
    other = one(sums_config(tmp_path / "sums", **{**base, **changes}))
    assert (plain.inputs, plain.shared) == (other.inputs, other.shared)


@pytest.mark.parametrize(
    ("changes", "shared"),
    [
        ({"generation__ratio": 0.4}, True),
        ({"models__judge": {"model": "openai:x"}}, True),
        ({"iterations": 1}, True),
        ({"student__dtype": "float32"}, False),
        ({"data__test_size": 11}, False),
    ],
)
def test_what_has_an_effect_on_results_is_in_the_hash(config, tmp_path, changes, shared):
    plain, other = one(config), one(sums_config(tmp_path / "sums", **changes))
    assert plain.inputs != other.inputs
    assert (plain.shared == other.shared) is shared


def test_iteration_0_is_shared_by_methods_and_not_by_seeds_or_sizes(config):
    plain = one(config)
    assert plain.shared == one(config, methods=["vanilla"]).shared
    assert plain.shared != one(config, seeds=[1]).shared
    assert plain.shared != one(config, sizes=[10]).shared


def test_another_row_in_a_file_is_another_cell(config, tmp_path):
    before = one(config)
    path = tmp_path / "sums/test.jsonl"
    path.write_text(path.read_text().replace("What is", "How much is", 1))
    after = one(config)
    assert before.inputs != after.inputs
    assert before.name.rpartition("-")[0] == after.name.rpartition("-")[0] == "jsonl-pada-n20-s0"


def test_sizes_that_nobody_gave_are_filled_in_for_each_cell(tmp_path):
    """A row that is left out for its overlap makes a filled-in size smaller, and a given one impossible."""
    rows = [{"prompt": f"What is {k} and {k * k} together?", "answer": str(k + k * k)} for k in range(50)]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *rows[:4]]))
    config = parse_config({"task": "jsonl", "data": {"source": str(file), "match": "number"}}, "test")
    grid = make_grid("table1", config, methods=["vanilla"], tasks=["jsonl"], sizes=[10])
    (cell,) = grid.cells
    assert "validation_size" not in cell.config.data.model_fields_set and cell.config.data.train_size == 10


def test_one_cause_of_many_impossible_cells_is_told_once(tmp_path):
    with pytest.raises(InputError) as refused:
        one(sums_config(tmp_path / "nowhere"), sizes=[10, 20])
    assert str(refused.value).count("there is no file or folder") == 1
    assert "jsonl 10, jsonl 20: " in str(refused.value)


def test_options_are_lists_with_commas():
    assert words("vanilla, pada,") == ["vanilla", "pada"] and words(None) is None
    assert numbers("--sizes", "300,600") == [300, 600]
    with pytest.raises(InputError, match=r"--sizes: whole numbers .*found many"):
        numbers("--sizes", "300,many")
    with pytest.raises(InputError, match="the tables are table1 and table2"):
        as_table("table3")


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason="the data sets are not at hand")
def test_the_papers_grid_is_possible_on_the_data_sets():
    config = RunConfig.model_validate({"data": {"source": f"{DATA}/{{task}}", "overlap": "drop"}})
    grid = make_grid("table1", config, methods=["vanilla"])
    assert len(grid.cells) == 13
