"""Studio's graphs for an existing run: a batch by its name, a round's analysis, both beside the run's own files."""

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from pada_graph import RunConfig, run
from pada_graph.errors import InputError
from pada_graph.graph import build_graph, build_one_batch, build_pattern_analysis
from pada_graph.prompts import shipped
from tests.fakes import FakeTeacher, fake_services, jsonl, sums_config, write_sums

LINE = "Take your time over it."


@pytest.fixture
def finished(tmp_path):
    run(sums_config(write_sums(tmp_path / "sums")), tmp_path / "run", services=fake_services())
    return tmp_path / "run"


@pytest.fixture
def plan(finished):
    return next(plan for plan in jsonl(finished / "iteration_1/plan.jsonl") if plan["strategy_id"])


def carried(finished, teacher, context=None, **named):
    graph = build_one_batch(fake_services(teacher=teacher))
    return graph.invoke({"run_dir": str(finished), **named}, context=context)["outcomes"][0]


def analysed(finished, teacher, context=None):
    graph = build_pattern_analysis(fake_services(teacher=teacher), trial=True)
    return graph.invoke({"run_dir": str(finished), "iteration": 1}, context=context)


def edited(*names):
    return RunConfig(prompts={name: f"{shipped(name)}\n{LINE} {name}" for name in names})


def files(finished):
    """What the run has, and when it was written; what trials wrote is left out."""
    paths = (path for path in finished.rglob("*") if path.is_file() and "trial" not in path.parts)
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def written(finished):
    folder = finished / "iteration_1/trial"
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def ends(teacher, role):
    return {prompt.rpartition("\n")[2] for asked, *_, prompt in teacher.prompts if asked == role}


def test_a_batch_is_written_anew_from_the_runs_plan_and_strategy(finished, plan):
    own, teacher = files(finished), FakeTeacher()
    outcome = carried(finished, teacher, batch_id=plan["batch_id"])
    assert outcome["batch_id"] == f"studio-{plan['batch_id']}" and outcome["strategy_id"] == plan["strategy_id"]
    assert outcome["requested"] == len(plan["slots"]) == outcome["accepted"]
    assert outcome["file"] == f"iteration_1/trial/batches/{outcome['batch_id']}.json"
    assert "write more of that kind" in next(prompt for role, *_, prompt in teacher.prompts if role == "generator")
    assert files(finished) == own
    name = outcome["batch_id"]
    assert written(finished) == {f"batches/{name}.json", f"overlaps/{name}-0.jsonl"}


def test_another_wording_of_the_strategy_reaches_the_generator(finished, plan):
    teacher = FakeTeacher()
    carried(finished, teacher, batch_id=plan["batch_id"], generation_approach="Only prices.")
    asked = next(prompt for role, *_, prompt in teacher.prompts if role == "generator")
    assert "Only prices." in asked and "write more of that kind" not in asked


def test_an_unknown_batch_is_refused_with_those_there_are(finished):
    plans = jsonl(finished / "iteration_1/plan.jsonl")
    with pytest.raises(InputError, match=f"no batch 'b9'.*{plans[0]['batch_id']}"):
        carried(finished, FakeTeacher(), batch_id="b9")


def test_a_batch_is_tried_with_edited_prompts_and_the_run_stays_as_it_is(finished, plan):
    own, teacher = files(finished), FakeTeacher()
    outcome = carried(finished, teacher, edited("generate_from_pattern", "quality_control"), batch_id=plan["batch_id"])
    assert outcome["accepted"] == len(plan["slots"])
    assert ends(teacher, "generator") == {f"{LINE} generate_from_pattern"}
    assert ends(teacher, "judge") == {f"{LINE} quality_control"}
    assert files(finished) == own
    again = FakeTeacher()
    carried(finished, again, batch_id=plan["batch_id"])
    assert not any(LINE in prompt for *_, prompt in again.prompts)


def test_the_analysis_of_a_round_is_tried_with_edited_prompts_and_the_run_stays_as_it_is(finished):
    own, teacher = files(finished), FakeTeacher()
    result = analysed(finished, teacher, edited("error_analysis", "strategy_drafting"))
    assert result["patterns"] and len(result["strategies"]) == len(result["patterns"])
    asked = ends(teacher, "analyst")
    assert {f"{LINE} error_analysis", f"{LINE} strategy_drafting"} < asked
    assert f"{LINE} pattern_categorization" not in asked
    assert files(finished) == own
    assert jsonl(finished / "iteration_1/trial/analyses.jsonl") == result["analyses"]
    overlaps = {f"overlaps/{pattern['pattern_id']}.jsonl" for pattern in result["patterns"]}
    clusters = {"clusters.jsonl", "clustering.json", "centroids.jsonl", "map.json"}
    assert written(finished) == {"analyses.jsonl"} | clusters | overlaps


def test_a_trial_asks_with_the_prompts_of_the_run_where_none_is_edited(tmp_path):
    own = edited("error_analysis")
    config = sums_config(write_sums(tmp_path / "sums"), prompts=own.prompts)
    run(config, tmp_path / "run", services=fake_services())
    teacher = FakeTeacher()
    analysed(tmp_path / "run", teacher, edited("strategy_drafting"))
    assert {f"{LINE} error_analysis", f"{LINE} strategy_drafting"} < ends(teacher, "analyst")


def test_whoever_watches_a_trial_sees_its_events(finished, plan):
    graph = build_one_batch(fake_services())
    named = {"run_dir": str(finished), "batch_id": plan["batch_id"]}
    events = [event for _, _, event in graph.stream(named, stream_mode=["custom"], subgraphs=True)]
    assert [event["event"] for event in events] == ["quality_control", "batch"]


def test_the_run_itself_takes_no_edited_prompts(finished):
    graph, thread = build_graph(fake_services(), InMemorySaver()), {"configurable": {"thread_id": "one"}}
    graph.update_state(thread, {"run_dir": str(finished), "iteration": 1}, as_node="pattern_analysis")
    with pytest.raises(InputError, match=r"other prompts \(quality_control\).*synthesize_batch try them on this run"):
        graph.invoke(None, thread, context=edited("quality_control"))


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
