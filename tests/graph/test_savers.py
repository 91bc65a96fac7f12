"""The graph on LangGraph's three savers: in memory, SQLite, PostgreSQL (a real server that the fixture starts)."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver

from pada_graph import build_graph, run
from tests.fakes import FakeTeacher, FakeTrainer, KilledError, fake_services, write_sums
from tests.graph.test_loop import config
from tests.graph.test_resume import PaidTeacher, Session
from tests.postgres import server

SAVERS = ["memory", "sqlite", "postgres"]


@pytest.fixture(scope="module")
def sums(tmp_path_factory) -> Path:
    return write_sums(tmp_path_factory.mktemp("data") / "sums")


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with server() as address:
        yield address


@pytest.fixture(params=SAVERS)
def saver(request, tmp_path) -> Iterator[Any]:
    if request.param == "memory":
        yield InMemorySaver()
    elif request.param == "sqlite":
        with SqliteSaver.from_conn_string(str(tmp_path / "elsewhere.sqlite")) as sqlite:
            yield sqlite
    else:
        address = request.getfixturevalue("postgres")
        from langgraph.checkpoint.postgres import PostgresSaver

        with PostgresSaver.from_conn_string(address) as postgres:
            postgres.setup()
            yield postgres


def test_a_whole_run_and_it_is_not_repeated(sums, tmp_path, saver):
    settings = config(sums, iterations=1)
    metrics = run(settings, tmp_path / "run", services=fake_services(), checkpointer=saver)
    assert metrics["stop_reason"] == "the only round is done" and metrics["accounting"]["accepted"] == 10
    assert not (tmp_path / "run/checkpoints.sqlite").exists()
    trainer = FakeTrainer()
    again = run(settings, tmp_path / "run", services=fake_services(trainer=trainer), checkpointer=saver)
    assert again == metrics and trainer.jobs == []


def test_a_run_that_stopped_in_the_middle_repeats_no_finished_call(sums, tmp_path, saver):
    root = tmp_path / "run"
    first = Session(sums, root, stop_at=9, checkpointer=saver)
    assert isinstance(first.error, KilledError)
    second = Session(sums, root, checkpointer=saver)
    whole = Session(sums, tmp_path / "whole", checkpointer=saver)
    assert second.error is None and not first.teacher.paid & second.teacher.paid
    assert first.teacher.paid + second.teacher.paid == whole.teacher.paid
    assert [job.adapter.parent.name for job in second.trainer.jobs] == ["iteration_1"]
    training_file = "iteration_1/train.jsonl"
    assert (root / training_file).read_bytes() == (tmp_path / "whole" / training_file).read_bytes()


def test_the_bare_graph_stops_and_goes_on(sums, tmp_path, saver):
    settings, thread = config(sums, iterations=1), {"configurable": {"thread_id": str(tmp_path)}}
    first = PaidTeacher(tmp_path / "run", stop_at=9)
    with pytest.raises(KilledError):
        graph = build_graph(fake_services(teacher=first), saver)
        graph.invoke({"run_dir": str(tmp_path / "run")}, thread, context=settings, durability="sync")
    second = PaidTeacher(tmp_path / "run")
    graph = build_graph(fake_services(teacher=second), saver)
    result = graph.invoke(None, thread, context=settings, durability="sync")
    assert result["stop_reason"] == "the only round is done" and not first.paid & second.paid


def test_time_travel_forks_with_edited_strategies(sums, tmp_path, saver):
    settings, thread = config(sums, iterations=1), {"configurable": {"thread_id": str(tmp_path)}}
    graph = build_graph(fake_services(), saver)
    graph.invoke({"run_dir": str(tmp_path / "run")}, thread, context=settings, durability="sync")
    before = next(s for s in graph.get_state_history(thread) if s.next == ("plan_batches",))
    edited = {**before.values["strategies"][0], "strategy_id": "t1-s9", "generation_approach": "quite another way"}
    fork = graph.update_state(before.config, {"strategies": [edited]}, as_node="pattern_analysis")
    teacher = FakeTeacher()
    graph = build_graph(fake_services(teacher=teacher), saver)
    graph.invoke(None, fork, context=settings, durability="sync")
    assert any("quite another way" in prompt for role, *_, prompt in teacher.prompts if role == "generator")
    strategies = (tmp_path / "run/iteration_1/strategies.jsonl").read_text().splitlines()
    assert "t1-s9" in {json.loads(line)["strategy_id"] for line in strategies}
    parents = [s.config["configurable"]["checkpoint_id"] for s in graph.get_state_history(thread)]
    assert before.config["configurable"]["checkpoint_id"] in parents  # the past is kept


def test_a_fork_that_ends_sooner_shows_nothing_of_the_rounds_it_left(sums, tmp_path, saver):
    settings, thread = config(sums, iterations=2), {"configurable": {"thread_id": str(tmp_path)}}
    root = tmp_path / "run"
    graph = build_graph(fake_services(), saver)
    graph.invoke({"run_dir": str(root)}, thread, context=settings, durability="sync")
    left = {name: (root / name).read_bytes() for name in ("iteration_1/train.jsonl", "iteration_2/plan.jsonl")}
    planning = [s for s in graph.get_state_history(thread) if s.next == ("plan_batches",)][-1]
    assert planning.values["iteration"] == 1
    graph = build_graph(fake_services(teacher=FakeTeacher(rating=lambda item, attempt: 1.0)), saver)
    result = graph.invoke(None, planning.config, context=settings, durability="sync")
    assert "none of the 10 synthetic samples was accepted" in result["stop_reason"]
    assert {name: (root / "abandoned" / name).read_bytes() for name in left} == left
    assert not (root / "iteration_2").exists() and not (root / "iteration_1/adapter").exists()
    assert (root / "iteration_1/batches.jsonl").exists()  # of this branch
    page = (root / "report.html").read_text()
    assert "iteration 1" in page.lower() or "round 1" in page.lower()
    assert "iteration 2" not in page.lower() and "round 2" not in page.lower()


def test_the_state_holds_nothing_that_strict_serialisation_refuses(sums, tmp_path, saver, monkeypatch, caplog):
    monkeypatch.setenv("LANGGRAPH_STRICT_MSGPACK", "true")
    run(config(sums, iterations=1), tmp_path / "run", services=fake_services(), checkpointer=saver)
    heads = json.loads((tmp_path / "run/heads.json").read_text())
    stored = saver.get_tuple({"configurable": {"thread_id": heads["thread"], "checkpoint_ns": ""}})
    values = stored.checkpoint["channel_values"]
    assert values["best_iteration"] in (0, 1) and json.loads(json.dumps(values["evaluations"])) == values["evaluations"]
    assert [record.message for record in caplog.records if "unregistered" in record.message.lower()] == []
    assert [record.message for record in caplog.records if "blocked" in record.message.lower()] == []
