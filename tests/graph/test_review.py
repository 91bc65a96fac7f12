"""A person edits the strategies between pattern analysis and generation."""

import json

from langgraph.checkpoint.memory import InMemorySaver

from pada_graph import build_graph
from pada_graph.state import edited
from tests.fakes import FakeTeacher, fake_services, write_sums
from tests.graph.test_loop import config

WORDS = "write of ships alone"


def test_strategies_are_replaced_by_id_and_an_emptied_one_is_not_followed(tmp_path):
    sums = write_sums(tmp_path / "sums")
    settings, thread = config(sums, iterations=1), {"configurable": {"thread_id": "review"}}
    teacher = FakeTeacher()
    graph = build_graph(fake_services(teacher=teacher), InMemorySaver())
    start = {"run_dir": str(tmp_path / "run")}
    graph.invoke(start, thread, context=settings, interrupt_before=["plan_batches"], durability="sync")
    first, *others = graph.get_state(thread).values["strategies"]
    assert others and "generator" not in {role for role, *_ in teacher.prompts}
    emptied = [{**other, "generation_approach": " "} for other in others]
    graph.update_state(thread, {"strategies": [{**first, "generation_approach": WORDS}, *emptied]})
    result = graph.invoke(None, thread, context=settings, durability="sync")
    assert len(result["strategies"]) == 1 + len(others)
    assert any(WORDS in prompt for role, *_, prompt in teacher.prompts if role == "generator")
    plan = [json.loads(line) for line in (tmp_path / "run/iteration_1/plan.jsonl").read_text().splitlines()]
    assert {batch["strategy_id"] for batch in plan} - {None} == {first["strategy_id"]}
    assert result["accounting"][0]["requested"] == sum(len(batch["slots"]) for batch in plan)


def test_the_reducer_keeps_order_and_adds_what_is_new():
    known = [{"strategy_id": "a", "strategy_name": "1"}, {"strategy_id": "b", "strategy_name": "2"}]
    new = [{"strategy_id": "c", "strategy_name": "3"}, {"strategy_id": "a", "strategy_name": "4"}]
    assert [(s["strategy_id"], s["strategy_name"]) for s in edited(known, new)] == [("a", "4"), ("b", "2"), ("c", "3")]
