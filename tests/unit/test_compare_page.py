"""The page of a comparison: what the tables say, the items that differ, and no markup of a text."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pada_graph.cli import app
from pada_graph.compare import compare_runs, write_page
from pada_graph.compare.caveats import BASELINE_RULE, VERDICT_RULE
from pada_graph.rundir import RunDir
from tests.run_fixture import HOSTILE, write_run
from tests.unit.test_report import Page


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("compared")
    return [write_run(root / "one"), write_run(root / "two", rounds=1)]


@pytest.fixture(scope="module")
def page(runs: list[Path]) -> Page:
    out = runs[0].parent / "compare.html"
    write_page(runs, compare_runs(runs), out)
    return Page(out)


def test_numbers_are_those_of_the_comparison(page: Page, runs: list[Path]) -> None:
    found, text = compare_runs(runs), " ".join(page.text.split())
    for row in found["models"]:
        assert f"{row['correct']} of {row['n']} {100 * row['accuracy']:.1f} %" in text
    for item in found["differences"]:
        assert f"{item['fixed']} {item['broken']} {100 * item['difference']:+.1f}" in text
        assert item["verdict"] in text
    assert "Runs with fewer than 3 training seeds: 1, 2." in text


def test_the_page_and_the_terminal_name_the_same_criterion(page: Page, runs: list[Path]) -> None:
    printed = CliRunner().invoke(app, ["compare", *map(str, runs)]).stdout
    assert VERDICT_RULE in " ".join(printed.split()) and VERDICT_RULE in " ".join(page.text.split())
    assert "adjusted by Holm" in VERDICT_RULE


def test_items_that_differ_are_counted_and_shown(page: Page, runs: list[Path]) -> None:
    text = " ".join(page.text.split())
    item = next(item for item in compare_runs(runs)["differences"] if item["against"] == "baseline")
    summary = "Run 1, iteration 2 (chosen) → run 2, iteration 1 (chosen), test"
    assert f"{summary}: {item['fixed']} fixed, {item['broken']} broken" in text
    assert f"Broken ({min(12, item['broken'])} of {item['broken']} shown)" in text


def test_costs_and_differing_settings_are_shown(page: Page) -> None:
    text = " ".join(page.text.split())
    assert "1 14 37 63,449 16,183 unknown 12 min 59 s" in text
    assert "iterations 2 1" in text.split("All other settings are the same.")[1]


def test_no_secret_is_among_the_settings_that_differ(tmp_path: Path) -> None:
    roots = [write_run(tmp_path / name, rounds=1) for name in ("one", "two")]
    run = RunDir(roots[1])
    config = run.read_json("resolved_config.json")
    config["models"]["generator"] |= {"api_key": "sk-secret-2", "base_url": "https://me:word@other.example/v1?key=s"}
    run.write_json("resolved_config.json", config)
    write_page(roots, compare_runs(roots), tmp_path / "out.html")
    html = (tmp_path / "out.html").read_text()
    assert "https://other.example/v1" in html
    assert not [secret for secret in ("sk-secret", "user:pw", "me:word", "key=s", "key=q") if secret in html]


def test_the_page_is_safe_and_whole(page: Page) -> None:
    assert "<script" not in page.html and "&lt;script&gt;" in page.html
    assert "default-src 'none'" in page.html
    assert len(page.all("table")) == len(page.all("caption"))
    assert {section["id"] for section in page.all("section")} == {"runs", "task-1", "costs", "settings"}


def test_the_command_writes_the_page_beside_what_it_prints(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    result = CliRunner().invoke(app, ["compare", *map(str, runs), "--json", "--html", str(out)])
    assert json.loads(result.stdout)["runs"][1]["run"] == 2
    assert "<title>2 runs compared – pada-graph</title>" in out.read_text(encoding="utf-8")


def test_intervals_that_take_dependent_answers_as_independent_are_said_to(page: Page, tmp_path: Path) -> None:
    run = RunDir(write_run(tmp_path / "one"))
    for model in ("untuned", "iteration_0", "iteration_2"):
        answers = run.read_jsonl(f"{model}/predictions_test.jsonl")
        run.write_jsonl(f"{model}/predictions_test.jsonl", [{**answer, "group": "article"} for answer in answers])
    said = ("so it is too narrow here.", "larger gains may go undetected too")
    text = text_of_page([run.root], tmp_path / "out.html")
    assert all(words in text for words in said) and not any(words in page.text for words in said)


def test_it_says_where_runs_fine_tuned_different_students(page: Page, tmp_path: Path) -> None:
    roots = [write_run(tmp_path / name, rounds=1) for name in ("one", "two")]
    run = RunDir(roots[1])
    run.write_json("resolved_config.json", {**run.read_json("resolved_config.json"), "student": {"model": "a/model"}})
    out = tmp_path / "out.html"
    write_page(roots, compare_runs(roots), out)
    assert "fine-tuned different students" in " ".join(Page(out).text.split())
    assert "different students" not in page.text


def write_seeds(root: Path, seeds: int, rounds: int = 1) -> list[Path]:
    """Runs that differ in nothing but their seed."""
    roots = [write_run(root / str(seed), rounds) for seed in range(seeds)]
    for seed, place in enumerate(roots):
        run = RunDir(place)
        run.write_json("resolved_config.json", {**run.read_json("resolved_config.json"), "seed": seed})
    return roots


def text_of_page(roots: list[Path], out: Path) -> str:
    write_page(roots, compare_runs(roots), out)
    return " ".join(Page(out).text.split())


def test_three_seeds_are_shown_with_their_intervals(tmp_path: Path) -> None:
    text = text_of_page(write_seeds(tmp_path, 3), tmp_path / "out.html")
    assert "3 seeds of pada (runs 1, 2, 3)" in text and "t interval over seeds" in text
    assert "training seeds: 1" not in text and "not tested" not in text


def test_two_seeds_are_shown_without_a_verdict(tmp_path: Path) -> None:
    text = text_of_page(write_seeds(tmp_path, 2), tmp_path / "out.html")
    table = text.split("2 seeds of pada (runs 1, 2)")[1].split("With 60 test items")[0]
    assert "not tested: fewer than 3 seeds" in table and "no detectable difference" not in table


def test_each_run_is_set_against_the_baselines_run_of_its_seed(tmp_path: Path) -> None:
    roots = [*write_seeds(tmp_path / "two", 2, rounds=2), *write_seeds(tmp_path / "one", 3)]
    text = text_of_page(roots, tmp_path / "out.html")
    assert BASELINE_RULE in text
    assert all(pair in text for pair in ("3 against 1 ", "4 against 2 ", "5 against 1 "))
    assert "Run 2, iteration 2 (chosen) → run 4, iteration 1 (chosen), test" in text
    change = str(round(100 * compare_runs(roots)["seeds"][1]["difference"]["mean"], 1))
    assert f"Difference of runs 3, 4 from runs 1, 2 {change} {change} – {change} not tested" in text


def test_hostile_texts_of_items_are_text(page: Page) -> None:
    assert HOSTILE[:25] in page.text
