"""What leaves a run: an adapter and a merged model that plain libraries load, the synthetic rows, and their cards."""

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("trl")

import pyarrow.parquet as pq
from huggingface_hub import DatasetCard, ModelCard
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from pada_graph import RunConfig, run
from pada_graph.config import parse_config
from pada_graph.errors import InputError, StoppedError
from pada_graph.export import Exported, export_run, push
from pada_graph.export.licences import licence, must_be_called_llama, obligations
from pada_graph.export.template import pinned
from pada_graph.student import models, render
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
    assert (card.data.library_name, card.data.base_model_relation) == ("peft", "adapter")
    if metrics["best_iteration"] == 1:
        assert card.data.eval_results[0].metric_value == round(metrics["iterations"][1]["test"]["accuracy"], 4)
    validation = metrics["iterations"][1]["validation"]
    assert f"{validation['accuracy']:.1%} [{validation['low']:.1%}, {validation['high']:.1%}]" in card.text
    data = DatasetCard.load(exported.folder / "dataset/README.md")
    assert data.data.size_categories == "n<1K"
    assert "from a validation row: 0; from a test row: 0" in data.text


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


def config(student: str, generator: str, method: str = "pada") -> RunConfig:
    return parse_config(
        {"method": method, "student": {"model": student}, "models": {"generator": {"model": generator}}}, "test"
    )


@pytest.mark.parametrize(
    ("student", "generator", "method", "named", "called"),
    [
        ("meta-llama/Llama-3.2-1B-Instruct", "openai:gpt-x", "vanilla", True, "llama3.2"),
        ("Qwen/Qwen3-0.6B", "bedrock_converse:us.meta.llama3-3-70b-instruct-v1:0", "auggpt", True, "other"),
        ("Qwen/Qwen3-0.6B", "bedrock_converse:us.meta.llama3-3-70b-instruct-v1:0", "vanilla", False, "other"),
        ("builtin:smollm2-135m", "openai:gpt-x", "auggpt", False, "apache-2.0"),
    ],
)
def test_the_llama_licence_follows_from_base_and_teachers(student, generator, method, named, called):
    settings = config(student, generator, method)
    assert must_be_called_llama(settings) is named
    assert licence(settings) == called
    assert any("Built with Llama" in sentence for sentence in obligations(settings)) is named


class Hub:
    """Takes folders like the hub's API, and refuses one repository."""

    taken: list[tuple[str, str, str]]

    def __init__(self, refuse: str = ""):
        self.taken, self.refuse, self.private = [], refuse, set()

    def create_repo(self, repo_id, *, repo_type, private, exist_ok):
        from huggingface_hub import RepoUrl

        self.private.add(private)
        return RepoUrl(
            f"https://huggingface.co/{'datasets/' * (repo_type == 'dataset')}me/{repo_id.rpartition('/')[2]}"
        )

    def upload_folder(self, *, repo_id, repo_type, folder_path):
        if repo_id.endswith(self.refuse) and self.refuse:
            raise OSError("403 Forbidden: no write access")
        self.taken.append((repo_id, repo_type, Path(folder_path).name))


def export_of(folder: Path, llama: bool = False) -> Exported:
    return Exported(folder, 1, 32, ["adapter", "merged", "dataset"], 10, None, llama)


def test_each_part_goes_to_a_repository_of_its_own_and_is_private(tmp_path, monkeypatch):
    hub = Hub()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    assert len(push(export_of(tmp_path), "tuned")) == 3
    assert hub.taken == [
        ("me/tuned-lora", "model", "adapter"), ("me/tuned", "model", "merged"), ("me/tuned-data", "dataset", "dataset"),
    ]  # fmt: skip
    assert hub.private == {True}


def test_a_refusal_says_what_is_kept_and_how_to_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: Hub(refuse="tuned"))
    with pytest.raises(StoppedError, match=r"403 Forbidden.*hf auth login.*hf upload tuned "):
        push(export_of(tmp_path), "tuned")


def test_a_model_that_llama_helped_is_not_uploaded_under_another_name(tmp_path, monkeypatch):
    hub = Hub()
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    with pytest.raises(InputError, match="me/Llama-tuned"):
        push(export_of(tmp_path, llama=True), "me/tuned")
    assert hub.taken == []
    push(export_of(tmp_path, llama=True), "me/Llama-tuned")
    assert len(hub.taken) == 3
