"""RunConfig: the paper's values are the defaults, and every mistake has a clear message."""

import json
import traceback
from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from pada_graph.config import ROLES, RunConfig
from pada_graph.config_file import as_given, load_config, parse_config
from pada_graph.errors import InputError
from pada_graph.methods import used_roles
from pada_graph.services import default_services

ROOT = Path(__file__).parents[2]


def write(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def test_defaults_are_the_papers_section_3_2():
    config = RunConfig()
    assert config.patterns.max_errors == 50
    assert (config.patterns.min_clusters, config.patterns.max_clusters) == (2, 10)
    assert config.patterns.embedder == "sentence-transformers/all-mpnet-base-v2"
    assert config.generation.ratio == 0.5
    assert (config.quality.threshold, config.quality.max_regenerations) == (7, 3)
    lora, training = config.student.lora, config.student.training
    assert (lora.r, lora.alpha, lora.dropout) == (32, 32, 0.05)
    assert (training.epochs, training.learning_rate) == (5, 2e-4)
    assert config.student.model == "meta-llama/Llama-3.2-1B-Instruct"
    temperatures = [getattr(config.models, role).temperature for role in ("analyst", "generator", "judge")]
    assert temperatures == [0, 0.7, 0]
    assert (config.data.train_size, config.data.validation_size, config.data.test_size) == (1000, 500, 500)


def test_a_default_student_read_back_from_a_run_directory_is_the_same_training_job():
    student = RunConfig().student
    assert json.dumps(student.model_dump()) == json.dumps(
        parse_config(RunConfig().model_dump(), "").student.model_dump()
    )


@pytest.mark.parametrize("path", sorted([*ROOT.glob("examples/*.yaml"), *ROOT.glob("src/**/pada.yaml")]), ids=str)
def test_every_shipped_config_loads(path):
    assert load_config(path).iterations >= 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("quallity: {}", "quallity: unknown key; did you mean 'quality'?"),
        ("quality: {treshold: 6}", "quality.treshold: unknown key; did you mean 'threshold'?"),
        ("quality: {threshold: 11}", "quality.threshold: Input should be less than or equal to 10 (found 11)"),
        ("task: mmlu", "task: Value error, unknown task; known: arc_challenge, gsm8k, "),
        ("task: gsm9k", "task: Value error, unknown task; did you mean 'gsm8k'? known: "),
        ("patterns: {min_clusters: 5, max_clusters: 3}", "max_clusters (3) is below min_clusters (5)"),
        ("models: {judge: {}}", "models.judge.model: Field required"),
        ("seed: -1", "seed: Input should be greater than or equal to 0"),
        ("student: {training: {learning_rate: .inf}}", "student.training.learning_rate: Input should be a finite"),
        ("match: exact", "match: unknown key; did you mean 'data.match'?"),
        ("student: {lr: 3}", "student.lr: unknown key; known keys: model, dtype, lora, training, inference"),
        ("student: {epochs: 3}", "student.epochs: unknown key; did you mean 'student.training.epochs'?"),
        ("treshold: 6", "treshold: unknown key; did you mean 'quality.threshold'?"),
        ("seed: 1\ntask: squad\nseed: 2", "the key 'seed' stands in line 1 and again in line 3; keep one"),
        ("student:\n  model: a\n  model: b", "the key 'model' stands in line 2 and again in line 3; keep one"),
        ("- a list", "expected a mapping of keys"),
        ("task: [", "not valid YAML"),
        ("task: !!python/object:os.system x", "not valid YAML"),
    ],
)
def test_a_mistake_is_named_with_file_and_key(tmp_path, text, message):
    path = write(tmp_path, text)
    with pytest.raises(InputError) as error:
        load_config(path)
    assert str(path) in str(error.value) and message in str(error.value)


def test_an_emptied_section_has_its_defaults(tmp_path):
    path = write(tmp_path, "data:\nstudent:\n  lora:\nmodels:\nprompts:\n")
    assert load_config(path) == RunConfig()
    assert load_config(path, ["data.train_size=7"]).data.train_size == 7


def test_a_missing_file_is_named_with_the_way_to_get_one(tmp_path):
    with pytest.raises(InputError, match=r"nowhere.yaml: cannot be read .* `pada-graph init DIR`"):
        load_config(tmp_path / "nowhere.yaml")


def test_overrides_reach_nested_keys(tmp_path):
    path = write(tmp_path, "task: squad\n")
    config = load_config(path, ["student.training.epochs=2", "quality.gate=sample", "models.judge={model: 'openai:x'}"])
    assert config.student.training.epochs == 2 and config.quality.gate == "sample"
    assert config.models.judge.model == "openai:x"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epochs", "write it as key=value"),
        ("task.x=1", "task is not a section"),
        ("quality.gat=1", "did you mean 'gate'?"),
    ],
)
def test_bad_overrides_are_refused(tmp_path, override, message):
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        load_config(write(tmp_path, "task: squad\n"), [override])


def test_a_mistake_beside_a_key_does_not_print_the_key(tmp_path):
    path = write(tmp_path, "models: {judge: {modle: x, api_key: sk-canary-1234}}")
    with pytest.raises(InputError) as error:
        load_config(path)
    assert "models.judge.model: Field required" in str(error.value)
    assert "canary" not in "".join(traceback.format_exception(error.value))


def test_a_mistake_beside_a_key_in_python_does_not_print_the_key():
    with pytest.raises(ValidationError, match=r"models\.judge\.model") as error:
        RunConfig(models={"judge": {"modle": "x", "api_key": "sk-canary-1234"}})
    assert "canary" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "roles"),
    [
        ({}, ("analyst", "generator", "judge")),
        ({"method": "vanilla"}, ()),
        ({"iterations": 0}, ()),
        ({"patterns": {"enabled": False}}, ("generator", "judge")),
        ({"patterns": {"enabled": False}, "train_errors": {"enabled": False}}, ()),
        ({"train_errors": {"enabled": False}}, ("analyst", "generator", "judge")),
        ({"quality": {"enabled": False}}, ("analyst", "generator")),
        ({"quality": {"enabled": False, "verify_answers": True}}, ("analyst", "generator", "judge")),
    ],
)
def test_the_roles_that_a_run_asks(changes: dict, roles: tuple) -> None:
    assert used_roles(RunConfig.model_validate(changes)) == roles


@pytest.mark.parametrize("role", ROLES)
def test_the_demos_rules_are_refused_for_another_task_if_they_would_be_asked(role: str) -> None:
    raw = {"task": "gsm8k", "models": {role: {"model": "builtin:rules"}}}
    with pytest.raises(InputError, match=rf"models\.{role}\.model: builtin:rules .* set task: demo"):
        parse_config(raw, "test")
    assert parse_config({**raw, "task": "demo"}, "test").task == "demo"
    assert used_roles(parse_config({**raw, "method": "vanilla"}, "test")) == ()


def test_a_model_that_is_never_asked_need_not_exist(tmp_path: Path) -> None:
    rules = {"model": "builtin:rules", "temperature": None}
    models = {"analyst": rules, "generator": rules, "judge": {"model": "nobody:nothing"}}
    raw = {"task": "demo", "models": models, "patterns": {"embedder": "builtin:minilm"}, "limits": {"max_usd": 1}}
    services = default_services(RunConfig.model_validate({**raw, "quality": {"enabled": False}}), tmp_path)
    services.teacher.close()
    with pytest.raises(InputError, match=r"models\.judge\.model"):
        default_services(RunConfig.model_validate(raw), tmp_path)


def test_a_configuration_that_is_handed_on_leaves_sizes_to_be_filled_in_anew(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "p", "answer": "a"}\n' * 10)
    config = parse_config({"task": "jsonl", "data": {"source": str(file), "test_size": 3}}, "test")
    again = parse_config(json.loads(json.dumps(as_given(config, mode="json"))), "test")
    assert again == config and again.data.train_size == 5
    assert again.data.model_fields_set == config.data.model_fields_set == {"source", "test_size"}


def test_every_key_says_what_it_does():
    def undescribed(section: type[BaseModel], prefix: str) -> list[str]:
        found = []
        for name, field in section.model_fields.items():
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                found += undescribed(field.annotation, f"{prefix}{name}.")
            elif not field.description:
                found.append(f"{prefix}{name}")
        return found

    assert undescribed(RunConfig, "") == []
