"""Checkpoints grow with the supersteps of a run, not with its rows; what was planned and written is in files."""

import json
import sqlite3
from pathlib import Path

import pytest
from benchmarks.growth import grow
from langgraph.checkpoint.memory import InMemorySaver

from pada_graph import build_graph
from pada_graph.errors import InputError
from tests.fakes import fake_services, write_sums
from tests.graph.test_loop import config


def test_checkpoints_do_not_grow_with_the_rows(tmp_path):
    few, many = (checkpoints(grow(tmp_path, rows, iterations=1)).stat().st_size for rows in (100, 600))
    assert many < 1.1 * few and many < 2e6


@pytest.mark.slow
def test_ten_thousand_rows_keep_checkpoints_under_fifty_megabytes(tmp_path):
    few, many = (checkpoints(grow(tmp_path, rows)).stat().st_size for rows in (1000, 10000))
    assert many < 50e6 and many < 1.5 * few


def checkpoints(directory: Path) -> Path:
    return directory / "checkpoints.sqlite"


def test_no_checkpoint_holds_a_synthetic_row_or_a_slot(tmp_path):
    directory = grow(tmp_path, 40, iterations=1)
    accepted = (directory / "iteration_1/synthetic_accepted.jsonl").read_text().splitlines()
    with sqlite3.connect(checkpoints(directory)) as connection:
        blobs = [blob for (blob,) in connection.execute("SELECT checkpoint FROM checkpoints")]
        blobs += [blob for (blob,) in connection.execute("SELECT value FROM writes")]
    stored = b"".join(blobs)
    assert len(accepted) == 20 and b"strategy_name" in stored
    for sample in map(json.loads, accepted):
        assert sample["id"].encode() not in stored and sample["row"]["prompt"].encode() not in stored


def run_until(node, services, tmp_path):
    """A run of one round that stops before `node`, if one is given; returns graph, thread and configuration."""
    graph = build_graph(services, InMemorySaver())
    thread = {"configurable": {"thread_id": "t"}}
    settings = config(write_sums(tmp_path / "sums"), iterations=1)
    stops = [node] if node else None
    graph.invoke({"run_dir": str(tmp_path / "run")}, thread, context=settings, interrupt_before=stops)
    return graph, thread, settings


def test_the_state_tells_how_each_strategys_batches_came_out(tmp_path):
    graph, thread, _ = run_until(None, fake_services(), tmp_path)
    state = graph.get_state(thread).values
    errors = next(outcome for outcome in state["outcomes"] if outcome["branch"] == "error")
    assert {o["strategy_id"] for o in state["outcomes"]} == {None, *(s["strategy_id"] for s in state["strategies"])}
    assert (errors["batches"], errors["accepted_batches"], errors["attempts"]) == (2, 2, 2)
    assert (errors["first_score"], errors["best_score"], errors["requested"], errors["accepted"]) == (9.0, 9.0, 5, 5)
    assert (tmp_path / f"run/iteration_1/batches/{errors['lowest_batch']}.json").exists()


def test_strategies_edited_before_the_plan_reach_the_generator(tmp_path):
    services = fake_services()
    graph, thread, settings = run_until("plan_batches", services, tmp_path)
    edited = [
        {**s, "generation_approach": "only with prime numbers"} for s in graph.get_state(thread).values["strategies"]
    ]
    before = len(graph.get_state(thread).values["strategies"])
    graph.update_state(thread, {"strategies": [{**edited[0], "strategy_id": "t1-mine"}]})
    graph.invoke(None, thread, context=settings)
    prompts = [p for role, item, _, p in services.teacher.prompts if role == "generator" and "t1-mine" in item]
    assert before and prompts and all("only with prime numbers" in prompt for prompt in prompts)


def test_a_plan_that_was_made_anew_is_refused_before_any_call(tmp_path):
    services = fake_services()
    graph, thread, settings = run_until("synthesize_batches", services, tmp_path)
    plan = tmp_path / "run/iteration_1/plan.jsonl"
    plan.write_text(plan.read_text().replace("t1-e-b0", "t1-e-b9"))
    asked = len(services.teacher.prompts)
    with pytest.raises(InputError, match=r"plan\.jsonl: is not the plan that this state belongs to"):
        graph.invoke(None, thread, context=settings)
    assert len(services.teacher.prompts) == asked
