"""The report page: complete, self-contained, safe, honest, and made from whatever a run directory holds."""

import html
import json
import re
import shutil
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pada_graph.errors import InputError
from pada_graph.html.words import duration
from pada_graph.report import build_report, headline
from pada_graph.report.patterns import bars, error_patterns
from pada_graph.report.texts import letters, spread
from pada_graph.rundir import RunDir
from tests.run_fixture import write_run

VOID = {"meta", "br", "link", "img", "hr", "input"}
SECTIONS = [
    "accuracy",
    "patterns",
    "clusters",
    "batches",
    "samples",
    "flips",
    "accounting",
    "leakage",
    "loss",
    "cost",
    "notes",
    "setup",
]


class Page(HTMLParser):
    """Collects elements and text, and fails on tags that do not nest."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.html = path.read_text(encoding="utf-8")
        self.feed(self.html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.text += " " * (tag in ("td", "th"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "my-run")


@pytest.fixture(scope="module")
def page(run_dir: Path) -> Page:
    return Page(build_report(run_dir))


def test_all_sections_stand_in_the_contents(page: Page) -> None:
    assert [section["id"] for section in page.all("section")] == SECTIONS
    skip, *contents = page.all("a")
    assert skip["href"] == "#main" and page.all("main")[0]["id"] == "main"
    assert [link["href"] for link in contents] == [f"#{name}" for name in SECTIONS]


def test_headings_descend_one_level_at_a_time(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_tables_have_captions_and_scoped_headers(page: Page) -> None:
    assert len(page.all("table")) == len(page.all("caption")) >= 10
    assert all(header.get("scope") in ("row", "col") for header in page.all("th"))


def test_page_loads_nothing_and_runs_nothing(page: Page) -> None:
    assert not {"script", "link", "img", "iframe", "object", "base"} & {tag for tag, _ in page.elements}
    assert not [
        value for _, attrs in page.elements for name, value in attrs.items() if name in ("src", "onload", "onclick")
    ]
    assert all((attrs.get("xlink:href") or "#").startswith("#") for _, attrs in page.elements)
    assert "@import" not in page.html
    assert not re.search(r"url\((?!#)", page.html)
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy and policy.startswith("default-src 'none'")


def test_hostile_texts_are_shown_as_text(page: Page) -> None:
    assert "<script" not in page.html
    assert page.html.count("&lt;script&gt;") > 10
    assert '<script>alert("x")</script></td></svg></style>{{ 7 * 7 }} & $\\frac{1}{2}$' in page.text


def test_figures_are_named_and_take_the_pages_colours(page: Page) -> None:
    figures = page.all("svg")
    assert len(figures) == 10  # a map for each of the two rounds
    assert all(figure["role"] == "img" and figure["aria-label"] for figure in figures)
    assert not any("width" in figure for figure in figures)
    drawn = "".join(re.findall(r"<svg.*?</svg>", page.html, flags=re.DOTALL))
    assert not re.search(r"(?:fill|stroke): ?#", drawn)
    # Text without a fill is black, and vanishes on a dark page.
    assert all("fill: " in (text["style"] or "") for text in page.all("text"))
    assert "var(--c0)" in drawn
    ids = re.findall(r' id="([^"]+)"', drawn)
    assert all(f"#{name}" in drawn for name in ids)
    assert len(ids) == len(set(ids))  # the figures share one page


def test_no_secret_of_the_configuration_is_shown(page: Page) -> None:
    assert "sk-secret-1" not in page.html
    assert "user:pw" not in page.html
    assert "?key=q" not in page.html
    assert "https://host.example/v1" in page.text
    assert "(set, not shown)" in page.text


def test_numbers_are_those_of_the_run(page: Page, run_dir: Path) -> None:
    metrics = json.loads((run_dir / "metrics.json").read_text())
    test = metrics["iterations"][2]["test"]
    text = " ".join(page.text.split())
    assert f"{test['correct']} of {test['n']}" in text
    assert f"{100 * test['low']:.1f}–{100 * test['high']:.1f}" in text
    assert headline(metrics).replace(" %", "\u00a0%") in page.text
    assert "✓ adds up" in text
    assert "differs by" not in text
    assert "37 63,449 16,183" in text  # teacher totals
    assert "Accepted (12 of 14 shown)" in text
    assert "Rejected (12 of 16 shown)" in text
    assert "4.0 → 5.1 → 5.0 → 6.2" in text


def test_books_that_do_not_add_up_are_shown_so(tmp_path: Path) -> None:
    run = RunDir(write_run(tmp_path))
    metrics = run.read_json("metrics.json")
    metrics["accounting"]["accepted"] -= 3
    run.write_json("metrics.json", metrics)
    assert "✗ differs by -3" in Page(build_report(tmp_path)).text


def test_fixed_and_broken_examples_are_those_of_the_predictions(page: Page, run_dir: Path) -> None:
    compared = json.loads((run_dir / "metrics.json").read_text())["comparison"]
    shown = re.findall(r"(Fixed|Broken) \((\d+) of (\d+) shown\)", page.text)
    assert shown[-2:] == [
        ("Fixed", str(min(12, compared["fixed"])), str(compared["fixed"])),
        ("Broken", str(min(12, compared["broken"])), str(compared["broken"])),
    ]


def test_report_needs_no_other_folder_and_repeats(run_dir: Path, tmp_path: Path) -> None:
    first = build_report(run_dir).read_text()
    moved = tmp_path / "my-run"
    moved.mkdir()
    for file in run_dir.rglob("*"):
        if file.is_file() and file.name != "report.html":
            (moved / file.relative_to(run_dir)).parent.mkdir(parents=True, exist_ok=True)
            (moved / file.relative_to(run_dir)).write_bytes(file.read_bytes())
    assert build_report(moved).read_text() == first


def test_unfinished_run_gives_what_there_is(tmp_path: Path) -> None:
    page = Page(build_report(write_run(tmp_path, finished=False)))
    assert "This run is not finished. Validation accuracy so far: iteration 0: " in page.text.replace("\u00a0", " ")
    assert not [mark for mark in page.all("span") if mark.get("class") == "badge"]  # nothing is chosen yet
    assert "loss" in [section["id"] for section in page.all("section")]


def test_run_that_has_just_begun_gives_a_page(tmp_path: Path) -> None:
    RunDir(tmp_path).write_json(
        "resolved_config.json", json.loads((write_run(tmp_path / "x") / "resolved_config.json").read_text())
    )
    page = Page(build_report(tmp_path))
    assert "Nothing has been scored yet." in page.text
    assert [section["id"] for section in page.all("section")] == ["accuracy", "setup"]


def test_vanilla_run_without_rounds_gives_a_page(tmp_path: Path) -> None:
    page = Page(build_report(write_run(tmp_path, rounds=0)))
    assert "Vanilla fine-tuning (iteration 0) is the only iteration." in page.text
    assert "patterns" not in [section["id"] for section in page.all("section")]


def test_without_matplotlib_tables_stay_and_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = Page(build_report(write_run(tmp_path)))
    assert page.all("svg") == []
    assert page.text.count("pip install 'pada-graph[report]'") == 1
    assert "Validation failures by pattern and iteration." in page.text


def test_damaged_or_foreign_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is .* a run directory"):
        build_report(tmp_path)
    write_run(tmp_path)
    (tmp_path / "iteration_1" / "patterns.jsonl").write_text("{broken\n{}\n")
    with pytest.raises(InputError, match=r"patterns\.jsonl: damaged"):
        build_report(tmp_path)


def test_lone_surrogates_do_not_break_the_page(tmp_path: Path) -> None:
    write_run(tmp_path)
    notes = json.loads((tmp_path / "metrics.json").read_text())
    notes["notes"] = ["odd \ud800 text"]
    (tmp_path / "metrics.json").write_text(json.dumps(notes))
    assert "odd ? text" in Page(build_report(tmp_path)).text


def test_collapsed_model_is_named(tmp_path: Path) -> None:
    run = RunDir(write_run(tmp_path))
    name = "iteration_1/predictions_validation.jsonl"
    run.write_jsonl(name, [{**row, "parsed": "B", "output": "B"} for row in run.read_jsonl(name)])
    text = Page(build_report(tmp_path)).text
    assert "Iteration 1 answers 'B' to 40 of 40 validation questions" in text
    assert text.count("it may have collapsed") == 1


def test_what_stands_beside_accuracy_is_shown_for_every_tested_model(tmp_path: Path) -> None:
    run = RunDir(write_run(tmp_path))
    name = "iteration_2/predictions_test.jsonl"
    run.write_jsonl(name, [{**row, "parsed": "B"} for row in run.read_jsonl(name)])
    text = " ".join(Page(build_report(tmp_path)).text.split())
    assert "The test split in detail. Model Correct Unparsed Truncated strict Answers" in text
    assert "Iteration 2 50 of 60 0 1 83.3 % B 60" in text


def test_overlaps_are_counted_by_kind_and_listed(page: Page) -> None:
    assert re.search(r"1\s+sample\s+rephrases a validation or test row\s+2", page.text)
    assert re.search(r"2\s+sample\s+hardly differs from its seed\s+1", page.text)
    assert "t1-s0-b0-1, attempt 1: rephrases a validation or test row, test-3 (similarity 0.90)" in page.text
    assert "repeats test test-9 (similarity 0.93): left out" in page.text


def test_failures_are_divided_as_the_next_rounds_patterns_divide_the_analysed_ones(run_dir: Path) -> None:
    run = RunDir(run_dir)
    found = error_patterns(run, run.read_json("metrics.json"))
    assert [(s["student"], s["failed"], s["analysed"]) for s in found["students"]] == [
        (0, 18, 12),
        (1, 12, 12),
        (2, 7, 0),
    ]
    drawn = bars(found)
    assert all(
        sum(height for *_, height in segments) == pytest.approx(student["failed"], abs=0.05)
        for (_, segments, _), student in zip(drawn, found["students"], strict=True)
    )
    assert [[key for key, *_ in segments] for _, segments, _ in drawn] == [["A", "B", "C"], ["A", "C"], ["?"]]
    assert [above for *_, above in drawn] == [
        ["18", "val. 55.0 %", "test 60.0 %"],
        ["12", "val. 70.0 %"],
        ["7", "val. 82.5 %", "test 83.3 %"],
    ]


def _words_of(root: Path) -> str:
    return " ".join(Page(build_report(root)).text.split())


def test_patterns_are_followed_from_iteration_to_iteration(page: Page) -> None:
    table = " ".join(page.text.split()).split("Validation failures by pattern and iteration.")[1].split("Round 1")[0]
    assert "Iteration 0: 12 of 18 failures were analysed; ≈ is estimated" in table
    assert "A Trouble with two-step sums ≈ 6 (4 analysed) 6 ?" in table
    assert "B Trouble with unit changes ≈ 6 (4 analysed) gone ?" in table
    assert "? Not analysed – – 7" in table
    assert (
        "All failures 18 12 7 Validation accuracy 55.0 % 70.0 % 82.5 % Test accuracy 60.0 % not scored 83.3 %" in table
    )
    assert "The failures of iteration 2 were not analysed" in table
    first_and_last = table.split("First and last")[1]
    assert "A Trouble with two-step sums rounds 1 to 2 In questions on two-step sums" in first_and_last
    assert "Write problems whose first result is needed" in first_and_last
    assert "round 2, cosine 1.00 to\u00a0round\u00a01" in page.text
    assert re.search(r"B Trouble with unit changes round 1 .* gone after round 1 C", first_and_last)


def test_a_new_pattern_and_a_renamed_one_are_shown_so(tmp_path: Path) -> None:
    run = RunDir(write_run(tmp_path))
    far = [{**row, "centroid": row["centroid"][::-1]} for row in run.read_jsonl("iteration_2/centroids.jsonl")[:1]]
    run.write_jsonl("iteration_2/centroids.jsonl", far + run.read_jsonl("iteration_2/centroids.jsonl")[1:])
    patterns = run.read_jsonl("iteration_2/patterns.jsonl")
    run.write_jsonl("iteration_2/patterns.jsonl", [{**row, "category_name": "Otherwise"} for row in patterns])
    text = _words_of(tmp_path)
    assert "D Otherwise – new 6 ?" in text
    assert "A Trouble with two-step sums ≈ 6 (4 analysed) gone ?" in text
    assert "new in round 2, the last one" in text
    assert re.search(r"C Trouble with left over .* rounds 1 to 2 .* Otherwise In questions on left over", text)


def test_a_pattern_that_lost_its_match_is_called_split_or_merged(tmp_path: Path) -> None:
    def words(t: int, place: list[float]) -> str:
        run = RunDir(write_run(tmp_path / str(t)))
        centroids = run.read_jsonl(f"iteration_{t}/centroids.jsonl")
        centroids[1]["centroid"] = place
        run.write_jsonl(f"iteration_{t}/centroids.jsonl", centroids)
        return _words_of(run.root)

    near_first = [0.8, 0.6, 0.0, 0.0, 0.0, 0.0]
    merged = words(1, near_first)
    assert "B Trouble with unit changes ≈ 6 (4 analysed) merged into A ?" in merged
    assert "merged into A after round 1" in merged
    assert 'A cluster as near as that to one which was matched with another is "split from" it' in merged
    split = words(2, near_first)
    assert re.search(r"D Trouble with left over \S.*? – split from A 6 \?", split)
    assert re.search(r"C Trouble with left over \S.*? ≈ 6 \(4 analysed\) gone \?", split)
    assert "split from A in round 2, the last one" in split


def test_runs_of_earlier_versions_say_that_patterns_cannot_be_followed(tmp_path: Path) -> None:
    root = write_run(tmp_path)
    for file in root.glob("iteration_*/centroids.jsonl"):
        file.unlink()
    page = Page(build_report(root))
    text = " ".join(page.text.split())
    assert "cannot be shown: the centroids of round 1, 2 are not on file" in text
    assert "From iteration to iteration" not in text and "First and last" not in text
    assert "Patterns in 12 analysed failures of iteration 1" in text
    assert len(page.all("svg")) == 9
    keys = re.findall(r'class="key" style="background:var\(--c(\d)\)">(\w)<', page.html)
    assert {key for _, key in keys} == set("ABCDE")  # no letter stands for two patterns


def test_patterns_that_no_failures_were_analysed_for_are_listed(tmp_path: Path) -> None:
    run = RunDir(write_run(tmp_path))
    for t in (1, 2):
        for name in ("analyses", "clusters", "centroids"):
            run.path(f"iteration_{t}/{name}.jsonl").unlink()
        name = f"iteration_{t}/patterns.jsonl"
        run.write_jsonl(name, [{**row, "size": 0} for row in run.read_jsonl(name)])
    text = _words_of(tmp_path)
    assert "The patterns are the method's own; no failures were analysed." in text
    assert "Patterns, and the strategies against them." in text
    assert "From iteration to iteration" not in text and "cannot be shown" not in text


def test_many_patterns_repeat_colours_in_stripes(tmp_path: Path) -> None:
    run = RunDir(write_run(tmp_path))
    clusters = [{"iteration": 1, "cluster": k, "failure_ids": [f"v{k}-{i}" for i in range(3)]} for k in range(10)]
    run.write_jsonl("iteration_1/clusters.jsonl", clusters)
    run.write_jsonl(
        "iteration_1/centroids.jsonl",
        [{"iteration": 1, "cluster": k, "centroid": [float(k == j) for j in range(10)]} for k in range(10)],
    )
    run.write_jsonl("iteration_2/clusters.jsonl", [])
    page = Page(build_report(tmp_path))
    assert "From the ninth pattern on, colours repeat, striped." in page.text
    assert "fill: url(#" in page.html


def _metrics(**changes: Any) -> dict[str, Any]:
    def scored(accuracy: float) -> dict[str, Any]:
        return {"n": 200, "correct": 0, "accuracy": accuracy, "low": accuracy - 0.07, "high": accuracy + 0.07}

    compared = {"n": 200, "fixed": 30, "broken": 10, "difference": 0.1, "low": 0.04, "high": 0.16, "p_value": 0.002}
    return {
        "best_iteration": 1,
        "untuned": {"validation": scored(0.3), "test": scored(0.3)},
        "iterations": [
            {"iteration": t, "validation": scored(0.5 + t / 10), "test": scored(0.5 + t / 10)} for t in (0, 1)
        ],
        "comparison": {**compared, "verdict": "better"},
    } | changes


def test_headline_states_a_gain_with_its_evidence() -> None:
    said = headline(_metrics())
    assert "Of iterations 0 to 1, iteration 1 has the best validation accuracy and was chosen." in said
    assert "60.0 % of 200 test questions" in said
    assert "10.0 points better than vanilla fine-tuning (95 % interval +4.0 to +16.0, McNemar p = 0.002" in said
    assert "30 fixed, 10 broken" in said
    assert "untuned model scores 30.0 %" in said
    assert "recovery" not in said


def test_headline_claims_nothing_where_nothing_is_detectable() -> None:
    compared = {**_metrics()["comparison"], "low": -0.02, "verdict": "no detectable difference", "p_value": 0.2}
    said = headline(_metrics(comparison=compared))
    assert "no detectable difference from vanilla fine-tuning (+10.0 points" in said
    assert "better" not in said


def test_headline_says_worse() -> None:
    compared = {**_metrics()["comparison"], "difference": -0.1, "low": -0.16, "high": -0.04, "verdict": "worse"}
    assert "10.0 points worse than vanilla fine-tuning" in headline(_metrics(comparison=compared))


WORSE = {"n": 200, "fixed": 5, "broken": 25, "difference": -0.1, "low": -0.15, "high": -0.05, "p_value": 0.0003}


def _from_untuned(verdict: str, **changes: Any) -> str:
    untuned = {"validation": None, "test": {"accuracy": 0.7}}
    return headline(_metrics(untuned=untuned, untuned_comparison={**WORSE, "verdict": verdict}, **changes))


def test_headline_says_that_fine_tuning_cost_accuracy_only_on_the_verdict_worse() -> None:
    said = _from_untuned("worse", comparison=None)
    assert said.endswith(
        "The untuned model scores 70.0 %: fine-tuning cost accuracy (-10.0 points; 95 % interval -15.0 to -5.0, "
        "McNemar p < 0.001, 5 fixed, 25 broken)."
    )
    said = _from_untuned("no detectable difference", comparison=None)
    assert said.endswith("The untuned model scores 70.0 %: no detectable difference from the chosen iteration.")
    assert "cost accuracy" not in said and "recovery" not in said
    assert _from_untuned("better").endswith("The untuned model scores 70.0 %.")


def test_headline_speaks_of_recovery_only_where_a_gain_over_vanilla_was_claimed() -> None:
    no_gain = {**_metrics()["comparison"], "verdict": "no detectable difference"}
    for verdict in ("worse", "no detectable difference"):
        assert "; the gain over vanilla fine-tuning may be recovery." in _from_untuned(verdict)
        assert "recovery" not in _from_untuned(verdict, comparison=no_gain)


def test_the_chosen_iteration_is_compared_with_both_other_models(page: Page, run_dir: Path) -> None:
    metrics = json.loads((run_dir / "metrics.json").read_text())
    text = " ".join(page.text.split())
    for name, key in (("Iteration 0", "comparison"), ("Untuned model", "untuned_comparison")):
        compared = metrics[key]
        assert f"{name} {compared['fixed']} {compared['broken']} {100 * compared['difference']:+.1f}" in text


def test_headline_of_a_run_that_did_not_compare_the_untuned_model_says_only_its_accuracy() -> None:
    said = headline(_metrics(untuned={"validation": None, "test": {"accuracy": 0.7}}))
    assert said.endswith("The untuned model scores 70.0 %.")


def test_headline_of_a_run_that_augmentation_did_not_help() -> None:
    metrics = _metrics(best_iteration=0, comparison=None)
    metrics["iterations"][1]["validation"]["accuracy"] = 0.48
    said = headline(metrics)
    assert (
        "Iteration 0, vanilla fine-tuning, was chosen: no later iteration scored higher on validation (48.0 % against "
        "50.0 %, n = 200); later iterations were not tested." in said
    )
    assert "Augmentation" not in said and "best" not in said


@pytest.mark.parametrize(
    ("tokens", "fix"),
    [(1, "raise student.inference.max_new_tokens"),
     (256, "the student does not end its answers; train longer (student.training.epochs)")],
)  # fmt: skip
def test_answers_that_met_the_token_limit_are_told_from_a_fifth_on_with_the_cure(
    run_dir: Path, tmp_path: Path, tokens: int, fix: str
) -> None:
    root = tmp_path / "run"
    shutil.copytree(run_dir, root)
    metrics = json.loads((root / "metrics.json").read_text())
    for entry, truncated in zip(metrics["iterations"], (12, 8, 11), strict=True):
        (entry["test"] or entry["validation"])["truncated"] = truncated
    (root / "metrics.json").write_text(json.dumps(metrics))
    config = json.loads((root / "resolved_config.json").read_text())
    config["student"]["inference"]["max_new_tokens"] = tokens
    (root / "resolved_config.json").write_text(json.dumps(config))
    text = Page(build_report(root)).text
    limit = f"met the token limit ({tokens}): {fix}."
    assert f"Iteration 0: 12 of 60 test answers {limit}" in text
    assert f"Iteration 1: 8 of 40 validation answers {limit}" in text
    assert "Iteration 2: 11 of 60 test answers" not in text


def test_samples_show_their_question_and_where_the_rest_is(page: Page, run_dir: Path) -> None:
    first = RunDir(run_dir).read_jsonl("iteration_1/synthetic_accepted.jsonl")[0]
    summaries = re.findall(r"<summary>(.*?)</summary>", page.html, flags=re.DOTALL)
    assert any(first["id"] in line and html.escape(first["row"]["question"][:60]) in line for line in summaries)
    assert "iteration_*/rejected.jsonl" in page.text and "iteration_*/synthetic_accepted.jsonl" in page.text
    assert "<title>demo · my-run – pada-graph report</title>" in page.html


def test_no_rejected_sample_is_said_in_a_word(tmp_path: Path) -> None:
    root = write_run(tmp_path / "run")
    for file in root.glob("iteration_*/rejected.jsonl"):
        file.unlink()
    assert "0 of 0" not in build_report(root).read_text().split('id="samples"')[1].split("</section>")[0]


def test_small_helpers() -> None:
    assert [duration(seconds) for seconds in (0.44, 59.5, 431.2, 7260)] == [
        "0.4 s",
        "59.5 s",
        "7 min 11 s",
        "2 h 1 min",
    ]
    assert [letters(number) for number in (0, 25, 26, 701, 702)] == ["A", "Z", "AA", "ZZ", "AAA"]
    assert spread(range(5), 8) == [0, 1, 2, 3, 4]
    assert spread(range(100), 4) == [0, 25, 50, 75]


def test_the_cost_is_shown_by_role_and_unknown_where_a_price_is(run_dir: Path, tmp_path: Path) -> None:
    def cost(change: Any) -> str:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        shutil.copytree(run_dir, root)
        metrics = json.loads((root / "metrics.json").read_text())
        change(metrics["teacher"])
        (root / "metrics.json").write_text(json.dumps(metrics))
        text = build_report(root).read_text()
        return text[text.index('aria-label="Teacher calls"') :].partition("</table>")[0]

    table = cost(lambda teacher: None)
    assert all(f">{amount}</td>" in table for amount in ("$0.0105", "$1.50"))
    assert table.count(">unknown</td>") == 2  # the judge, and so the sum
    table = cost(lambda teacher: teacher["judge"].update(usd=0.25))
    assert ">$1.76</td>" in table and "unknown" not in table
    table = cost(lambda teacher: [usage.pop("usd") for usage in teacher.values()])  # a run of an earlier version
    assert table.count(">unknown</td>") == 4
