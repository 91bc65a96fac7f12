"""What leaves a run: an adapter and a merged model that plain libraries load, the synthetic rows, and their cards."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import weakref
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("trl")

import pyarrow.parquet as pq
import torch
from huggingface_hub import DatasetCard, ModelCard
from huggingface_hub.errors import HfHubHTTPError
from peft import PeftModel
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
from typer.testing import CliRunner

from pada_graph import RunConfig, run
from pada_graph.cli import app
from pada_graph.errors import InputError, StoppedError
from pada_graph.export import Exported, export_run, print_exported, push
from pada_graph.export.cards import dataset_card, model_card
from pada_graph.export.dataset import dataset_rows
from pada_graph.export.source import Source, open_source
from pada_graph.export.template import pin, pinned
from pada_graph.stats.accuracy import DEPENDENT
from pada_graph.student import models, render
from pada_graph.student.inference import TransformersPredictor
from pada_graph.tasks.base import Task
from tests.fakes import write_sums

LLAMA_LIKE = (
    "{%- if not date_string is defined %}{%- set date_string = 'today' %}{%- endif %}"
    "Today Date: {{ date_string }}{% if enable_thinking is not defined or enable_thinking %} thinking{% endif %}"
    "{% for m in messages %}{{ m.content }}{% endfor %}"
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run of one round that asks nobody: its samples are train rows once more."""
    folder = tmp_path_factory.mktemp("run")
    write_sums(folder / "sums")
    raw = {
        "task": "jsonl",
        "method": "vanilla_repeated",
        "iterations": 1,
        "data": {"source": str(folder / "sums"), "train_size": 20, "validation_size": 12, "test_size": 12},
        "student": {"model": "builtin:tiny", "training": {"epochs": 40}, "inference": {"max_new_tokens": 6}},
    }
    run(RunConfig.model_validate(raw | {"data": {**raw["data"], "match": "number"}}), folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory) -> Exported:
    return export_run(finished, tmp_path_factory.mktemp("out") / "export", iteration=1)


def answers(model, tokenizer, prompts) -> list[str]:
    found = []
    for prompt in prompts:
        messages = [{"role": "user", "content": prompt}]
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        output = model.generate(**ids, max_new_tokens=6, do_sample=False, pad_token_id=0)
        found.append(tokenizer.decode(output[0, ids["input_ids"].shape[1] :], skip_special_tokens=True).strip())
    return found


def recorded(finished: Path) -> dict[str, str]:
    lines = (finished / "iteration_1/predictions_validation.jsonl").read_text().splitlines()
    return {line["prompt"]: line["output"] for line in map(json.loads, lines)}


@pytest.mark.slow
def test_the_adapter_answers_in_plain_peft_as_it_did_in_the_run(finished, exported):
    base = AutoModelForCausalLM.from_pretrained(models.resolve("builtin:tiny"))
    model = PeftModel.from_pretrained(base, str(exported.folder / "adapter"))
    known = recorded(finished)
    assert len(set(known.values())) > 1  # the student learned something
    tokenizer = AutoTokenizer.from_pretrained(exported.folder / "adapter")
    assert answers(model, tokenizer, known) == list(known.values())


@pytest.mark.slow
def test_the_merged_model_answers_as_base_and_adapter_do(finished, exported):
    known = recorded(finished)
    model = AutoModelForCausalLM.from_pretrained(exported.folder / "merged")
    assert answers(model, AutoTokenizer.from_pretrained(exported.folder / "merged"), known) == list(known.values())
    assert exported.parity == json.loads((exported.folder / "merged/parity.json").read_text())
    assert (exported.parity["prompts"], exported.parity["same_answers"]) == (12, 12)
    assert 0 < exported.parity["largest_logit_difference"] < 1e-3
    assert exported.parity["dtype"] == "float32"  # as it was evaluated


@pytest.mark.slow
def test_no_file_names_a_place_on_this_machine(exported):
    home = str(Path(models.resolve("builtin:tiny")).parent)
    for path in exported.folder.rglob("*"):
        if path.suffix in (".json", ".md", ".jinja"):
            assert home not in path.read_text() and str(exported.folder) not in path.read_text(), path


@pytest.mark.slow
def test_a_merge_that_goes_wrong_is_found_and_leaves_nothing(finished, tmp_path, monkeypatch):
    import peft

    def wrong(self):
        merged = self.unload()  # without the adapter
        return merged

    monkeypatch.setattr(peft.PeftModel, "merge_and_unload", wrong, raising=False)
    monkeypatch.setattr(peft.tuners.lora.LoraModel, "merge_and_unload", lambda self: self.unload())
    with pytest.raises(StoppedError, match=r"computes something else .*--no-merged"):
        export_run(finished, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_memory_that_runs_out_says_what_to_leave_out_and_leaves_nothing(finished, tmp_path, monkeypatch):
    def too_large(self, *_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 4 GiB.\nGPU 0 has 8 GiB")

    monkeypatch.setattr(TransformersPredictor, "predict", too_large)
    with pytest.raises(StoppedError, match=r"memory ran out .*float32 \(CUDA .* 4 GiB\.\)\. Free some, .*--no-merged"):
        export_run(finished, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_one_form_of_the_student_is_gone_before_the_other_is_loaded(finished, tmp_path, monkeypatch):
    loaded: list[weakref.ref] = []
    load = TransformersPredictor._load

    def load_alone(self):
        if self._base is None:
            assert [model() for model in loaded] == [None] * len(loaded)
            load(self)
            loaded.append(weakref.ref(self._base))

    monkeypatch.setattr(TransformersPredictor, "_load", load_alone)
    export_run(finished, tmp_path / "out")
    assert len(loaded) == 2


@pytest.mark.slow
def test_the_dataset_has_each_trained_sample_with_its_lineage(finished, exported):
    rows = [json.loads(line) for line in (exported.folder / "dataset/train.jsonl").read_text().splitlines()]
    assert rows == pq.read_table(exported.folder / "dataset/train.parquet").to_pylist()
    trained = [json.loads(line) for line in (finished / "iteration_1/train.jsonl").read_text().splitlines()]
    assert len(rows) == exported.samples == 10
    assert [(row["prompt"], row["completion"]) for row in rows] == [
        (line["prompt"], line["completion"]) for line in trained[20:]
    ]
    train = {json.loads(line)["id"] for line in (finished / "data/train.jsonl").read_text().splitlines()}
    assert {row["seed_id"] for row in rows} <= train
    assert {(row["iteration"], row["branch"], row["generator"], row["score"]) for row in rows} == {
        (1, "train", None, None)
    }


@pytest.mark.slow
def test_the_cards_say_what_was_measured(finished, exported):
    metrics = json.loads((finished / "metrics.json").read_text())
    card = ModelCard.load(exported.folder / "adapter/README.md")
    assert card.data.library_name == "peft"
    if metrics["best_iteration"] == 1:
        assert card.data.eval_results[0].metric_value == round(metrics["iterations"][1]["test"]["accuracy"], 4)
    validation = metrics["iterations"][1]["validation"]
    assert f"{validation['accuracy']:.1%} [{validation['low']:.1%}, {validation['high']:.1%}]" in card.text
    data = DatasetCard.load(exported.folder / "dataset/README.md")
    assert data.data.size_categories == "n<1K"
    assert "from a validation row: 0; from a test row: 0" in data.text


def changed(source: Source, chosen: int | None = None, **changes) -> Source:
    """The same export of a run with other settings, `section__key=value`, or in which another iteration was chosen."""
    raw = source.config.model_dump()
    for name, value in changes.items():
        section, key = name.split("__")
        raw[section][key] = value
    metrics = {**source.metrics, "best_iteration": source.metrics["best_iteration"] if chosen is None else chosen}
    return replace(source, config=RunConfig.model_validate(raw), metrics=metrics)


def card_of(source: Source) -> ModelCard:
    return ModelCard(model_card(source, "adapter", None))


def section(card: ModelCard, title: str) -> str:
    return card.text.partition(f"## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["adapter", "merged"])
def test_the_program_on_a_card_runs_and_asks_the_model(exported, form):
    (program,) = re.findall(r"```python\n(.*?)```", (exported.folder / form / "README.md").read_text(), re.DOTALL)
    program = program.replace("THIS_FOLDER", str(exported.folder / form))
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.slow
def test_a_card_is_named_by_base_and_task_and_links_to_nothing_that_is_not_there(exported):
    for part in exported.parts:
        text = (exported.folder / part / "README.md").read_text()
        title = "# Synthetic rows for jsonl" if part == "dataset" else "# builtin:tiny, tuned for jsonl"
        assert f"---\n\n{title}\n" in text
        assert "](" not in text


@pytest.mark.slow
def test_the_base_is_named_where_the_hub_has_it_and_its_licence_where_it_is_known(finished):
    source = open_source(finished, 1)
    assert {"base_model", "base_model_relation"}.isdisjoint(card_of(source).data.to_dict())
    assert card_of(source).data.license == "apache-2.0"
    smol = card_of(changed(source, student__model="builtin:smollm2-135m")).data
    assert (smol.base_model, smol.base_model_relation) == ("HuggingFaceTB/SmolLM2-135M-Instruct", "adapter")
    assert smol.license == "apache-2.0"
    qwen = card_of(changed(source, student__model="Qwen/Qwen3-0.6B")).data
    assert (qwen.license, qwen.license_link) == ("other", "https://huggingface.co/Qwen/Qwen3-0.6B")
    assert (
        'AutoModelForCausalLM.from_pretrained("Qwen/Qwen3-0.6B")'
        in card_of(changed(source, student__model="Qwen/Qwen3-0.6B")).text
    )
    data = DatasetCard(dataset_card(source, dataset_rows(source)))
    assert data.data.license == "other"
    assert "License: other. The rows follow train rows whose licence is not known here." in data.text


@pytest.mark.slow
def test_a_card_says_who_chose_the_iteration_and_whether_it_was_tested(finished):
    first, second = open_source(finished, 0), open_source(finished, 1)
    assert "The iteration was chosen on validation; test was scored once" in card_of(changed(second, chosen=1)).text
    by_request = "Iteration 1 was exported by request; validation chose iteration 0, and this one was never tested."
    iterations = [first.metrics["iterations"][0], {**first.metrics["iterations"][1], "test": None}]
    untested = replace(second, metrics={**second.metrics, "iterations": iterations, "best_iteration": 0})
    assert by_request in card_of(untested).text
    tested = "Iteration 0 was exported by request; validation chose iteration 1, and test was scored once, at the end."
    assert tested in card_of(changed(first, chosen=1)).text
    alone = replace(first, metrics={**first.metrics, "iterations": iterations[:1], "best_iteration": 0})
    assert "chosen" not in section(card_of(alone), "Evaluation")


@pytest.mark.slow
def test_teachers_are_named_where_rows_of_theirs_were_trained_on(finished):
    first, second = open_source(finished, 0), open_source(finished, 1)
    plain, taught = (replace(one, config=one.config.model_copy(update={"method": "pada"})) for one in (first, second))
    assert "Generator: `" in section(card_of(taught), "Training")
    assert "Generator: `" not in card_of(plain).text
    assert card_of(taught).data.tags == ["pada-graph", "lora", "synthetic-data"]
    assert card_of(plain).data.tags == ["pada-graph", "lora"]


@pytest.mark.slow
def test_a_judge_that_graded_answers_is_a_part_of_the_evaluation_alone(finished):
    source = changed(open_source(finished, 0), chosen=0, data__match="judge")
    source.metrics["iterations"][0]["test"] = source.metrics["iterations"][0]["validation"]
    card, judge = card_of(source), source.config.models.judge.model
    said = f"An answer in other words than the reference's counts as right where {judge} said so."
    assert said in section(card, "Evaluation")
    assert judge not in section(card, "Training")
    assert card.data.eval_results[0].metric_name == f"accuracy, own split, answers graded by {judge}"


@pytest.mark.slow
def test_intervals_of_items_that_come_in_groups_are_said_to_be_too_narrow(finished, monkeypatch):
    source = open_source(finished, 0)
    assert DEPENDENT not in card_of(source).text
    monkeypatch.setattr(Task, "group", lambda self, row: "one article")
    assert DEPENDENT in section(card_of(source), "Evaluation")


def on_a_folder(finished: Path, base: Path, to: Path) -> Path:
    """The same run, its student loaded from a folder."""
    shutil.copytree(models.resolve("builtin:tiny"), base)
    shutil.copytree(finished, to)
    for path in [to / "resolved_config.json", *to.glob("iteration_*/adapter/manifest.json")]:
        path.write_text(path.read_text().replace('"builtin:tiny"', json.dumps(str(base))))
    return to


@pytest.mark.slow
def test_a_base_that_is_a_folder_is_called_by_its_name_and_a_llama_comes_with_its_notice(finished, tmp_path):
    run_dir = on_a_folder(finished, tmp_path / "private/Llama-3.2-tiny", tmp_path / "run")
    exported = export_run(run_dir, tmp_path / "my export", iteration=1, merged=False)
    for path in exported.folder.rglob("*"):
        if path.suffix in (".json", ".md", ".jinja"):
            assert str(tmp_path) not in path.read_text(), path
    card = ModelCard.load(exported.folder / "adapter/README.md")
    assert card.text.strip().startswith("# Llama-3.2-tiny, tuned for jsonl")
    assert (card.data.base_model, card.data.license) == (None, "llama3.2")
    assert "Llama 3.2 Community License" in (exported.folder / "adapter/NOTICE").read_text()
    assert not (exported.folder / "dataset/NOTICE").exists()
    text = printed(exported)
    assert f"vllm serve {exported.base} " in text and f"--lora-modules 'tuned={exported.folder}/adapter'" in text
    assert (
        "Before you publish it (the cards say the same):\n- Built with Llama: the base model is Llama-3.2-tiny." in text
    )
    with pytest.raises(InputError, match=r"the base model is the folder .*Llama-3.2-tiny of this machine"):
        export_run(run_dir, tmp_path / "other", merged=False, name="me/Llama-tuned")
    assert not (tmp_path / "other").exists()


def printed(exported: Exported) -> str:
    console = Console(file=StringIO(), soft_wrap=True, highlight=False)
    print_exported(exported, console)
    return console.file.getvalue()


@pytest.mark.slow
def test_an_iteration_without_synthetic_rows_points_to_the_one_that_has_them(finished, tmp_path):
    text = printed(export_run(finished, tmp_path / "out", iteration=0, merged=False))
    assert "No synthetic rows: iteration 0 was trained without them; --iteration 1 exports 10." in text


@pytest.mark.slow
@pytest.mark.parametrize("name", ["me/tuned/again", "me/-tuned", "me/" + "long" * 24])
def test_a_name_that_will_not_do_is_refused_before_anything_is_written(finished, tmp_path, name):
    with pytest.raises(InputError, match="the hub takes no such name"):
        export_run(finished, tmp_path / "out", name=name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_command_checks_the_name_before_it_exports(finished, tmp_path):
    call = ["export", str(finished), str(tmp_path / "out"), "--push-to-hub", "me/-tuned"]
    assert isinstance(CliRunner().invoke(app, call).exception, InputError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_an_upload_goes_on_with_the_folder_that_the_same_call_has_written(finished, exported):
    card = exported.folder / "adapter/README.md"
    before = card.read_text()
    try:
        card.write_text(before + "\nA sentence of mine.\n")
        assert export_run(finished, exported.folder, iteration=1, name="me/tuned") == exported
        assert "A sentence of mine." in card.read_text()
    finally:
        card.write_text(before)
    for others in ({"iteration": 0}, {"iteration": 1, "merged": False}, {"iteration": 1, "dtype": "bfloat16"}):
        with pytest.raises(InputError, match="is there already"):
            export_run(finished, exported.folder, name="me/tuned", **others)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (lambda run: (run / "metrics.json").unlink(), {}, "not finished"),
        (lambda run: None, {"iteration": 7}, "--iteration 7: .* has the iterations 0 to 1"),
        (lambda run: None, {"dtype": "int4"}, "--dtype int4"),
        (lambda run: (run / "iteration_1/adapter/tokenizer.json").write_text("{}"), {"iteration": 1}, "sha256 differs"),
    ],
)
def test_what_cannot_be_exported_is_told_and_nothing_is_left(finished, tmp_path, spoil, options, message):
    shutil.copytree(finished, tmp_path / "run")
    spoil(tmp_path / "run")
    with pytest.raises((InputError, StoppedError), match=message):
        export_run(tmp_path / "run", tmp_path / "out", **options)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.slow
def test_a_folder_that_is_there_is_not_touched(finished, tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="is there already"):
        export_run(finished, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_pinned_template_needs_no_arguments():
    tokenizer: PreTrainedTokenizerFast = models.load_tokenizer(models.resolve("builtin:tiny"))
    tokenizer.chat_template = LLAMA_LIKE
    wanted = render.prompt_text(tokenizer, "hello")
    messages = [{"role": "user", "content": "hello"}]
    plain = {"tokenize": False, "add_generation_prompt": True}
    assert tokenizer.apply_chat_template(messages, **plain) != wanted
    tokenizer.chat_template = pinned(LLAMA_LIKE)
    assert tokenizer.apply_chat_template(messages, **plain) == wanted
    assert wanted.startswith("Today Date: 26 Jul 2024hello")


def test_a_pinned_template_does_not_look_at_the_clock(tmp_path):
    tokenizer: PreTrainedTokenizerFast = models.load_tokenizer(models.resolve("builtin:tiny"))
    tokenizer.chat_template = "{{- strftime_now('%d %B %Y') }}" + LLAMA_LIKE
    tokenizer.save_pretrained(tmp_path)
    tokenizer = models.load_tokenizer(str(tmp_path))
    wanted = render.prompt_text(tokenizer, "hello")
    pin(tokenizer)
    plain = {"tokenize": False, "add_generation_prompt": True}
    assert tokenizer.apply_chat_template([{"role": "user", "content": "hello"}], **plain) == wanted
    assert wanted == "26 Jul 2024Today Date: 26 Jul 2024hello"


def test_of_several_chat_templates_the_default_one_is_pinned(tmp_path):
    tokenizer: PreTrainedTokenizerFast = models.load_tokenizer(models.resolve("builtin:tiny"))
    tokenizer.chat_template = {"default": LLAMA_LIKE, "tool_use": "{{ tools }}"}
    tokenizer.save_pretrained(tmp_path)
    tokenizer = models.load_tokenizer(str(tmp_path))
    pin(tokenizer)
    assert tokenizer.chat_template == pinned(LLAMA_LIKE)


class Hub:
    """Takes folders like the hub's API, and refuses one repository."""

    taken: list[tuple[str, str, str]]

    def __init__(self, refuse: str = "", error: Exception | None = None):
        self.taken, self.refuse, self.error, self.private = [], refuse, error, set()

    def create_repo(self, repo_id, *, repo_type, private, exist_ok):
        from huggingface_hub import RepoUrl

        self.private.add(private)
        return RepoUrl(
            f"https://huggingface.co/{'datasets/' * (repo_type == 'dataset')}me/{repo_id.rpartition('/')[2]}"
        )

    def upload_folder(self, *, repo_id, repo_type, folder_path):
        if repo_id.endswith(self.refuse) and self.refuse:
            raise self.error
        self.taken.append((repo_id, repo_type, Path(folder_path).name))


def export_of(folder: Path, begins: str = "") -> Exported:
    parts = ["adapter", "merged", "dataset"]
    return Exported(folder, 1, 32, parts, 10, (1, 10), None, "Qwen/Qwen3-0.6B", None, [], begins)


def test_each_part_goes_to_a_repository_of_its_own_and_is_private(tmp_path, monkeypatch):
    hub = Hub()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    assert len(push(export_of(tmp_path), "tuned")) == 3
    assert hub.taken == [
        ("me/tuned-lora", "model", "adapter"), ("me/tuned", "model", "merged"), ("me/tuned-data", "dataset", "dataset"),
    ]  # fmt: skip
    assert hub.private == {True}


@pytest.mark.parametrize(
    "error",
    [
        HfHubHTTPError("403 Forbidden: no write access", response=SimpleNamespace(headers={}, request=None)),
        ValueError('Invalid metadata in README.md.\n- "license_name" must be a string'),
    ],
)
def test_a_refusal_says_why_what_is_kept_and_how_to_go_on(tmp_path, monkeypatch, error):
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: Hub("tuned", error))
    with pytest.raises(
        StoppedError, match=r"^tuned: the hub refuses it .*hf auth login.*the same command goes on"
    ) as told:
        push(export_of(tmp_path), "tuned")
    assert " ".join(str(error).split()) in str(told.value)


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached_stops_the_upload(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    call = (
        "import pathlib, pada_graph.export as export\n"
        "whole = export.Exported(pathlib.Path('.'), 1, 32, ['adapter'], 10, (1, 10), None, 'base', None, [], '')\n"
        "try:\n    export.push(whole, 'me/tuned')\n"
        "except export.hub.StoppedError as stopped:\n    print(stopped)\n"
    )
    place = {"HF_ENDPOINT": f"http://127.0.0.1:{port}", "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, "-c", call],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **place},
    )
    assert done.stdout.startswith("me/tuned-lora: the hub cannot be reached ("), done.stderr
    assert "the same command goes on" in done.stdout


@pytest.mark.parametrize(
    ("begins", "refused", "proposed", "taken"),
    [
        ("Llama", "me/tuned", "me/Llama-tuned", "me/llama-tuned"),
        ("Llama 3", "me/Llama-tuned", "me/Llama-3-Llama-tuned", "me/Llama3-tuned"),
    ],
)
def test_a_model_that_llama_helped_is_not_uploaded_under_another_name(
    tmp_path, monkeypatch, begins, refused, proposed, taken
):
    hub = Hub()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    with pytest.raises(InputError, match=f'a name that begins with "{begins}", {proposed} for example'):
        push(export_of(tmp_path, begins), refused)
    assert hub.taken == []
    push(export_of(tmp_path, begins), taken)
    assert len(hub.taken) == 3
