"""`pada-graph plan`: its numbers by hand, its words, and that true runs lie between its bounds."""

import inspect
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pada_graph import RunConfig, run
from pada_graph.methods import get_method
from pada_graph.methods.base import evenly, parts, split
from pada_graph.plan import make_plan, print_plan
from pada_graph.plan.calls import REASKS, failures, most_batches, most_replies, wrong_rows
from pada_graph.plan.estimate import all_roles
from pada_graph.plan.show import warnings
from pada_graph.teacher import ask
from tests import fake_provider
from tests.fake_provider import Answer, FakeProvider
from tests.fakes import FakePredictor, sums_config, write_sums
from tests.paid_runs import Bill, answering, paid_config, paid_services, with_limit

PADA = [sys.executable, "-c", "from pada_graph.cli import main; main()"]
LONGEST = 4000  # bytes of a reply


def pada(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PADA, *arguments], capture_output=True, text=True, env=os.environ, timeout=200, check=False)


def test_the_number_of_replies_is_that_of_a_question_whose_replies_are_all_cut():
    assert inspect.signature(ask.ask_items).parameters["reasks"].default == REASKS
    assert inspect.signature(ask.ask_object).parameters["reasks"].default == REASKS
    assert [most_replies(n) for n in (1, 2, 3, 4, 10)] == [3, 5, 6, 7, 7]


def test_counts_of_a_round():
    config = RunConfig()
    assert parts(23, 10) == [10, 10, 3] and parts(0, 10) == []
    assert evenly(11, 3) == [4, 4, 3] and evenly(2, 5) == [1, 1] and evenly(3, 0) == []
    assert split("abcdef", [1, 2, 3]) == [["a"], ["b", "c"], ["d", "e", "f"]]
    assert failures(config, 1) == 50 and failures(config, 0.05) == 25
    pada = get_method("pada")
    assert [pada.most_strategies(config, n) for n in (0, 1, 3, 4, 8, 50)] == [0, 1, 1, 3, 7, 10]

    def shared(strategies: int, wrong: int) -> dict[str, list[int]]:
        sizes = pada.sizes(config, strategies, wrong)
        return {branch: [n for found, n in sizes if found == branch] for branch in ("pattern", "error")}

    both = shared(3, 200)
    assert sum(both["pattern"]) == sum(both["error"]) == 250 and len(both["pattern"]) == 27 and len(both["error"]) == 25
    assert shared(0, 1) == {"pattern": [], "error": [10] * 50} and sum(shared(2, 0)["pattern"]) == 500


def test_counts_of_a_baselines_round():
    def sizes(method: str, wrong: int) -> list[int]:
        config = RunConfig.model_validate({"method": method})
        return [n for _, n in get_method(config.method).sizes(config, 0, wrong)]

    assert sizes("auggpt", 0) == [6] * 83 + [2]
    assert sizes("llms_as_instructors", 400) == [2] * 100 + [1] * 300
    assert sizes("llms_as_instructors", 900) == [1] * 500 and sizes("llms_as_instructors", 0) == []
    assert sizes("llm2llm", 900) == [1] * 500 and sum(sizes("llm2llm", 3)) == 500 and max(sizes("llm2llm", 3)) == 10
    assert sizes("llms_as_instructors", 3) == [10] * 16 + [7] + [10] * 16 + [7] + [10] * 16 + [6]
    assert sizes("vanilla_repeated", 0) == [10] * 50 and sizes("vanilla", 9) == []
    config = RunConfig.model_validate({"method": "llms_as_instructors"})
    assert failures(config, 1) == 0 and wrong_rows(config, 1) == 1000 and most_batches(config) == 500
    assert wrong_rows(RunConfig.model_validate({"method": "auggpt"}), 1) == 0


def sums(folder: Path, **changes: Any) -> RunConfig:
    with FakeProvider(answering()) as provider:
        return paid_config(provider, folder, student={"model": "builtin:tiny"}, **changes)


def test_vanilla_fine_tuning_needs_no_teacher_and_its_student_tokens_are_exact(tmp_path):
    folder = write_sums(tmp_path / "sums", train=3, validation=2, test=1)
    config = sums(folder, method="vanilla", data__train_size=3, data__validation_size=2, data__test_size=1)
    found = make_plan(config)
    assert all_roles(found).calls.max == 0 and found.counted_by == "the tokenizer of builtin:tiny"

    def rendered(split: str) -> tuple[int, int]:  # <|im_start|>user\nP<|im_end|><|im_start|>assistant\nT<|im_end|>
        rows = [json.loads(line) for line in (folder / f"{split}.jsonl").read_text().splitlines()]
        asked = sum(len(row["prompt"]) + len("user\nassistant\n") + 3 for row in rows)
        return asked, sum(len(row["answer"]) + 1 for row in rows)

    asked, answered = rendered("train")
    assert found.training_tokens.low == found.training_tokens.max == 5 * (asked + answered)
    validation, test = rendered("validation"), rendered("test")
    assert found.prediction_tokens.low == 2 * (validation[0] + test[0])
    assert found.prediction_tokens.expected == found.prediction_tokens.low + 2 * (validation[1] + test[1])
    assert found.prediction_tokens.max == found.prediction_tokens.low + 2 * 256 * 3


def test_open_answers_cost_a_call_each_at_most_three(tmp_path):
    folder = write_sums(tmp_path / "sums", train=20, validation=12, test=12)
    open_ = {"data__match": "judge", "student": {"model": "builtin:tiny"}}
    vanilla = make_plan(sums_config(folder, method="vanilla", **open_))
    answers = 2 * 12 + 2 * 12  # validation untuned and tuned, test untuned and tuned
    calls = vanilla.roles["judge"].calls
    assert (calls.low, calls.expected, calls.max) == (0, round(answers * 0.8 * 1.1), 3 * answers)
    exact, judged = (make_plan(sums_config(folder, **{**open_, "data__match": match})) for match in ("exact", "judge"))
    answers = 4 * 12 + 2 * 20 + 3 * 12  # two rounds: validation in each, train before each, test at the end
    assert judged.roles["judge"].calls.max - exact.roles["judge"].calls.max == 3 * answers
    assert judged.roles["generator"] == exact.roles["generator"]


def printed(config: RunConfig) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    print_plan(console, config, make_plan(config))
    return console.export_text()


def test_only_the_roles_that_a_run_may_ask_are_planned_and_spoken_of(tmp_path):
    folder = write_sums(tmp_path / "sums")
    nobody = printed(sums(folder, method="vanilla", data__train_size=9))
    assert (
        "No teacher is asked." in nobody
        and "tokens trained" in nobody
        and "Data: 9 of 20 train rows are used" in nobody
    )
    assert not any(word in nobody for word in ("analyst", "judge", "all roles", "price", "batches"))
    graded = sums(folder, method="vanilla", data__match="judge")
    assert set(make_plan(graded).roles) == {"judge"}
    assert "of the student's answers are sent to the judge" in printed(graded) and "batches" not in printed(graded)
    unjudged = make_plan(sums(folder, quality__enabled=False))
    assert set(unjudged.roles) == {"analyst", "generator"}


def test_without_a_tokenizer_characters_are_counted_and_that_is_said(tmp_path):
    config = sums(write_sums(tmp_path / "sums")).model_copy(update={"student": RunConfig().student})
    found = make_plan(config)
    assert "4 characters a token" in found.counted_by and "Llama-3.2-1B" in found.counted_by


def test_dollars_follow_the_price_and_an_unknown_one_makes_the_sum_unknown(tmp_path):
    folder = write_sums(tmp_path / "sums")
    known = {"model": "openai:gpt-4o-mini", "max_tokens": 100}
    models = {"analyst": known, "generator": known, "judge": {"model": "gguf:/some/where.gguf"}}
    found = make_plan(sums(folder, models=models))
    generator = found.roles["generator"]
    assert generator.usd is not None and found.roles["judge"].usd is not None
    sent, received = generator.input_tokens, generator.output_tokens
    assert generator.usd.max == pytest.approx((0.15 * sent.max + 0.6 * received.max) / 1e6)
    assert received.max == 100 * generator.calls.max
    assert found.roles["judge"].usd.max == 0 and all_roles(found).usd is not None
    models["judge"] = {"model": "openai:nobody-knows"}
    unknown = make_plan(sums(folder, models=models))
    assert unknown.roles["judge"].usd is None and all_roles(unknown).usd is None


def test_limits_that_will_or_may_stop_the_run_are_told(tmp_path):
    config = sums(write_sums(tmp_path / "sums"))
    found = make_plan(config)
    calls = all_roles(found).calls

    def told(limit: float) -> str:
        return " ".join(warnings(config.limits.model_copy(update={"max_calls": limit}), found))

    assert "will probably stop" in told(calls.expected - 1)
    assert "may stop" in told(calls.expected + 1)
    assert told(calls.max) == ""


def test_the_command_prints_a_table_asks_nobody_and_says_what_it_assumes(tmp_path):
    folder = write_sums(tmp_path / "sums")
    with FakeProvider(answering()) as provider:
        config = paid_config(provider, folder, student={"model": "builtin:tiny"}, limits__max_calls=3)
        (tmp_path / "config.yaml").write_text(config.model_dump_json())
        result = pada("plan", str(tmp_path / "config.yaml"), "--set", "iterations=1")
        assert result.returncode == 0, result.stderr
        for words in ("low", "expected", "max", "tokens trained", "unknown", "limits.prices", "limits.max_calls: 3 is"):
            assert words in result.stdout
        assert "rounds: 1;" in result.stdout and "Expected is the column to read" in result.stdout
        assert all(len(line) <= 80 for line in result.stdout.splitlines() if "limits.prices" not in line)
        listed = json.loads(pada("plan", str(tmp_path / "config.yaml"), "--json").stdout)
        assert listed["all_roles"]["usd"] is None and listed["roles"]["judge"]["calls"]["max"] > 0
        assert provider.requests == []
    assert not (tmp_path / "runs").exists()


def test_the_command_refuses_what_cannot_be_planned(tmp_path):
    for arguments, message in (
        ([str(tmp_path / "none.yaml")], "cannot be read"),
        (["examples/demo.yaml", "--set", "data.train_size=100000"], "What fits, at most"),
        (["examples/demo.yaml", "--set", "limits.prices=/nowhere.yaml"], "limits.prices: /nowhere.yaml cannot be read"),
    ):
        result = pada("plan", *arguments)
        assert result.returncode == 2 and message in result.stderr and "Traceback" not in result.stderr


def malformed(prompt: str, number: int, text: str) -> str:
    return "I would rather not." if len(prompt) % 3 else text


def always_cut(prompt: str, number: int, text: str) -> Answer:
    return Answer(text[: len(text) // 3], stop="length")


def cut_large(prompt: str, number: int, text: str) -> Answer | str:
    return Answer(text[: len(text) // 2], stop="length") if prompt.count("sample_id") > 2 else text


def empty(prompt: str, number: int, text: str) -> str:
    return ""


def wordy(prompt: str, number: int, text: str) -> str:
    """Feedback, causes and strategies as long as the replies may be."""
    values = json.loads(text)
    for value in values if isinstance(values, list) else [values]:
        for name in ("feedback", "error_cause", "error_pattern", "generation_approach"):
            if name in value:
                value[name] += ' "quoted" ' + "words " * (350 // (len(values) if isinstance(values, list) else 1))
    return json.dumps(values)


# name: (what the teacher does, its rating, changes of the configuration, what the student knows)
RUNS: dict[str, tuple[Any, float, dict[str, Any], FakePredictor]] = {
    "plain": (None, 9, {}, FakePredictor()),
    "never good enough": (wordy, 3, {"iterations": 1}, FakePredictor()),
    "sample gate": (wordy, 5, {"quality__gate": "sample", "quality__max_regenerations": 2}, FakePredictor(known=0)),
    "malformed": (malformed, 9, {"generation__batch_size": 2}, FakePredictor(known=1)),
    "all cut": (always_cut, 9, {"patterns__analysis_batch": 12, "generation__batch_size": 10}, FakePredictor(known=0)),
    "large ones cut": (cut_large, 6, {"generation__batch_size": 5, "generation__ratio": 1.3}, FakePredictor(known=0)),
    "no patterns": (wordy, 9, {"patterns__enabled": False, "generation__batch_size": 1}, FakePredictor()),
    "no train errors": (None, 9, {"train_errors__enabled": False, "generation__ratio": 2.0}, FakePredictor(known=0)),
    "unjudged, verified": (
        malformed, 9, {"quality__enabled": False, "quality__verify_answers": True, "iterations": 3}, FakePredictor()
    ),
    "verified and judged": (always_cut, 9, {"quality__verify_answers": True, "iterations": 1}, FakePredictor(known=0)),
    "open answers": (malformed, 9, {"data__match": "judge", "iterations": 1, "quality__verify_answers": True},
        FakePredictor(known=3)),
    "open answers, vanilla": (empty, 9, {"data__match": "judge", "method": "vanilla"}, FakePredictor(known=0)),
    "right everywhere": (None, 9, {}, FakePredictor(known=99)),
    "auggpt": (wordy, 9, {"method": "auggpt"}, FakePredictor(known=99)),
    "auggpt, malformed": (malformed, 9, {"method": "auggpt"}, FakePredictor()),
    "instructors": (cut_large, 9, {"method": "llms_as_instructors"}, FakePredictor(known=17)),
    "instructors by contrast": (empty, 9, {"method": "llms_as_instructors_contrastive"}, FakePredictor(known=6)),
    "llm2llm": (always_cut, 9, {"method": "llm2llm"}, FakePredictor()),
    "random strategies": (wordy, 5, {"method": "pada_random_strategies"}, FakePredictor(known=0)),
    "no words": (empty, 9, {"generation__batch_size": 20, "iterations": 1}, FakePredictor(known=0)),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_true_run_lies_between_the_bounds(tmp_path, monkeypatch, name):
    misbehave, rating, changes, predictor = RUNS[name]
    monkeypatch.setattr(fake_provider, "tokens", lambda text: len(text.encode()))  # the worst tokenizer there can be
    monkeypatch.setattr("tests.paid_runs.tokens", lambda text: len(text.encode()))
    script = answering(misbehave, rating) if misbehave else answering(rating=rating)
    folder, bill = write_sums(tmp_path / "sums"), Bill(script)
    with FakeProvider(bill) as provider:
        models = {role: with_limit(provider.openai(role), LONGEST) for role in ("analyst", "generator", "judge")}
        config = paid_config(provider, folder, student={"model": "builtin:tiny"}, **{"models": models, **changes})
        planned = make_plan(config)
        assert bill.sent == []
        services = paid_services(config, tmp_path / "run", predictor=predictor)
        metrics = run(config, tmp_path / "run", services=services)
    assert max((received for *_, received in bill.sent), default=0) <= LONGEST
    found = {}
    for role, needs in planned.roles.items():
        usage = metrics["teacher"].get(role, {"calls": 0, "input_tokens": 0, "output_tokens": 0})
        answered = [(sent, received) for model, sent, received in bill.sent if model == role]
        assert usage["calls"] == len(answered)
        for key in ("calls", "input_tokens", "output_tokens"):
            needed = getattr(needs, key)
            assert needed.low <= usage[key] <= needed.max, (role, key)
            assert needed.low <= needed.expected <= needed.max
            found[f"{role} {key}"] = f"{usage[key]} of {needed.max:.0f}"
    print(name, found)  # pytest -s shows how close they come


def test_the_worst_teacher_meets_the_bound_on_calls_exactly(tmp_path):
    def worst(prompt: str, number: int, text: str) -> Answer | str:
        if prompt.startswith("Please evaluate"):
            return Answer("[", stop="length")  # nothing comes whole: the parts are halved
        if prompt.startswith("Please generate"):
            return text
        return text if "An earlier reply" in prompt and number else "no"  # right at the third try

    changes = {"patterns__max_errors": 1, "train_errors__enabled": False, "generation__ratio": 0.25}
    folder = write_sums(tmp_path / "sums")
    with FakeProvider(answering(worst)) as provider:
        config = paid_config(provider, folder, iterations=1, student={"model": "builtin:tiny"}, **changes)
        planned = make_plan(config)
        metrics = run(config, tmp_path / "run", services=paid_services(config, tmp_path / "run"))
    assert (
        {role: usage["calls"] for role, usage in metrics["teacher"].items()}
        == {role: needs.calls.max for role, needs in planned.roles.items()}
        == {"analyst": 9, "generator": 8, "judge": 4 * (6 + 5)}
    )
