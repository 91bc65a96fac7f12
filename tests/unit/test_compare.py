"""Run directories side by side: what is shown, what is claimed, what is refused."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from pada_graph.compare import compare_runs, load_run, print_comparison
from pada_graph.compare.caveats import BASELINE_RULE
from pada_graph.config_file import parse_config
from pada_graph.errors import InputError
from pada_graph.rundir import RunDir
from pada_graph.stats import paired, score
from pada_graph.summary import print_summary

N = 60


def rows(right, letters="A", *, group=None, measures=None, prefix="test") -> list[dict]:
    """Predictions of N items; `right` says which are correct."""
    return [
        {
            "id": f"{prefix}-{k}",
            "prompt": f"question {k}",
            "target": "A",
            "output": "",
            "correct": bool(right(k)),
            "parsed": letters[k % len(letters)],
            "reason": "",
            "truncated": k == 0,
            "measures": measures or {},
            "group": group and group(k),
        }
        for k in range(N)
    ]


def write_run(root: Path, models: dict, best: int = 1, **config) -> Path:
    """A finished run with the test predictions of the untuned model (None), iteration 0 and the chosen iteration."""
    run = RunDir(root)
    raw = {"task": "gsm8k", **config}
    run.write_json("resolved_config.json", parse_config(raw, "test").model_dump(mode="json"))
    for iteration, predictions in models.items():
        run.write_jsonl(f"{run.iteration(iteration)}/predictions_test.jsonl", predictions)
    run.write_json("metrics.json", {"best_iteration": best})
    return root


def three(start=20, end=40, untuned=10, **fields) -> dict:
    """Models that get the first 10, 20 and 40 items right."""
    return {None: rows(lambda k: k < untuned, **fields), 0: rows(lambda k: k < start, **fields),
            1: rows(lambda k: k < end, **fields)}  # fmt: skip


def shown(comparison, width=80) -> str:
    file = io.StringIO()
    print_comparison(Console(file=file, width=width), comparison)
    return file.getvalue()


def test_a_run_shows_the_untuned_base_iteration_0_and_the_chosen_one(tmp_path):
    found = compare_runs([write_run(tmp_path / "a", three(measures={"strict": 0.5}))])
    assert [row["iteration"] for row in found["models"]] == [None, 0, 1]
    assert [row["correct"] for row in found["models"]] == [10, 20, 40]
    assert [row["chosen"] for row in found["models"]] == [False, False, True]
    assert {key: found["models"][1][key] for key in score(rows(lambda k: k < 20))} == score(rows(lambda k: k < 20))
    (difference,) = found["differences"]
    expected = paired(rows(lambda k: k < 20), rows(lambda k: k < 40))
    assert {key: difference[key] for key in expected} == expected
    assert (difference["against"], difference["verdict"], difference["holm"]) == (
        "iteration 0",
        "better",
        expected["p_value"],
    )
    text = shown(found)
    for part in ("untuned", "10/60", "16.7% [9.3, 28.0]", "iteration 1 *", "strict", "50.0%", "+33.3 [", "better"):
        assert part in text
    assert "With 60 test items a true gain below about 16.2 points usually goes undetected" in text


def test_a_collapsed_model_is_visible_beside_its_chance_level(tmp_path):
    quarter, half = (lambda k: k % 4 == 0), (lambda k: k % 2)
    models = {None: rows(quarter, "ABCD"), 0: rows(quarter, "B"), 1: rows(half, "AB")}
    text = shown(compare_runs([write_run(tmp_path / "a", models, task="arc_challenge")]))
    assert "iteration 0 answers B 60; commonest 100.0%" in text
    assert "untuned answers A 15, B 15, C 15, D 15; commonest 25.0%" in text
    line = next(line for line in text.splitlines() if line.startswith("iteration 0 "))
    assert line.split()[2:] == ["15/60", "25.0%", "[15.8,", "37.2]", "25.0%", "0.0%", "0", "1"]


def test_the_first_run_of_a_task_is_its_baseline(tmp_path):
    runs = [
        write_run(tmp_path / "vanilla", {key: three()[key] for key in (None, 0)}, best=0, method="vanilla"),
        write_run(tmp_path / "pada", three(start=22, end=41)),
    ]
    found = compare_runs(runs)
    differences = [(d["run"], d["against"], d["baseline"], d["fixed"], d["broken"]) for d in found["differences"]]
    assert differences == [(2, "iteration 0", 2, 19, 0), (2, "baseline", 1, 21, 0)]
    text = shown(found)
    assert "Run 1 chose iteration 0 itself." in text
    assert "Chosen iteration against the baseline's (run - baseline), in points" in text
    assert "2 - 1   21/0 +35.0 [" in text
    assert "Chosen iteration against the same run's iteration 0" in text
    assert "Runs with fewer than 3 training seeds: 1, 2." in text and "none of training" in text


def against_the_baseline(found) -> list[tuple[int, int]]:
    return [(d["run"], d["baseline"]) for d in found["differences"] if d["against"] == "baseline"]


def test_each_run_is_set_against_the_baselines_run_of_its_seed(tmp_path):
    runs = [write_run(tmp_path / f"v{seed}", three(), method="vanilla_repeated", seed=seed) for seed in range(3)]
    runs += [write_run(tmp_path / f"p{seed}", three(end=60), seed=seed) for seed in range(3)]
    found = compare_runs(runs)
    assert against_the_baseline(found) == [(4, 1), (5, 2), (6, 3)]
    differences = [d for d in found["differences"] if d["against"] == "baseline"]
    assert differences[0]["holm"] == pytest.approx(3 * differences[0]["p_value"])
    text = shown(found)
    assert text.count("Chosen iteration against the baseline's") == 1
    assert all(f"\n{pair}   20/0" in text for pair in ("4 - 1", "5 - 2", "6 - 3"))
    assert BASELINE_RULE in text.replace("\n", " ")


def test_a_seed_that_the_baseline_lacks_is_set_against_the_first_run(tmp_path):
    runs = [write_run(tmp_path / f"v{seed}", three(), method="vanilla_repeated", seed=seed) for seed in (3, 0)]
    runs += [write_run(tmp_path / f"p{seed}", three(), seed=seed) for seed in (0, 7)]
    assert against_the_baseline(compare_runs(runs)) == [(3, 2), (4, 1)]


def test_a_repetition_of_the_baseline_is_no_comparison(tmp_path):
    runs = [write_run(tmp_path / name, three(end=end)) for name, end in (("a", 40), ("again", 50))]
    found = compare_runs(runs)
    assert against_the_baseline(found) == [] and found["seeds"] == []
    assert "are not set against each other" in shown(found).replace("\n", " ")
    assert BASELINE_RULE not in shown(compare_runs(runs[:1])).replace("\n", " ")


def test_a_line_says_where_runs_fine_tuned_different_students(tmp_path):
    said = "The runs of gsm8k fine-tuned different students"
    runs = [write_run(tmp_path / name, three(), seed=seed) for name, seed in (("a", 0), ("b", 1))]
    assert said not in shown(compare_runs(runs))
    runs.append(write_run(tmp_path / "c", three(), student={"model": "builtin:smollm2-135m"}))
    assert said in shown(compare_runs(runs)).replace("\n", " ")


def test_nothing_is_claimed_of_two_runs_that_hardly_differ(tmp_path):
    runs = [write_run(tmp_path / "a", three()), write_run(tmp_path / "b", three(end=42), method="pada", iterations=1)]
    difference = compare_runs(runs)["differences"][-1]
    assert (difference["fixed"], difference["broken"], difference["verdict"]) == (2, 0, "no detectable difference")
    assert "no detectable difference" in shown(compare_runs(runs))


def test_holm_is_over_the_tasks_and_may_take_a_claim_back(tmp_path):
    """6 fixed, 0 broken: p = 0.031 alone, 0.062 beside a second comparison with 0 fixed."""
    six = write_run(tmp_path / "six", three(start=20, end=26))
    none = write_run(tmp_path / "none", three(start=20, end=20), task="squad")
    assert compare_runs([six])["differences"][0]["verdict"] == "better"
    found = compare_runs([six, none])["differences"]
    assert [(d["task"], d["p_value"], d["holm"], d["verdict"]) for d in found] == [
        ("gsm8k", 0.03125, 0.0625, "no detectable difference"),
        ("squad", 1.0, 1.0, "no detectable difference"),
    ]
    assert "Holm: the p-value adjusted" in shown(compare_runs([six, none]))


def test_items_of_one_article_are_taken_together(tmp_path):
    """Ten articles of six questions; the gain is one article's."""
    models = three(start=0, end=6, group=lambda k: f"article {k // 6}")
    found = compare_runs([write_run(tmp_path / "a", models, task="squad")])
    (difference,) = found["differences"]
    assert difference["groups"] == 10 and difference["p_value"] == 0.03125 and difference["group_p_value"] == 1.0
    assert difference["verdict"] == "no detectable difference"
    text = shown(found)
    assert "bootstrap of 10 whole groups" in text and "1.000" in text and "0.031" not in text


def test_intervals_that_take_dependent_answers_as_independent_are_said_to(tmp_path):
    said = ("those to items of one group (SQuAD: on one article) are not", "larger gains may go undetected too")
    grouped = three(group=lambda k: f"article {k // 6}")
    text = shown(compare_runs([write_run(tmp_path / "squad", grouped, task="squad")]))
    assert all(text.count(words) == 1 for words in said)
    alone = three(group=lambda k: f"article {k}")
    text = shown(compare_runs([write_run(tmp_path / "alone", alone, task="squad"), write_run(tmp_path / "a", three())]))
    assert not any(words in text for words in said)


# ------------------------------------------------------------------------------------------------------------ seeds


def test_seeds_of_two_methods_are_compared_seed_by_seed(tmp_path):
    runs = []
    for seed, gain in enumerate((9, 10, 12)):
        vanilla = {None: rows(lambda k: k < 5), 0: rows(lambda k, right=20 + seed: k < right)}
        runs.append(write_run(tmp_path / f"v{seed}", vanilla, best=0, method="vanilla", seed=seed))
        runs.append(write_run(tmp_path / f"p{seed}", three(start=20, end=20 + seed + gain), seed=seed))
    found = compare_runs(runs)
    vanilla, pada = found["seeds"]
    assert (vanilla["method"], vanilla["runs"], vanilla["seeds"]) == ("vanilla", [1, 3, 5], [0, 1, 2])
    assert vanilla["gain"] is None and vanilla["difference"] is None
    assert pada["accuracy"]["per_seed"] == pytest.approx([29 / 60, 31 / 60, 34 / 60])
    assert pada["gain"]["per_seed"] == pytest.approx([9 / 60, 11 / 60, 14 / 60])
    assert (pada["paired_runs"], pada["baseline_runs"]) == ([2, 4, 6], [1, 3, 5])
    assert pada["difference"]["per_seed"] == pytest.approx([9 / 60, 10 / 60, 12 / 60])
    assert pada["difference"]["verdict"] == "better"
    text = shown(found)
    assert "3 seeds of pada (runs 2, 4, 6)" in text
    assert "difference of runs 2, 4, 6 from runs 1, 3, 5, seed by seed: mean +17.2, t interval" in text
    assert "+17.2, t interval over seeds [+10.9, +23.5]" in text
    assert "none of training" not in text


def test_seeds_that_the_baseline_lacks_are_left_out_of_the_difference_and_named(tmp_path):
    runs = [write_run(tmp_path / f"v{seed}", three(), method="vanilla_repeated", seed=seed) for seed in (0, 2)]
    runs += [write_run(tmp_path / f"p{seed}", three(end=40 + 6 * seed), seed=seed) for seed in range(3)]
    found = compare_runs(runs)
    pada = found["seeds"][1]
    assert (pada["runs"], pada["paired_runs"], pada["baseline_runs"]) == ([3, 4, 5], [3, 5], [1, 2])
    assert pada["difference"]["per_seed"] == pytest.approx([0, 12 / 60])
    text = shown(found)
    assert "difference of runs 3, 5 from runs 1, 2, seed by seed: mean +10.0: not tested: fewer than 3 seeds" in text
    lines = [line.split() for line in text.splitlines()]
    assert ["1", "4", "76.7%", "+43.3"] in lines and ["2", "5", "86.7%", "+53.3", "+20.0"] in lines


def test_one_seed_in_common_is_no_difference_over_seeds(tmp_path):
    runs = [write_run(tmp_path / "v0", three(), method="vanilla_repeated")]
    runs += [write_run(tmp_path / f"p{seed}", three(), seed=seed) for seed in range(3)]
    (pada,) = compare_runs(runs)["seeds"]
    assert (pada["paired_runs"], pada["baseline_runs"], pada["difference"]) == ([], [], None)


def test_two_seeds_have_a_mean_and_neither_interval_nor_verdict(tmp_path):
    runs = [write_run(tmp_path / f"p{seed}", three(end=40 + 6 * seed), seed=seed) for seed in (0, 1)]
    found = compare_runs(runs)
    (group,) = found["seeds"]
    assert group["accuracy"]["mean"] == pytest.approx(43 / 60) and group["accuracy"]["t_interval"] is None
    assert group["gain"]["verdict"] is None
    text = shown(found)
    assert "gain over iteration 0: mean +38.3: not tested: fewer than 3 seeds" in text
    assert "Runs with fewer than 3 training seeds: 1, 2." in text and "t interval" not in text


def test_only_runs_that_differ_in_nothing_but_the_seed_are_one_group(tmp_path):
    plain = write_run(tmp_path / "a", three(), seed=0)
    limited = write_run(tmp_path / "b", three(), seed=1, limits={"concurrency": 2})
    again = write_run(tmp_path / "c", three(), seed=1)
    larger = write_run(tmp_path / "d", three(), seed=2, data={"train_size": 300})
    assert [group["runs"] for group in compare_runs([plain, limited, again, larger])["seeds"]] == [[1, 2]]


# ---------------------------------------------------------------------------------------------------------- refused


def test_different_test_items_are_refused_with_the_keys_that_differ(tmp_path):
    one = write_run(tmp_path / "one", three())
    other = write_run(tmp_path / "other", three(prefix="row"), data={"test_size": 60, "seed": 1})
    with pytest.raises(InputError, match=r"120 ids stand in one of them only.*data\.seed, data\.test_size") as refused:
        compare_runs([one, other])
    assert str(one) in str(refused.value) and str(other) in str(refused.value)
    assert (
        len(compare_runs([one, write_run(tmp_path / "arc", three(prefix="row"), task="arc_challenge")])["tasks"]) == 2
    )


def test_the_same_ids_of_other_texts_are_refused(tmp_path):
    models = three()
    for predictions in models.values():
        predictions[7]["prompt"] = "another question"
    runs = [write_run(tmp_path / "one", three()), write_run(tmp_path / "other", models)]
    with pytest.raises(InputError, match=r"1 ids have another prompt or target.*No key of `data` differs"):
        compare_runs(runs)


def test_a_directory_given_twice_is_refused(tmp_path):
    run = write_run(tmp_path / "a", three())
    with pytest.raises(InputError, match="given twice"):
        compare_runs([run, tmp_path / "b" / ".." / "a"])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / "resolved_config.json").unlink(), "not a run directory"),
        (lambda root: (root / "metrics.json").unlink(), "not finished"),
        (lambda root: (root / "metrics.json").write_text("[]"), "names no best_iteration"),
        (lambda root: (root / "metrics.json").write_text('{"best_iteration": 2}'), "iteration_2"),
        (
            lambda root: (root / "untuned/predictions_test.jsonl").write_text("[]\n"),
            "line 1, the line: Input should be",
        ),
        (
            lambda root: (root / "untuned/predictions_test.jsonl").write_text('{"id": "x"}\n'),
            "line 1, prompt: Field required",
        ),
        (lambda root: (root / "untuned/predictions_test.jsonl").write_text(""), "holds no items"),
    ],
)
def test_what_is_no_finished_run_is_refused_by_name(tmp_path, damage, message):
    root = write_run(tmp_path / "a", three())
    damage(root)
    with pytest.raises(InputError, match=message) as refused:
        load_run(root)
    assert str(root) in str(refused.value)


def test_models_of_one_run_that_answered_different_items_are_refused(tmp_path):
    models = three()
    models[1] = models[1][1:]
    with pytest.raises(InputError, match="its models answered different test items"):
        load_run(write_run(tmp_path / "a", models))


# ------------------------------------------------------------------------------------------------------------ shown


def test_everything_fits_80_columns(tmp_path):
    letters = {None: rows(lambda k: k % 4, "ABCD"), 0: rows(lambda k: k % 2, "ABCD"), 1: rows(lambda k: k % 3, "ABCD")}
    runs = [write_run(tmp_path / f"r{k}", letters, task="hellaswag", seed=k) for k in range(3)]
    runs += [write_run(tmp_path / "squad", three(measures={"f1": 1.0}), task="squad")]
    runs += [write_run(tmp_path / f"v{k}", three(), task="squad", method="vanilla", seed=k) for k in range(6)]
    much = {None: rows(lambda k: k < 9), 0: rows(lambda k: k < 40), 1: rows(lambda k: k >= 24)}
    runs += [write_run(tmp_path / f"much{k}", much, task="squad", iterations=1, seed=k) for k in range(2)]
    text = shown(compare_runs(runs))
    tables = [line.rstrip() for line in text.splitlines() if "  " in line]
    models = [line for line in tables if "/60" in line]
    assert len(models) == 36 and all(line.count("[") == line.count("]") == 1 for line in models)  # no cell is broken
    differences = [line for line in text.splitlines() if line.startswith(tuple(f"{k} - 4 " for k in range(5, 13)))]
    assert len(differences) == 8 and all(line.count("[") == line.count("]") == 1 for line in differences)
    assert all(len(line) <= 80 for line in tables if str(tmp_path) not in line)
    assert "…" not in "".join(tables)


def test_names_are_shown_as_they_are(tmp_path):
    root = write_run(tmp_path / "[bold]x[/nope]", three(measures={"[red]f1\x1b[2J": 1.0}))
    text = shown(compare_runs([root]), width=200)
    assert "[bold]x[/nope]" in text and "[red]f1" in text and "\x1b" not in text


def test_a_comparison_is_json(tmp_path):
    runs = [write_run(tmp_path / f"p{seed}", three(), seed=seed) for seed in range(3)]
    found = compare_runs(runs)
    assert json.loads(json.dumps(found, allow_nan=False))["differences"][0] == found["differences"][0]


def test_the_summary_of_a_run_gives_every_test_accuracy_once(tmp_path):
    models = three()
    root = write_run(tmp_path / "[i]", models)
    found = {iteration: score(predictions) for iteration, predictions in models.items()}
    metrics = {
        "best_iteration": 1,
        "stop_reason": "the only round is done",
        "notes": ["[/b] a note"],
        "untuned": {"validation": None, "test": found[None]},
        "iterations": [{"iteration": t, "train": None, "validation": found[t], "test": found[t]} for t in (0, 1)],
        "comparison": paired(models[0], models[1]),
        "accounting": {"requested": 0},
        "teacher": {
            "analyst": {"calls": 2, "input_tokens": 1000, "output_tokens": 50, "usd": 0.25},
            "judge": {"calls": 1, "input_tokens": 10, "output_tokens": 5, "usd": None},
        },
        "seconds": {"set-up": 1.0},
    }
    file = io.StringIO()
    print_summary(Console(file=file, width=80), metrics, root)
    text = file.getvalue()
    assert text.count("10/60") == 1 and text.count("[9.3, 28.0]") == 1
    assert "untuned" in text and "10/60" in text and "truncated" in text
    assert "better than vanilla fine-tuning" in text
    assert "undetected" not in text
    assert "analyst: 2 calls, 1,000 tokens in, 50 out, $0.2500" in text
    assert "judge: 1 calls, 10 tokens in, 5 out, cost unknown" in text and "Teacher in all: cost unknown" in text
    assert "Note: [/b] a note" in text and f"Report: {root / 'report.html'}" in text
