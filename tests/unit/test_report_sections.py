"""The report's sections: what they count is what the files hold."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from pada_graph.clustering import plane
from pada_graph.report import build_report, pattern_figures
from pada_graph.report.batches import batch_rounds, scores, turns, verdict
from pada_graph.report.costs import by_role, by_stage
from pada_graph.report.flips import flips
from pada_graph.report.provenance import hashes
from pada_graph.report.rounds import read_rounds
from pada_graph.report.texts import letters
from pada_graph.rundir import RunDir
from pada_graph.services import Reply
from pada_graph.stats.accuracy import DEPENDENT
from pada_graph.tasks.base import Task
from pada_graph.teacher.journal import Call, Journal
from tests.run_fixture import write_run
from tests.unit.test_report import Page


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    return RunDir(write_run(tmp_path_factory.mktemp("sections") / "run"))


def test_every_step_from_model_to_model_is_counted(run: RunDir) -> None:
    found = flips(run, 2)
    assert [(step["split"], step["before"], step["after"]) for step in found] == [
        ("validation", "Untuned model", "iteration 0"),
        ("validation", "Iteration 0", "iteration 1"),
        ("validation", "Iteration 1", "iteration 2"),
        ("test", "Untuned model", "iteration 0"),
        ("test", "Iteration 0", "iteration 2"),
    ]
    for step in found:
        assert step["fixed"] + step["broken"] + step["right"] + step["wrong"] == step["n"]
        for title, total, pairs in step["groups"]:
            assert len(pairs) == min(total, 12)
            assert all(pair["after"]["correct"] == (title == "Fixed") != pair["before"]["correct"] for pair in pairs)
    compared = run.read_json("metrics.json")["comparison"]
    assert (found[-1]["fixed"], found[-1]["broken"]) == (compared["fixed"], compared["broken"])


def test_no_step_is_made_of_models_that_did_not_answer(run: RunDir) -> None:
    assert [step["after"] for step in flips(run, None) if step["split"] == "test"] == ["iteration 0"]


def test_a_batch_is_shown_with_every_attempt_and_its_fate(run: RunDir) -> None:
    first = batch_rounds(run, read_rounds(run))[0]
    assert [batch["batch_id"] for batch in first["shown"]] == ["r1-b1", "r1-b2"]  # those with several attempts
    passed, dropped = first["shown"]
    assert [[draft["fate"] for draft in slot["drafts"]] for slot in passed["slots"]] == [
        ["written again", "accepted"],
        ["written again", "accepted"],
        ["written again", "accepted"],
        ["duplicate", "duplicate"],
        ["contaminated", "contaminated"],
    ]
    assert {slot["drafts"][-1]["fate"] for slot in dropped["slots"]} == {"rejected"}
    assert [draft["review"]["score"] for draft in dropped["slots"][0]["drafts"]] == [4.0, 5.1, 5.0, 6.2]


def test_scores_are_those_of_reviews_and_accepted_ones_are_told_apart(run: RunDir) -> None:
    accepted, others = scores(read_rounds(run))
    assert sorted(set(accepted)) == [7.6, 8.2] and len(accepted) == 2 * 7
    assert sorted(set(others)) == [4.0, 5.0, 5.1, 5.5, 6.2]
    assert len(accepted) + len(others) == sum(len(files["reviews"]) for files in read_rounds(run))
    assert turns(read_rounds(run)) == {"passed": {1: 2, 2: 2}, "best kept": {}, "dropped": {4: 2}}


def test_a_batch_is_passed_best_kept_or_dropped(tmp_path: Path) -> None:
    run = RunDir(write_run(tmp_path))
    passed, lost_all, best = run.read_jsonl("iteration_1/batches.jsonl")
    lost_all |= {"accepted": 0, "duplicate": 4, "accepted_batch": False}  # late duplicates
    best |= {"accepted": 5, "rejected": 0, "accepted_batch": True}  # on_exhausted: keep_best
    run.write_jsonl("iteration_1/batches.jsonl", [passed, lost_all, best])
    first, second = batch_rounds(run, read_rounds(run))
    assert [outcome["verdict"] for outcome in first["outcomes"]] == ["passed", "passed", "best kept"]
    assert [outcome["verdict"] for outcome in second["outcomes"]] == ["passed", "passed", "dropped"]
    page = Page(build_report(tmp_path))
    text = " ".join(page.text.split())
    assert "Round 1 3 21 best kept 1: 1, 2: 1" in text
    assert "best kept, 5 of 5 samples" in text and "passed, 0 of 5 samples" in text
    said = " ".join(str(figure["aria-label"]) for figure in page.all("svg"))
    assert "2: 2 passed, 0 best kept, 0 dropped; 4: 0 passed, 1 best kept, 1 dropped" in said


def test_a_batch_of_an_earlier_version_without_books_passed_if_a_sample_is_left(run: RunDir) -> None:
    for outcome in run.read_jsonl("iteration_1/batches.jsonl"):
        before = {key: value for key, value in outcome.items() if key != "books"}
        assert verdict(before) == verdict(outcome)


def test_hashes_are_those_of_the_files(run: RunDir) -> None:
    found = {what: (rows, value) for what, rows, value in hashes(run, run.read_json("resolved_config.json"))}
    for name in ("data/test.jsonl", "iteration_1/synthetic_accepted.jsonl"):
        data = run.path(name).read_bytes()
        assert found[name] == (str(data.count(b"\n")), hashlib.sha256(data).hexdigest())
    assert hashlib.sha256(run.path("data/test.jsonl").read_bytes()).hexdigest() in build_report(run.root).read_text()


def test_the_funnel_and_the_map_say_in_words_what_they_show(run: RunDir) -> None:
    page = Page(build_report(run.root))
    said = [str(figure["aria-label"]) for figure in page.all("svg")]
    assert any("30 requested, 28 usable (−2 failed), 26 new (−2 duplicate), 24 apart from held-out rows" in alt and
               "14 accepted (−10 rejected)" in alt for alt in said)  # fmt: skip
    assert "Map of the 12 analysed failures of round 1; failures per pattern: A 4, B 4, C 4." in said
    assert any("chosen k = 3" in alt for alt in said)
    assert any(alt.startswith("Accuracy with 95 % intervals. untuned validation 27.5 %, test 33.3 %") for alt in said)


def test_rounds_that_chose_the_same_k_share_a_label() -> None:
    curve = [9.0, 5.0, 3.0, 2.0]
    drawn = str(pattern_figures.inertia([(1, curve, 3), (2, curve, 2), (3, curve, 3)]))
    assert re.findall(r">(k = .*?)<", drawn) == ["k = 3 (rounds 1, 3)", "k = 2 (round 2)"]
    assert re.findall(r">(k = .*?)<", str(pattern_figures.inertia([(1, curve, 3)]))) == ["k = 3"]


def test_the_ninth_cluster_of_a_map_is_told_from_the_first_by_hollow_marks() -> None:
    def fills(number: int) -> set[str]:
        points = [(letters(number), number, float(x), 0.0) for x in range(3)]
        drawn = str(pattern_figures.failure_map("round 1", points, [0.5, 0.2]))
        return set(re.findall(r"fill: ([^;]+); fill-opacity", drawn))

    assert "var(--c0)" in fills(0) and "var(--c0)" not in fills(8)
    assert "var(--paper)" in fills(8)


def test_no_letter_of_a_map_hides_a_mark() -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 3))
    axes = figure.add_subplot()
    near = {(k, letters(k)): [(0.1 * k + 0.02 * i, 0.1 * i) for i in range(6)] for k in range(4)}
    axes.scatter(*zip(*(place for places in near.values() for place in places), strict=True), s=30)
    places = pattern_figures._letter_places(figure, axes, near)
    marks = [axes.transData.transform(place) * 72 / figure.dpi for places in near.values() for place in places]
    middles = [axes.transData.transform(place) * 72 / figure.dpi + offset for place, offset in places.values()]
    assert min(np.hypot(*(mark - middle)) for mark in marks for middle in middles) > 10
    assert all(place in near[group] for group, (place, _) in places.items())


def test_the_drafts_of_all_attempts_have_a_funnel_of_their_own(run: RunDir) -> None:
    page = Page(build_report(run.root))
    said = [str(figure["aria-label"]) for figure in page.all("svg")]
    # Of each round 5 drafts of the first batch, 10 of the second, 20 of the third.
    assert any(alt.startswith("What became of the drafts of all attempts: 70 requested, 68 usable") for alt in said)
    text = " ".join(page.text.split())
    assert "Round 1 15 7 5 1 1 1 ✓ adds up Round 1, attempt 1 15 4 8 1 1 1 ✓ adds up Round 1, attempt 2" in text


def test_captions_point_only_to_what_is_there(tmp_path: Path) -> None:
    run = RunDir(write_run(tmp_path, finished=False))
    for name in ("patterns", "strategies", "batches", "synthetic_raw"):
        run.path(f"iteration_2/{name}.jsonl").unlink()
    run.write_jsonl("iteration_2/plan.jsonl", [{}])
    text = " ".join(Page(build_report(tmp_path)).text.split())
    assert text.count("explained in the table of patterns") == 1  # of round 1
    assert "iteration_1/synthetic_raw.jsonl" in text and "iteration_2/synthetic_raw.jsonl" not in text
    assert "at the prices of prices.yaml" not in text


def test_answers_that_a_model_graded_are_said_to_be(tmp_path: Path) -> None:
    run = RunDir(write_run(tmp_path))
    assert "data.match: judge" not in Page(build_report(tmp_path)).text
    config = run.read_json("resolved_config.json")
    config["data"]["match"] = "judge"
    config["models"]["judge"]["model"] = "openai:grader"
    run.write_json("resolved_config.json", config)
    said = "An answer in other words than the reference's is right where openai:grader says so (data.match: judge)."
    assert said in Page(build_report(tmp_path)).text


def test_intervals_of_items_that_come_in_groups_are_said_to_be_too_narrow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path)
    assert DEPENDENT not in Page(build_report(tmp_path)).text
    monkeypatch.setattr(Task, "group", lambda self, row: "one article")
    assert DEPENDENT in Page(build_report(tmp_path)).text


@pytest.mark.parametrize(
    ("method", "why"),
    [("pada", "quality control is switched off"), ("auggpt", "the method auggpt has no judge")],
)
def test_samples_that_nobody_judged_say_why(tmp_path: Path, method: str, why: str) -> None:
    run = RunDir(write_run(tmp_path, rounds=1))
    config = run.read_json("resolved_config.json")
    run.write_json(
        "resolved_config.json", {**config, "method": method, "quality": {**config["quality"], "enabled": False}}
    )
    accepted = run.read_jsonl("iteration_1/synthetic_accepted.jsonl")
    run.write_jsonl("iteration_1/synthetic_accepted.jsonl", [{**sample, "review": None} for sample in accepted])
    assert set(re.findall(r"Not judged: ([^.]*)\.", Page(build_report(tmp_path)).text)) == {why}


def test_a_round_without_coordinates_says_so(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "iteration_1" / "map.json").unlink()
    page = Page(build_report(tmp_path))
    assert "Round 1 has no map: its coordinates are not on file" in page.text
    assert "Round 2 has no map" not in page.text


def test_nothing_found_is_said_of_leakage(tmp_path: Path) -> None:
    run = RunDir(write_run(tmp_path))
    for name in ("data/overlaps.jsonl", "iteration_1/overlaps.jsonl", "iteration_2/overlaps.jsonl"):
        run.write_jsonl(name, [])
    run.write_json("data/manifest.json", {})
    assert "Nothing was found." in Page(build_report(tmp_path)).text


def _journal(root: Path, calls: list[tuple[str, str, int, int]]) -> None:
    journal = Journal(root / "teacher_calls.sqlite")
    for number, (role, item, sent, received) in enumerate(calls):
        journal.start(Call(str(number), role, "some", item, 0, "prompt"))  # type: ignore[arg-type]
        journal.finish(str(number), Reply("text", "stop", sent, received))
    journal.start(Call("open", "judge", "some", "t1/quality_control/b", 0, "prompt"))
    journal.close()


def test_calls_are_added_up_by_stage_and_by_role(tmp_path: Path) -> None:
    run = RunDir(write_run(tmp_path))
    _journal(
        tmp_path,
        [
            ("analyst", "t1/analyze_errors/0", 100, 10),
            ("analyst", "t1/draft_strategy/0", 50, 5),
            ("generator", "t1/generate/b0", 30, 3),
            ("judge", "t1/quality_control/b0", 20, 2),
        ],
    )
    config = run.read_json("resolved_config.json")
    config["models"]["judge"] = config["models"]["analyst"] = {"model": "builtin:rules"}
    lines = {line["stage"]: line for line in by_stage(run, config, {"set-up": 1.5, "pattern analysis": 2.0})}
    assert list(lines) == ["set-up", "pattern analysis", "generation and quality control"]
    assert lines["pattern analysis"] | {"stage": ""} == {
        "stage": "", "seconds": 2.0, "calls": 2, "input_tokens": 150, "output_tokens": 15, "usd": 0.0,
    }  # fmt: skip
    assert lines["set-up"]["calls"] == 0
    assert lines["generation and quality control"]["calls"] == 2  # the one without a reply is none
    assert lines["generation and quality control"]["usd"] is None  # the generator's price is not known
    roles = by_role(run, config)
    assert {role: use["usd"] for role, use in roles.items()} == {"analyst": 0.0, "generator": None, "judge": 0.0}


def test_calls_so_far_are_shown_while_a_run_goes_on(tmp_path: Path) -> None:
    write_run(tmp_path, finished=False)
    _journal(tmp_path, [("analyst", "t1/analyze_errors/0", 1000, 10), ("judge", "t1/quality_control/b0", 20, 2)])
    text = " ".join(Page(build_report(tmp_path)).text.split())
    assert text.count("All 2 1,020 12 $") == 1  # by role
    assert "All 0.0 s 2 1,020 12 $" in text  # by stage
    assert "pattern analysis – 1 1,000 10" in text


def test_a_journal_that_cannot_be_read_leaves_the_page_whole(tmp_path: Path) -> None:
    write_run(tmp_path)
    (tmp_path / "teacher_calls.sqlite").write_bytes(b"SQLite format 3\0 torn")
    text = " ".join(Page(build_report(tmp_path)).text.split())
    assert "fine_tune 7 min 11 s – – – –" in text  # times are those of metrics.json
    assert "The journal (teacher_calls.sqlite) is not on file, or cannot be read" in text
    assert "All 12 min 59 s – – – –" in text and "All 37 63,449 16,183 unknown" in text  # by stage, by role


def test_prices_that_are_gone_make_dollars_unknown(tmp_path: Path) -> None:
    run = RunDir(write_run(tmp_path))
    _journal(tmp_path, [("analyst", "t1/analyze_errors/0", 100, 10)])
    config = run.read_json("resolved_config.json")
    config["limits"]["prices"] = str(tmp_path / "gone.yaml")
    assert by_role(run, config)["analyst"]["usd"] is None


def test_the_plane_is_the_same_each_time_and_keeps_near_what_is_near() -> None:
    rng = np.random.default_rng(0)
    vectors = np.concatenate([rng.normal(size=(5, 8)) * 0.01 + np.eye(8)[k] for k in range(3)]).astype(np.float32)
    places, explained = plane(vectors)
    again, _ = plane(vectors)
    assert np.array_equal(places, again) and places.shape == (15, 2)
    assert 0.9 < sum(explained) <= 1 and explained[0] >= explained[1]
    middle = [places[5 * k : 5 * k + 5].mean(axis=0) for k in range(3)]
    assert min(np.linalg.norm(middle[a] - middle[b]) for a, b in ((0, 1), (0, 2), (1, 2))) > 0.5


@pytest.mark.parametrize("vectors", [np.ones((1, 4)), np.ones((6, 4))], ids=["one", "all alike"])
def test_what_has_no_variance_lies_at_one_place(vectors: np.ndarray) -> None:
    places, explained = plane(vectors)
    assert not places.any() and explained == [0.0, 0.0] and places.shape == (len(vectors), 2)


def test_two_vectors_span_a_line() -> None:
    places, explained = plane(np.eye(4)[:2])
    assert explained[0] == pytest.approx(1) and places[:, 1] == pytest.approx([0, 0])
    assert json.dumps(explained)


def test_parts_of_the_template_are_small() -> None:
    root = Path(__file__).parents[2] / "src" / "pada_graph"
    assert max(len(path.read_text().splitlines()) for path in root.rglob("*.j2")) < 100
    styled = [path.name for path in root.rglob("*.j2") if "<style" in path.read_text()]
    assert styled == ["base.html.j2"]  # one style for all pages
