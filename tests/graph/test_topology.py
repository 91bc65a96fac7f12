"""The drawn graph is the compiled graph, and every route of the design is in it."""

from pathlib import Path

from langgraph.graph import END
from langgraph.types import Send

from pada_graph import build_graph, routing
from pada_graph.graph import build_one_batch, build_pattern_analysis, build_synthesize_batch, build_synthesize_batches

DOCS = Path(__file__).parents[2] / "docs"


def edges(graph) -> set[tuple[str, str]]:
    return {(edge.source, edge.target) for edge in graph.get_graph().edges}


def test_the_committed_drawing_is_current():
    drawn = build_graph().get_graph(xray=True).draw_mermaid()
    assert (DOCS / "graph.mmd").read_text(encoding="utf-8") == drawn, "run `make graph`"
    assert (DOCS / "graph.svg").read_text(encoding="utf-8").lstrip().startswith("<svg")


def test_the_outer_loop_has_the_designs_edges():
    assert edges(build_graph()) == {
        ("__start__", "initialize"),
        ("initialize", "fine_tune"),
        ("fine_tune", "evaluate"),
        ("fine_tune", "finalize"),
        ("evaluate", "orchestrate"),
        ("orchestrate", "pattern_analysis"),
        ("orchestrate", "finalize"),
        ("pattern_analysis", "plan_batches"),
        ("plan_batches", "synthesize_batches"),
        ("synthesize_batches", "collect_batches"),
        ("collect_batches", "fine_tune"),
        ("collect_batches", "finalize"),
        ("finalize", "__end__"),
    }


def test_a_round_sends_its_batches_out_from_the_plan():
    assert edges(build_synthesize_batches()) == {
        ("__start__", "open_batches"),
        ("open_batches", "synthesize_batch"),
        ("open_batches", "__end__"),
        ("synthesize_batch", "__end__"),
    }


def test_the_inner_loop_can_accept_regenerate_or_reject():
    assert edges(build_synthesize_batch()) >= {
        ("generate_batch", "quality_control"),
        ("quality_control", "accept_batch"),
        ("quality_control", "generate_batch"),
        ("quality_control", "reject_batch"),
    }


def test_one_batch_is_opened_by_its_name():
    assert edges(build_one_batch()) == {
        ("__start__", "open_batch"),
        ("open_batch", "synthesize_batch"),
        ("synthesize_batch", "__end__"),
    }


def test_pattern_analysis_fans_out_three_times():
    assert edges(build_pattern_analysis()) >= {
        ("select_errors", "analyze_errors"),
        ("analyze_errors", "cluster_analyses"),
        ("cluster_analyses", "categorize_pattern"),
        ("categorize_pattern", "draft_strategy"),
    }


def test_studio_input_is_scalars_only():
    schema = build_graph().get_input_jsonschema()
    assert {p["type"] for p in schema["properties"].values()} <= {"string", "integer"}


def test_no_router_returns_an_empty_list():
    analysis = {"run_dir": "r", "iteration": 1, "failure_batches": [], "analyses": [], "clusters": [], "patterns": []}
    assert routing.fan_out_failures(analysis) == END
    assert routing.fan_out_clusters(analysis) == END
    assert routing.fan_out_patterns(analysis) == END
    assert routing.fan_out_batches({"run_dir": "r", "batches": [], "strategies": []}) == END


def test_batches_get_their_own_strategy_and_errors_get_none():
    plans = [{"batch_id": "a", "strategy_id": "s1"}, {"batch_id": "b", "strategy_id": None}]
    state = {"run_dir": "r", "batches": plans, "strategies": [{"strategy_id": "s1"}, {"strategy_id": "s2"}]}
    sends = routing.fan_out_batches(state)
    assert [type(s) for s in sends] == [Send, Send]
    assert [s.arg["strategy"] for s in sends] == [{"strategy_id": "s1"}, None]


def test_the_gate_stops_after_the_last_attempt():
    gate = routing.quality_gate
    assert gate({"open": [], "attempts_left": 2, "kept": [1]}) == "accept_batch"
    assert gate({"open": ["a"], "attempts_left": 2, "kept": []}) == "generate_batch"
    assert gate({"open": ["a"], "attempts_left": 2, "kept": [1]}) == "generate_batch"
    assert gate({"open": ["a"], "attempts_left": 0, "kept": []}) == "reject_batch"
    assert gate({"open": ["a"], "attempts_left": 0, "kept": [1]}) == "accept_batch"


def test_a_batch_that_is_refused_whole_is_not_asked_for_again():
    assert routing.quality_gate({"open": [], "attempts_left": 3, "kept": []}) == "reject_batch"
