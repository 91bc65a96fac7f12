"""`pada-graph doctor`: one line a check, the fix beside each problem, and no trace in any run."""

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from pada_graph import doctor, hub
from pada_graph.config import Model, RunConfig
from pada_graph.config_file import load_config
from pada_graph.doctor import Check, examine, needed_extras
from pada_graph.errors import InputError
from tests.fake_provider import Answer, FakeProvider
from tests.fakes import write_sums

PADA = [sys.executable, "-c", "from pada_graph.cli import main; main()"]


def pada(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "OPENAI_"))}
    environment |= {"AWS_CONFIG_FILE": "/nowhere", "AWS_EC2_METADATA_DISABLED": "true"}
    return subprocess.run(
        [*PADA, *arguments], capture_output=True, text=True, cwd=cwd, env=environment, timeout=200, check=False
    )


def config(folder: Path, **changes) -> Path:
    data = {"source": str(write_sums(folder / "sums")), "train_size": 20, "validation_size": 12, "test_size": 12}
    raw = {"task": "jsonl", "iterations": 1, "data": data, "student": {"model": "builtin:tiny"}, **changes}
    raw.setdefault("patterns", {"embedder": "builtin:minilm"})
    path = folder / "config.yaml"
    path.write_text(json.dumps(raw))
    return path


def everyone(model: Model) -> dict:
    return dict.fromkeys(("analyst", "generator", "judge"), model.model_dump())


def found(path: Path) -> dict[str, Check]:
    return {check.name: check for check in examine(load_config(path))}


def test_without_a_configuration_the_machine_is_checked(tmp_path):
    result = pada("doctor", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    for name in ("python", "packages", "packages, train", "device", "disk", "sandbox"):
        assert f"ok       {name}: " in result.stdout
    assert "student" not in result.stdout and "short call" not in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_all_is_well_with_models_that_answer_and_each_is_asked_once(tmp_path):
    with FakeProvider(lambda request: "ready") as provider:
        models = everyone(provider.openai("one"))
        models["judge"] = provider.bedrock("us.meta.fake-v1:0").model_dump()
        result = pada("doctor", str(config(tmp_path, models=models)), cwd=tmp_path)
        assert result.returncode == 0, result.stdout + result.stderr
        assert [request.model for request in provider.requests] == ["one", "us.meta.fake-v1:0"]
    assert "one short call" in result.stdout.splitlines()[0]
    assert "ok       analyst: openai:one: answered in" in result.stdout and "tokens in, 1 out" in result.stdout
    assert "ok       generator: openai:one: the same as analyst" in result.stdout
    assert "ok       judge: bedrock_converse:us.meta.fake-v1:0 in us-east-1: answered" in result.stdout
    assert "ok       data: " in result.stdout and "20 train, 12 validation, 12 test" in result.stdout
    assert "ok       student: builtin:tiny: its chat template can be trained" in result.stdout
    assert "ok       embedder: builtin:minilm: 384 dimensions" in result.stdout
    assert "prices: unknown for openai:one, bedrock_converse:us.meta.fake-v1:0" in result.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "sums"]  # no journal, no run


def test_problems_are_named_with_their_fixes_and_the_status_is_2(tmp_path):
    refusing = Answer("Incorrect API key provided: not-a-real-key-0123", status=401)
    with FakeProvider(lambda request: refusing) as provider:
        models = everyone(provider.openai("one"))
        models["judge"] = {"model": "bedrock_converse:us.meta.fake-v1:0"}
        path = config(tmp_path, models=models, student={"model": "builtin:large"}, limits={"max_usd": 1})
        result = pada("doctor", str(path), "--set", "data.train_size=7000", cwd=tmp_path)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert result.stderr.strip() == "Problems: 5. The fixes stand beside them."
    lines = {line.split()[1].rstrip(":"): line for line in result.stdout.splitlines() if line.startswith("problem")}
    assert "What fits, at most" in lines["data"] or "train_size" in lines["data"]
    assert "builtin:smollm2-135m exist" in lines["student"]
    assert "limits.prices" in lines["prices"]
    assert "Check the credentials" in lines["analyst"] and "not-a-real-key-0123" not in result.stdout
    assert "AWS_REGION" in lines["judge"]


def test_a_bad_configuration_is_status_2(tmp_path):
    assert pada("doctor", str(tmp_path / "none.yaml"), cwd=tmp_path).returncode == 2
    result = pada("doctor", str(config(tmp_path, itterations=1)), cwd=tmp_path)
    assert result.returncode == 2 and "did you mean 'iterations'" in result.stderr


def test_a_provider_that_is_down_is_a_problem_and_is_asked_once(tmp_path):
    with FakeProvider(lambda request: Answer("oops", status=503)) as provider:
        checks = found(config(tmp_path, models=everyone(provider.openai("one"))))
        assert len(provider.requests) == 1
    assert not checks["analyst"].ok and "did not answer" in checks["analyst"].text
    assert "run doctor again" in checks["analyst"].text and "Nothing finished" not in checks["analyst"].text


def test_vanilla_fine_tuning_asks_no_teacher_and_the_demo_needs_no_call(tmp_path):
    checks = found(config(tmp_path, method="vanilla"))
    assert checks["teachers"].ok and "analyst" not in checks and "embedder" not in checks
    rules = everyone(Model(model="builtin:rules", temperature=None))
    with pytest.raises(InputError, match=r"models\.analyst\.model, .*: builtin:rules"):
        found(config(tmp_path, models=rules))
    demo = {"source": "builtin:demo", "train_size": 20, "validation_size": 12, "test_size": 12}
    checks = found(config(tmp_path, task="demo", data=demo, models=rules))
    assert checks["judge"].ok and "the same as analyst" in checks["judge"].text
    assert "needs no call" in checks["analyst"].text


def test_a_role_that_is_never_asked_gets_no_call_and_no_check(tmp_path):
    nowhere = {"model": "openai:judge", "base_url": "http://127.0.0.1:9/v1", "api_key": "x", "max_retries": 0}
    with FakeProvider(lambda request: "ready") as provider:
        models = {**everyone(provider.openai("one")), "judge": nowhere}
        checks = found(config(tmp_path, models=models, quality={"enabled": False}))
        assert len(provider.requests) == 1
    assert checks["analyst"].ok and "judge" not in checks
    assert "judge" not in checks["prices"].text


def test_fine_tuning_alone_with_a_judge_asks_the_judge_and_nobody_else(tmp_path):
    with FakeProvider(lambda request: "ready") as provider:
        models = {role: provider.openai(role).model_dump() for role in ("analyst", "generator", "judge")}
        path = config(tmp_path, method="vanilla", models=models)
        result = pada("doctor", str(path), "--set", "data.match=judge", cwd=tmp_path)
        assert [request.model for request in provider.requests] == ["judge"]
    assert result.stdout.startswith("Each teacher model gets one short call") and result.returncode == 0
    assert "ok       judge: openai:judge: answered in" in result.stdout
    assert "analyst" not in result.stdout and "generator" not in result.stdout


def test_no_call_is_announced_where_no_teacher_is_asked_and_unused_rows_are_told(tmp_path):
    result = pada("doctor", str(config(tmp_path, method="vanilla")), "--set", "data.train_size=9", cwd=tmp_path)
    assert "short call" not in result.stdout and "teachers: none is asked" in result.stdout
    assert "9 train, 12 validation, 12 test; 9 of 20 train rows are used (data.train_size)" in result.stdout


@pytest.mark.parametrize("command", ["doctor", "plan"])
def test_a_hub_that_cannot_be_reached_is_looked_at_once(tmp_path, monkeypatch, command):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    path = config(tmp_path, method="vanilla", student={"model": "some-org/some-student"})
    result = pada(command, str(path), cwd=tmp_path)
    said = " ".join((result.stdout + result.stderr).split())
    assert "Retrying" not in said and "HEAD" not in said and "Traceback" not in said
    assert "some-org/some-student is not in the local cache and the Hugging Face hub cannot be reached" in said
    assert ("ok hub: cannot be reached: what is in the cache here is used" in said) == (command == "doctor")


def test_a_configuration_without_the_hub_does_not_look_at_it(tmp_path, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setattr(hub, "_answers", lambda: pytest.fail("was asked"))
    assert hub.settle(load_config(config(tmp_path))) == ""


def test_any_status_is_an_answer_of_the_hub(monkeypatch):
    with FakeProvider(lambda request: Answer("no", status=401)) as provider:
        monkeypatch.setenv("HF_ENDPOINT", provider.openai().model_extra["base_url"])
        assert hub._answers()
    assert not hub._answers()


def test_a_full_disk_is_a_problem(monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 9, 1e9))
    checks = {check.name: check for check in examine(None)}
    assert not checks["disk"].ok and "1.0 GB are free" in checks["disk"].text


def test_a_missing_or_old_package_is_a_problem_where_its_extra_is_needed(monkeypatch):
    real = doctor.version

    def version(name: str) -> str:
        if name == "langchain-aws":
            raise doctor.PackageNotFoundError(name)
        return "0.1" if name == "trl" else real(name)

    monkeypatch.setattr(doctor, "version", version)
    without = {check.name: check for check in doctor._packages(frozenset())}
    assert all(check.ok for check in without.values())
    assert "not installed, and not needed here" in without["packages, bedrock"].text
    needed = {check.name: check for check in doctor._packages(needed_extras(RunConfig()))}
    assert "langchain-aws is missing" in needed["packages, bedrock"].text
    assert "pip install 'pada-graph[bedrock]'" in needed["packages, bedrock"].text
    assert "trl 0.1 is not" in needed["packages, train"].text
    assert [name for name, check in needed.items() if not check.ok] == ["packages, train", "packages, bedrock"]


def test_the_sandbox_is_needed_by_humaneval_alone(monkeypatch):
    from pada_graph import sandbox

    monkeypatch.setattr(sandbox, "_probe", lambda: "bwrap is missing here. Install it.")
    assert "HumanEval alone" in doctor._sandbox(None)
    needing = RunConfig(task="humaneval")
    assert not doctor._tried("sandbox", lambda: doctor._sandbox(needing)).ok
    allowed = needing.model_copy(update={"unsafe_code_execution": True})
    assert doctor._sandbox(allowed) == sandbox.NO_SANDBOX


def test_a_chat_template_that_cannot_be_trained_is_a_problem(tmp_path, monkeypatch):
    from pada_graph.student import models

    real = models.load_tokenizer

    def broken(path):
        tokenizer = real(path)
        tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
        return tokenizer

    monkeypatch.setattr(models, "load_tokenizer", broken)
    check = found(config(tmp_path, method="vanilla"))["student"]
    assert not check.ok and "end-of-sequence" in check.text


@pytest.mark.parametrize("task", ["gsm8k"])
def test_extras_follow_the_configuration(task):
    assert needed_extras(RunConfig(task=task)) == {"train", "embed", "bedrock"}
    assert needed_extras(RunConfig(task=task, method="vanilla")) == {"train"}
