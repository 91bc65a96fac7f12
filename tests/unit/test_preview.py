"""`pada-graph preview`: the very graph in small, nothing trained, the test split shut."""

import io
import json
import os
import subprocess
import sys

import pytest
from rich.console import Console

from pada_graph.config_file import parse_config
from pada_graph.errors import InputError, StoppedError
from pada_graph.preview import print_preview, print_train_rows, run_preview
from pada_graph.preview.small_round import preview_config
from pada_graph.preview.words import clip, printable
from pada_graph.prompts import shipped
from tests.fakes import FakePredictor, FakeTeacher, FakeTrainer, fake_services, write_sums

PADA = [sys.executable, "-c", "from pada_graph.cli import main; main()"]


@pytest.fixture
def config(tmp_path):
    data = {"source": str(write_sums(tmp_path / "sums")), "train_size": 20, "validation_size": 12, "test_size": 12}
    raw = {"task": "jsonl", "data": {**data, "match": "number"}, "student": {"model": "builtin:tiny"}}
    return parse_config(raw, "test")


def shown(config, found, **options) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    print_preview(console, config, found, 1.0, **options)
    return console.export_text()


def test_a_handful_of_failures_becomes_three_scored_samples(config, tmp_path):
    trainer, predictor = FakeTrainer(), FakePredictor()
    found = run_preview(config, tmp_path / "p", fake_services(trainer=trainer, predictor=predictor))
    assert len(found.accepted) + len(found.rejected) == 3
    assert all(sample["review"]["score"] == 9.0 for sample in found.accepted)
    assert 1 <= len(found.strategies) <= 2
    assert {sample["branch"] for sample in found.accepted} == {"pattern", "error"}
    assert trainer.jobs == []
    assert [adapter for adapter, _ in predictor.calls] == [None] * len(predictor.calls)
    assert sum(count for _, count in predictor.calls) == 12 + 6  # each prompt once, none of the test split
    assert not list((tmp_path / "p").rglob("predictions_test*")) and not (tmp_path / "p/metrics.json").exists()


def test_its_rows_are_the_runs_own_first_ones(config, tmp_path):
    from pada_graph.data import load_splits
    from pada_graph.tasks import get_task

    run_preview(config, tmp_path / "p", fake_services())
    whole = load_splits(get_task("jsonl", "number"), config.data)
    for split, count in (("train", 6), ("validation", 12), ("test", 12)):
        lines = (tmp_path / f"p/data/{split}.jsonl").read_text().splitlines()
        assert [json.loads(line) for line in lines] == whole[split][:count]


def test_every_step_is_shown_with_the_samples_as_they_are_trained_and_the_cost(config, tmp_path):
    found = run_preview(config, tmp_path / "p", fake_services())
    text = shown(config, found)
    for words in (
        "The untuned student answers 12 validation rows: 10 failures",
        "answered: no idea",
        "The analyst looks for the cause of each failure",
        "names what the failures of a cluster have in common",
        "drafts a strategy against each pattern",
        "The generator writes samples",
        "The judge rates the samples",
        "Samples: 3 accepted, 0 not",
        "rated 9.0 of 10",
        "In all: unknown",
    ):
        assert words in text
    sample = found.accepted[0]["row"]
    assert f"<|im_start|>user\n{sample['prompt']}<|im_end|><|im_start|>assistant\n" in text
    assert f"-> {sample['answer']}<|im_end|>" in text
    assert "and 1 more, shown by --full" in text and text.count("-- judge, 1 of") == 1
    assert "-- generator, 2 of 2" not in text and "-- generator, 2 of 2" in shown(config, found, full=True)
    assert "shown by --full" in text and "shown by --full" not in shown(config, found, full=True)


def test_a_prompt_of_ones_own_is_what_is_asked_and_shown(config, tmp_path):
    names = ("strategy_drafting", "quality_control")
    own = {name: f"{shipped(name)}\nTake your time over {name}." for name in names}
    config = parse_config({**config.model_dump(), "prompts": own}, "test")
    teacher = FakeTeacher()
    found = run_preview(config, tmp_path / "p", fake_services(teacher=teacher))
    asked = {item.split("/")[1]: prompt for _, item, _, prompt in teacher.prompts}
    assert asked["draft_strategy"].endswith("\nTake your time over strategy_drafting.")
    assert asked["quality_control"].endswith("\nTake your time over quality_control.")
    assert not any("Take your time" in asked[step] for step in ("analyze_errors", "categorize_pattern", "generate"))
    text = shown(config, found)
    drafting = text.partition("drafts a strategy against each pattern")[2].partition("The generator writes samples")[0]
    judging = text.partition("The judge rates the samples")[2]
    assert "\nTake your time over strategy_drafting.\n-> [" in drafting
    assert "\nTake your time over quality_control.\n-> [" in judging
    assert text.count("Take your time over") == len(names)


def test_rejected_samples_are_shown_with_the_judges_words(config, tmp_path):
    teacher = FakeTeacher(rating=lambda item, attempt: 3.0)
    found = run_preview(config, tmp_path / "p", fake_services(teacher=teacher))
    assert {attempt for role, _, attempt, _ in teacher.prompts if role == "generator"} == {0, 1}
    text = shown(config, found)
    assert "Samples: 0 accepted, 3 not" in text and "rejected, rated 3.0 of 10" in text and "feedback: try 1" in text


def test_a_student_without_failures_ends_it_early(config, tmp_path):
    teacher = FakeTeacher()
    found = run_preview(config, tmp_path / "p", fake_services(teacher=teacher, predictor=FakePredictor(known=99)))
    assert teacher.prompts == [] and found.accepted == []
    assert "There is nothing to learn from" in shown(config, found)


def test_three_train_rows_are_shown_as_they_are_trained(config):
    from pada_graph.data import load_splits
    from pada_graph.student import models, render
    from pada_graph.tasks import get_task

    console = Console(width=80, record=True, file=io.StringIO())
    print_train_rows(console, config)
    text = console.export_text()
    train = load_splits(get_task("jsonl", "number"), config.data)["train"]
    path = models.resolve("builtin:tiny")
    tokenizer = models.load_tokenizer(path)
    assert "3 of 20 train rows" in text
    for row in train[:3]:
        ids = render.training_row(tokenizer, models.end_ids(path, tokenizer), row["prompt"], row["answer"])
        trained = sum(label != render.IGNORED for label in ids["labels"])
        assert f"-- {row['id']}: {len(ids['labels'])} tokens, {trained} of them trained\n" in text
        assert f"{row['prompt']}<|im_end|><|im_start|>assistant\n-> {row['answer']}<|im_end|>" in text
    assert train[3]["id"] not in text


def test_what_is_trained_differs_in_colour_where_there_are_colours(config):
    file = io.StringIO()
    print_train_rows(Console(width=80, file=file, force_terminal=True, color_system="standard"), config)
    assert "\x1b[1;32m-> " in file.getvalue()


def test_what_a_model_writes_does_not_reach_the_terminal_as_commands():
    assert printable("a\x1b[2J\x07\u202eb\n\tc") == "a\ufffd[2J\ufffd\ufffdb\n\tc"
    assert clip("abcdefgh", 4) == "ab\n[... 4 characters, shown by --full ...]\ngh"


def test_without_a_round_or_an_empty_folder_there_is_no_preview(config, tmp_path):
    with pytest.raises(InputError, match="has none"):
        preview_config(config.model_copy(update={"iterations": 0}))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("mine")
    with pytest.raises(InputError, match="is not empty"):
        run_preview(config, tmp_path / "full", fake_services())


def test_fine_tuning_alone_with_a_judge_shows_its_verdicts_and_asks_nobody_else(config, tmp_path):
    raw = config.model_dump()
    graded = parse_config({**raw, "method": "vanilla", "data": {**raw["data"], "match": "judge"}}, "test")
    teacher = FakeTeacher()
    found = run_preview(graded, tmp_path / "p", fake_services(teacher=teacher, predictor=FakePredictor(known=0)))
    assert {role for role, *_ in teacher.prompts} == {"judge"}
    assert {exchange.item.split("/")[1] for exchange in found.exchanges} == {"grade"}
    text = shown(graded, found)
    assert "The judge grades answers" in text and "Samples:" not in text
    assert not list((tmp_path / "p").rglob("predictions_test*"))


def test_rows_that_are_not_used_are_told(config):
    console = Console(width=80, record=True, file=io.StringIO())
    print_train_rows(console, config.model_copy(update={"data": config.data.model_copy(update={"train_size": 9})}))
    assert "Data: 9 of 20 train rows are used (data.train_size).\n" in console.export_text()


def test_limits_hold_in_a_preview(config, tmp_path):
    class Stopped(FakeTeacher):
        def ask(self, *arguments, **named):
            raise StoppedError("limits.max_calls: enough")

    with pytest.raises(StoppedError, match="enough"):
        run_preview(config, tmp_path / "p", fake_services(teacher=Stopped()))


def pada(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PADA, *arguments], capture_output=True, text=True, env=os.environ, timeout=280, check=False)


def test_the_command_names_what_is_wrong(tmp_path):
    result = pada("preview", "examples/demo.yaml", "--set", "method=vanilla")
    assert result.returncode == 2 and "round of augmentation" in result.stderr and "Traceback" not in result.stderr


def test_rows_alone_ask_no_teacher_and_need_no_round():
    sizes = {"data.train_size": 20, "data.validation_size": 12, "data.test_size": 12}
    values = {
        "task": "demo",
        "data.source": "builtin:demo",
        "student.model": "builtin:tiny",
        "method": "vanilla",
    } | sizes
    sets = [part for key, value in values.items() for part in ("--set", f"{key}={value}")]
    result = pada("preview", "examples/gsm8k_bedrock.yaml", "--rows", *sets)
    assert result.returncode == 0, result.stderr
    assert "3 of 20 train rows" in result.stdout and "failures" not in result.stdout


@pytest.mark.slow
def test_the_demo_has_a_preview_offline(tmp_path):
    result = pada("preview", "examples/demo.yaml", "--run-dir", str(tmp_path / "kept"))
    assert result.returncode == 0, result.stderr
    assert "Samples: " in result.stdout and "In all: $0.00" in result.stdout
    assert (tmp_path / "kept/iteration_1/synthetic_accepted.jsonl").exists()
    assert not list((tmp_path / "kept").rglob("adapter"))
