"""Studio's synthesize_batch: one batch of an existing run by its name, beside the run's own files."""

import pytest

from pada_graph import run
from pada_graph.errors import InputError
from pada_graph.graph import build_one_batch
from tests.fakes import FakeTeacher, fake_services, jsonl, sums_config, write_sums


@pytest.fixture
def finished(tmp_path):
    run(sums_config(write_sums(tmp_path / "sums")), tmp_path / "run", services=fake_services())
    return tmp_path / "run"


def carried(finished, teacher, **named):
    graph = build_one_batch(fake_services(teacher=teacher))
    return graph.invoke({"run_dir": str(finished), **named})["outcomes"][0]


def test_a_batch_is_written_anew_from_the_runs_plan_and_strategy(finished):
    own = {path: path.read_bytes() for path in (finished / "iteration_1").rglob("*.json*")}
    plan = next(plan for plan in jsonl(finished / "iteration_1/plan.jsonl") if plan["strategy_id"])
    teacher = FakeTeacher()
    outcome = carried(finished, teacher, batch_id=plan["batch_id"])
    assert outcome["batch_id"] == f"studio-{plan['batch_id']}" and outcome["strategy_id"] == plan["strategy_id"]
    assert outcome["requested"] == len(plan["slots"]) == outcome["accepted"]
    assert "write more of that kind" in next(prompt for role, *_, prompt in teacher.prompts if role == "generator")
    assert {path: path.read_bytes() for path in own} == own


def test_another_wording_of_the_strategy_reaches_the_generator(finished):
    plan = next(plan for plan in jsonl(finished / "iteration_1/plan.jsonl") if plan["strategy_id"])
    teacher = FakeTeacher()
    carried(finished, teacher, batch_id=plan["batch_id"], generation_approach="Only prices.")
    asked = next(prompt for role, *_, prompt in teacher.prompts if role == "generator")
    assert "Only prices." in asked and "write more of that kind" not in asked


def test_an_unknown_batch_is_refused_with_those_there_are(finished):
    plans = jsonl(finished / "iteration_1/plan.jsonl")
    with pytest.raises(InputError, match=f"no batch 'b9'.*{plans[0]['batch_id']}"):
        carried(finished, FakeTeacher(), batch_id="b9")


def test_another_wording_for_a_batch_without_a_strategy_is_refused_before_anything_is_asked(finished):
    plan = next(plan for plan in jsonl(finished / "iteration_1/plan.jsonl") if not plan["strategy_id"])
    teacher = FakeTeacher()
    with pytest.raises(InputError, match=f"^batch {plan['batch_id']} follows no strategy"):
        carried(finished, teacher, batch_id=plan["batch_id"], generation_approach="Only prices.")
    assert teacher.prompts == []


def test_a_machine_that_cannot_check_samples_is_no_fault_of_the_sample(finished, monkeypatch):
    def no_sandbox(*_):
        raise InputError("the sandbox does not start here")

    monkeypatch.setattr("pada_graph.methods.base.Generating.row", no_sandbox)
    plan = jsonl(finished / "iteration_1/plan.jsonl")[0]
    with pytest.raises(InputError, match="the sandbox does not start here"):
        carried(finished, FakeTeacher(), batch_id=plan["batch_id"])
