"""From finished cells to a table: numbers, tests, costs, what is missing, and every form it is written in."""

import csv
import io
import json
from itertools import product
from pathlib import Path

import pytest
from rich.console import Console

from pada_graph.config import RunConfig
from pada_graph.reproduce import print_tables
from pada_graph.reproduce.blocks import blocks, caveats
from pada_graph.reproduce.cells import Cell
from pada_graph.reproduce.grid import Grid
from pada_graph.reproduce.lines import one_line
from pada_graph.reproduce.output import write_outputs
from pada_graph.reproduce.tables import Result, make_result
from pada_graph.rundir import RunDir
from tests.unit.test_reproduce_differences import answers, first

TASKS = ("arc_challenge", "gsm8k", "hellaswag", "squad", "humaneval")


def grid_of(variants, tasks=TASKS, size=300, seeds=(0,), table="table1") -> Grid:
    cells = [
        Cell(
            variant,
            size,
            RunConfig(
                task=task, method="vanilla" if variant == "vanilla" else "pada", seed=seed, data={"train_size": size}
            ),
            {"test": variant},  # tells variants of one method apart
        )
        for task, seed, variant in product(tasks, seeds, variants)
    ]
    return Grid(table, RunConfig(), variants, tasks, [size], seeds, [cells, []])


def finish(cell: Cell, root: Path, right: int, n: int = 40, calls: int = 0, usd: float | None = 0.0) -> None:
    """A finished run whose chosen iteration has `right` of n answers right."""
    run = RunDir(cell.place(root))
    run.write_json("resolved_config.json", cell.config.model_dump(mode="json"))
    best = int(cell.config.method != "vanilla")
    for folder, count in {"untuned": 1, "iteration_0": 2, f"iteration_{best}": right}.items():
        run.write_jsonl(f"{folder}/predictions_test.jsonl", answers(first(count), n))
    role = {"calls": calls, "input_tokens": 10 * calls, "output_tokens": calls, "usd": usd}
    books = {"requested": 10, "accepted": 8} if calls else {"requested": 0, "accepted": 0}
    run.write_json(
        "metrics.json", {"best_iteration": best, "teacher": {"judge": role} if calls else {}, "accounting": books}
    )
    cell.finish(root)


def paper_like(tmp_path: Path, **options) -> Result:
    """Of 40 items: vanilla 10, 8, 8, 20 and 4 right, pada 16, 8, 20, 18 and 6."""
    grid = grid_of(["vanilla", "pada"], **options)
    right = {"vanilla": (10, 8, 8, 20, 4), "pada": (16, 8, 20, 18, 6)}
    for cell in grid.cells:
        count = right[cell.variant][TASKS.index(cell.config.task)]
        finish(cell, tmp_path, count, calls=30 * (cell.variant == "pada"), usd=1.5)
    return make_result(grid, tmp_path, {})


def test_averages_are_over_all_tasks_but_humaneval(tmp_path):
    averages = {item["variant"]: item for item in paper_like(tmp_path)["averages"]}
    ours, theirs = averages["pada"]["ours"], averages["pada"]["paper"]
    assert ours["accuracy"] == pytest.approx(100 * (16 + 8 + 20 + 18) / 160)
    assert ours["points"] == pytest.approx(100 * (6 + 0 + 12 - 2) / 160)
    assert ours["averaged"] == pytest.approx((60 + 0 + 150 - 10) / 4)
    assert (theirs["averaged"], theirs["points"]) == (16.5, pytest.approx((3.5 + 5 + 8 + 2.6) / 4))
    assert averages["vanilla"]["ours"]["averaged"] is None


def test_an_average_with_a_task_missing_is_left_open(tmp_path):
    grid = grid_of(["vanilla", "pada"], tasks=TASKS[:2])
    for cell in grid.cells[:-1]:
        finish(cell, tmp_path, 10)
    (average,) = [item for item in make_result(grid, tmp_path, {})["averages"] if item["variant"] == "pada"]
    assert average["ours"] == {"accuracy": None, "points": None, "averaged": None}


def test_an_average_over_other_seeds_than_vanillas_is_compared_with_nothing(tmp_path):
    grid = grid_of(["vanilla", "pada"], tasks=TASKS[:1], seeds=(0, 1))
    for cell in grid.cells[:-1]:  # pada lacks seed 1
        finish(cell, tmp_path, 10)
    averages = {item["variant"]: item["ours"] for item in make_result(grid, tmp_path, {})["averages"]}
    assert averages["pada"] == {"accuracy": 25.0, "points": None, "averaged": None}
    assert averages["untuned"]["points"] == pytest.approx(100 * (1 - 10) / 40)


def test_squads_intervals_are_said_to_take_dependent_answers_as_independent(tmp_path):
    said = "SQuAD: answers on one article are not independent."
    result = paper_like(tmp_path)
    assert [text.startswith(said) for text in caveats(result)].count(True) == 1
    without = {**result, "rows": [row for row in result["rows"] if row["task"] != "squad"]}
    assert not any(said in text for text in caveats(without))


def test_costs_are_means_over_seeds(tmp_path):
    grid = grid_of(["vanilla", "pada"], tasks=TASKS[:1], seeds=(0, 1))
    for cell in grid.cells:
        finish(cell, tmp_path, 10, calls=(10 + 20 * cell.config.seed) * (cell.variant == "pada"))
    cost = next(row["cost"] for row in make_result(grid, tmp_path, {})["rows"] if row["variant"] == "pada")
    assert (cost["requested"], cost["accepted"], cost["calls"]) == (10, 8, 20)


def test_holm_is_over_all_comparisons_of_the_table(tmp_path):
    """GSM8K: no difference; HellaSwag: 12 fixed, p = 2 / 2^12, times five comparisons."""
    found = {item["task"]: item for item in paper_like(tmp_path)["comparisons"]}
    assert found["hellaswag"]["p_value"] == pytest.approx(2 / 2**12)
    assert found["hellaswag"]["holm"] == pytest.approx(5 * 2 / 2**12)
    assert found["hellaswag"]["verdict"] == "better"
    assert found["arc_challenge"]["p_value"] == pytest.approx(2 / 2**6)  # below 0.05 alone
    assert found["arc_challenge"]["holm"] > 0.05
    assert found["arc_challenge"]["verdict"] == "no detectable difference"
    assert found["hellaswag"]["paper"] == pytest.approx(32.6 - 24.6)


def test_pada_is_compared_with_each_baseline_too(tmp_path):
    grid = grid_of(["vanilla", "auggpt", "pada"], tasks=["gsm8k"])
    for cell in grid.cells:
        finish(cell, tmp_path, {"vanilla": 4, "auggpt": 8, "pada": 12}[cell.variant])
    pairs = [(item["variant"], item["against"]) for item in make_result(grid, tmp_path, {})["comparisons"]]
    assert pairs == [("auggpt", "vanilla"), ("pada", "vanilla"), ("pada", "auggpt")]


def test_costs_are_per_point_gained_and_never_of_a_loss(tmp_path):
    rows = {(row["task"], row["variant"]): row["cost"] for row in paper_like(tmp_path)["rows"]}
    gained = rows["arc_challenge", "pada"]
    assert gained["gain"] == pytest.approx(15.0)
    assert gained["usd_per_point"] == pytest.approx(1.5 / 15) and gained["calls_per_point"] == pytest.approx(2.0)
    for task in ("gsm8k", "squad"):  # no gain, a loss
        assert rows[task, "pada"]["usd_per_point"] is rows[task, "pada"]["calls_per_point"] is None
    assert rows["gsm8k", "untuned"] is None
    assert (gained["accepted"], gained["requested"]) == (8, 10)


def test_unknown_dollars_stay_unknown(tmp_path):
    grid = grid_of(["vanilla", "pada"], tasks=["gsm8k"])
    finish(grid.cells[0], tmp_path, 4)
    finish(grid.cells[1], tmp_path, 8, calls=20, usd=None)
    result = make_result(grid, tmp_path, {})
    cost = next(row["cost"] for row in result["rows"] if row["variant"] == "pada")
    assert (cost["usd"], cost["usd_per_point"], cost["calls_per_point"]) == (None, None, 2.0)
    line = next(row for block in blocks(result) if "costs" in block.title for row in block.rows if row[0] == "pada")
    assert line[4:] == ["unknown", "unknown", "2.0"]


def test_seeds_are_compared_with_the_same_seeds_alone(tmp_path):
    grid = grid_of(["vanilla", "pada"], tasks=["gsm8k"], seeds=(0, 1, 2))
    for cell in grid.cells:
        if (cell.variant, cell.config.seed) != ("vanilla", 1):
            finish(cell, tmp_path, 4 + cell.config.seed + 8 * (cell.variant == "pada"))
    result = make_result(grid, tmp_path, {})
    (item,) = result["comparisons"]
    assert item["seeds"] == [0, 2] and item["difference"] == pytest.approx(8 / 40)
    row = next(row for row in result["rows"] if row["variant"] == "pada")
    assert row["per_seed"] == [12 / 40, 13 / 40, 14 / 40] and row["seeds"] == [0, 1, 2]


def test_missing_cells_have_their_reasons(tmp_path):
    grid = grid_of(["vanilla", "pada"], tasks=["gsm8k", "squad"])
    finish(grid.cells[0], tmp_path, 4)
    finish(grid.cells[1], tmp_path, 8, n=39)
    result = make_result(grid, tmp_path, {grid.cells[2].name: "no network"})
    missing = [cell["missing"] for cell in result["missing"]]
    assert "different test items" in missing[0] or "on different test" in missing[0]
    assert missing[1:] == ["no network", "not run yet"]


def test_a_finished_cell_that_was_damaged_is_missing_and_stops_no_other(tmp_path):
    grid = grid_of(["vanilla", "pada"], tasks=["gsm8k"])
    for cell in grid.cells:
        finish(cell, tmp_path, 4)
    (grid.cells[0].place(tmp_path) / "untuned/predictions_test.jsonl").write_text("{")
    result = make_result(grid, tmp_path, {})
    assert [row["variant"] for row in result["rows"]] == ["untuned", "pada"]
    assert "damaged" in result["missing"][0]["missing"]


HOSTILE = "</td><script>alert(1)</script> | [x](http://h) \\input{x} \x1b[31m\ud800"


def test_every_form_holds_the_figures_and_no_markup_of_a_reason(tmp_path):
    grid = grid_of(["vanilla", "pada"], tasks=["hellaswag"])
    finish(grid.cells[0], tmp_path, 8)
    result = make_result(grid, tmp_path, {grid.cells[1].name: one_line(HOSTILE)})
    write_outputs(tmp_path, result)
    forms = {path.suffix: path.read_text(encoding="utf-8") for path in tmp_path.glob("table1.*")}
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page and "script-src" not in page and "default-src 'none'" in page
    assert f'<a href="cells/{grid.cells[0].name}/report.html">' not in page  # this cell has no report
    assert "\\</td\\>\\<script\\>" in forms[".md"] and "\x1b" not in forms[".md"]
    assert all("20.0" in text and "24.6" in text for text in (forms[".md"], forms[".tex"], page))
    rows = list(csv.DictReader(io.StringIO(forms[".csv"])))
    assert [(row["variant"], row["accuracy"]) for row in rows] == [("untuned", "0.025"), ("vanilla", "0.2")]
    assert json.loads(forms[".json"])["missing"][0]["missing"] == one_line(HOSTILE)


def test_the_page_holds_both_tables_and_links_to_the_cells_reports(tmp_path):
    grid = grid_of(["vanilla", "pada"], tasks=["hellaswag"])
    for cell in grid.cells:
        finish(cell, tmp_path, 8)
        (cell.place(tmp_path) / "report.html").write_text("")
    write_outputs(tmp_path, make_result(grid, tmp_path, {}))
    write_outputs(tmp_path, make_result(grid_of(["pada", "pada-no_quality"], table="table2"), tmp_path, {}))
    page = (tmp_path / "report.html").read_text()
    assert "Table 1: methods" in page and "Table 2: ablations of pada" in page
    assert page.count(f'<a href="cells/{grid.cells[0].name}/report.html">') == 1


@pytest.mark.parametrize("width", [80, 100, 200])
def test_the_terminal_shows_all_within_its_width_and_100_columns(tmp_path, width):
    stream = io.StringIO()
    print_tables(Console(file=stream, width=width), paper_like(tmp_path))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= min(width, 100)
    assert any("40.0 [26.3, 55.4]" in line for line in lines)  # numbers are not broken over two lines
    assert any("paper: Ours" in line and "50.8" in line for line in lines)


def test_latex_has_no_bare_special_characters(tmp_path):
    write_outputs(tmp_path, paper_like(tmp_path))
    text = (tmp_path / "table1.tex").read_text()
    assert "arc\\_challenge" in text or "ARC" in text
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") > 5
    cells = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert cells and not any("%" in line.replace(r"\%", "") for line in cells)
