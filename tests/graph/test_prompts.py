"""A run whose configuration brings prompts of its own asks with them, wherever its method asks."""

import pytest

from pada_graph import run
from pada_graph.prompts import shipped
from tests.fakes import FakeTeacher, fake_services, jsonl, sums_config, write_sums

LINE = "Take your time over it."
PADA = (
    "error_analysis", "pattern_categorization", "strategy_drafting", "generate_from_pattern", "generate_from_errors",
    "quality_control", "answer_verification",
)  # fmt: skip


@pytest.mark.parametrize(
    ("method", "names"),
    [
        ("pada", PADA),
        ("auggpt", ("auggpt",)),
        ("llms_as_instructors", ("llms_as_instructors",)),
        ("llm2llm", ("llm2llm",)),
    ],
)
def test_every_question_of_a_run_is_asked_with_its_own_prompt(tmp_path, method, names):
    prompts = {name: f"{shipped(name)}\n{LINE} {name}" for name in names}
    quality = {"verify_answers": True} if method == "pada" else {}
    config = sums_config(write_sums(tmp_path / "sums"), method=method, prompts=prompts, quality=quality)
    teacher = FakeTeacher()
    run(config, tmp_path / "run", services=fake_services(teacher=teacher))
    ends = {prompt.rpartition("\n")[2] for *_, prompt in teacher.prompts}
    assert ends == {f"{LINE} {name}" for name in names}


def test_the_lineage_of_a_sample_tells_one_prompt_from_another(tmp_path):
    hashes = []
    for name, prompts in (("plain", {}), ("own", {"auggpt": shipped("auggpt") + LINE})):
        config = sums_config(write_sums(tmp_path / name), method="auggpt", prompts=prompts)
        run(config, tmp_path / f"run-{name}", services=fake_services(teacher=FakeTeacher()))
        samples = jsonl(tmp_path / f"run-{name}/iteration_1/synthetic_accepted.jsonl")
        hashes.append({sample["prompt_sha256"] for sample in samples})
    assert hashes[0] and hashes[1] and not hashes[0] & hashes[1]
