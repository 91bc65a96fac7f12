"""What licences ask of an export: which Llama took part, what is shown, what it may be called, what outputs are for."""

import pytest

from pada_graph.config_file import parse_config
from pada_graph.export.licences import (
    AGREEMENTS,
    UNKNOWN,
    agreement,
    data_obligations,
    licence,
    model_obligations,
    name_begins,
    notice,
)
from pada_graph.export.source import Source
from pada_graph.rundir import RunDir

QWEN, SMOL = "Qwen/Qwen3-0.6B", "builtin:smollm2-135m"
LLAMA_2, LLAMA_3, LLAMA_32 = (
    "meta-llama/Llama-2-7b-chat-hf",
    "meta-llama/Meta-Llama-3-8B-Instruct",
    "meta-llama/Llama-3.2-1B-Instruct",
)
LLAMA_33_TEACHER = "bedrock_converse:us.meta.llama3-3-70b-instruct-v1:0"
LLAMA_3_TEACHER = "bedrock_converse:meta.llama3-8b-instruct-v1:0"


def source(student: str, teacher: str, method: str = "pada", samples: int = 1) -> Source:
    models = {role: {"model": teacher} for role in ("analyst", "generator", "judge")}
    config = parse_config({"method": method, "student": {"model": student}, "models": models}, "test")
    return Source(RunDir("nowhere"), config, {}, 1, [{}] * samples)


@pytest.mark.parametrize(
    ("model", "version"),
    [
        ("meta-llama/Meta-Llama-3-8B-Instruct", "3"),
        ("unsloth/llama-3-8b", "3"),
        ("meta-llama/Llama-2-7b-chat-hf", "2"),
        ("meta-llama/Llama-2-13b-hf", "2"),
        ("meta-llama/Llama-3.1-8B", "3.1"),
        ("meta-llama/Llama-3.2-1B-Instruct", "3.2"),
        ("nvidia/Llama-3_3-Nemotron-Super-49B-v1", "3.3"),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "4"),
        ("bedrock_converse:us.meta.llama3-3-70b-instruct-v1:0", "3.3"),
        ("bedrock_converse:meta.llama3-1-8b-instruct-v1:0", "3.1"),
        ("bedrock_converse:meta.llama3-8b-instruct-v1:0", "3"),
        ("groq:llama3-70b-8192", "3"),
        ("ollama:llama3.2:1b", "3.2"),
        ("llama3:8b", "3"),
        ("gguf:/models/Llama-3.2-3B-Instruct-Q4_K_M.gguf", "3.2"),
        ("/data/models/Llama-3.2-1B/", "3.2"),
    ],
)
def test_a_llama_is_known_by_its_version_and_not_by_its_size(model, version):
    assert agreement(model) == AGREEMENTS[version]
    assert licence(model) == {"license": f"llama{version}"}


@pytest.mark.parametrize(
    "model",
    [
        "deepseek-ai/DeepSeek-R1-Distill-Llama-8B",
        "meta-llama/Llama-Guard-3-1B",
        "codellama/CodeLlama-7b",
        "huggyllama/llama-30b",
        "meta-llama/Llama-3.9-8B",
    ],
)
def test_a_llama_that_does_not_say_which_has_another_licence_and_the_obligations_all_the_same(model):
    assert agreement(model) == UNKNOWN
    assert licence(model)["license"] == "other"
    assert name_begins(source(model, "openai:gpt-x")) == "Llama"
    assert model_obligations(source(model, "openai:gpt-x"))[0].startswith("Built with Llama: the base model is")


@pytest.mark.parametrize(
    "model",
    ["/data/llama8_runs/base", "ollama:mistral", "TinyLlama/TinyLlama-1.1B-Chat-v1.0", "open_llama_3b", QWEN, SMOL],
)
def test_what_only_sounds_like_one_is_no_llama(model):
    assert agreement(model) is None


def test_apache_is_known_where_it_is_and_another_licence_has_its_place():
    assert licence(SMOL) == licence("HuggingFaceTB/SmolLM2-360M-Instruct") == {"license": "apache-2.0"}
    place = {"license_name": "same-as-base-model", "license_link": f"https://huggingface.co/{QWEN}"}
    assert licence(QWEN) == {"license": "other", **place}


@pytest.mark.parametrize(
    ("student", "teacher", "shown", "begins", "forbidden"),
    [
        (LLAMA_32, "openai:gpt-x", "Built with Llama:", "Llama", False),
        (QWEN, LLAMA_33_TEACHER, "Built with Llama:", "Llama", False),
        (LLAMA_3, "openai:gpt-x", "Built with Meta Llama 3:", "Llama 3", False),
        (LLAMA_3, LLAMA_3_TEACHER, "Built with Meta Llama 3:", "Llama 3", False),
        (LLAMA_3, LLAMA_33_TEACHER, "Built with Meta Llama 3:", "Llama 3", False),
        (QWEN, LLAMA_3_TEACHER, "Built with Meta Llama 3:", "Llama 3", True),
        (LLAMA_32, LLAMA_3_TEACHER, "Built with Meta Llama 3:", "Llama 3", True),
        (LLAMA_2, "openai:gpt-x", "", "", False),
        (QWEN, "ollama:llama2:13b", "", "", True),
        (QWEN, "openai:gpt-x", "", "", False),
    ],
)
def test_each_llama_licence_asks_its_own(student, teacher, shown, begins, forbidden):
    found = model_obligations(source(student, teacher))
    assert any(sentence.startswith(shown) for sentence in found) if shown else "Built with" not in " ".join(found)
    assert name_begins(source(student, teacher)) == begins
    assert any("Warning" in sentence and "(1.b.v)" in sentence for sentence in found) is forbidden


def test_a_warning_names_who_may_not_teach_whom():
    (warning,) = [s for s in model_obligations(source(QWEN, LLAMA_3_TEACHER)) if s.startswith("Warning")]
    assert "the analyst is bedrock_converse:meta.llama3-8b-instruct-v1:0; the generator is" in warning
    assert warning.endswith(
        f"forbids that its outputs improve another large language model (1.b.v), and {QWEN} is one."
    )
    assert warning in data_obligations(source(QWEN, LLAMA_3_TEACHER))


@pytest.mark.parametrize(
    "untaught", [source(QWEN, LLAMA_33_TEACHER, samples=0), source(QWEN, LLAMA_33_TEACHER, "vanilla_repeated")]
)
def test_a_teacher_whose_rows_no_student_saw_asks_for_nothing(untaught):
    assert (name_begins(untaught), untaught.teachers) == ("", {})
    assert "Llama" not in " ".join(model_obligations(untaught) + data_obligations(untaught))


def test_a_derivative_comes_with_its_notice_and_the_place_of_the_agreement():
    assert notice(LLAMA_32) == (
        "Llama 3.2 is licensed under the Llama 3.2 Community License, Copyright © Meta Platforms, Inc. "
        "All Rights Reserved.\n"
    )
    assert notice(LLAMA_3).startswith("Meta Llama 3 is licensed under the Meta Llama 3 Community License, Copyright © ")
    assert notice(LLAMA_2).startswith("Llama 2 is licensed under the LLAMA 2 Community License, Copyright (c) Meta")
    assert notice(QWEN) is notice("codellama/CodeLlama-7b") is None
    place = "https://github.com/meta-llama/llama-models/blob/main/models/llama3_2/LICENSE"
    assert any(
        sentence.endswith(f"the copy has to be added: {place}")
        for sentence in model_obligations(source(LLAMA_32, "openai:gpt-x"))
    )
