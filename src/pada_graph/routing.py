"""Every conditional edge of the graph, as a pure function of the state. None ever returns an empty list."""

from langgraph.graph import END
from langgraph.types import Send

from pada_graph.state import AnalysisState, BatchState, PadaState, RoundState


def route_iteration(state: PadaState) -> str:
    """Outer loop: another round of augmentation, or the end."""
    return "finalize" if state["stop_reason"] else "pattern_analysis"


def route_training(state: PadaState) -> str:
    """Evaluate the new student; a round whose training diverged has none and ends the run."""
    return "finalize" if state["stop_reason"] else "evaluate"


def fan_out_failures(state: AnalysisState) -> list[Send] | str:
    """One error-analysis call per batch of failures (A.5); a control brings patterns that need no analysis."""
    return [
        Send("analyze_errors", {**_round(state), "batch": number, "failures": failures})
        for number, failures in enumerate(state["failure_batches"])
    ] or fan_out_patterns(state)


def fan_out_clusters(state: AnalysisState) -> list[Send] | str:
    """One pattern per cluster."""
    analyses = {analysis["failure_id"]: analysis for analysis in state["analyses"]}
    return [
        Send(
            "categorize_pattern",
            {**_round(state), "cluster": c["cluster"], "analyses": [analyses[id_] for id_ in c["failure_ids"]]},
        )
        for c in state.get("clusters", [])
    ] or END


def fan_out_patterns(state: AnalysisState) -> list[Send] | str:
    """One strategy per pattern: this runs after each categorize_pattern task and sees that task's own pattern."""
    patterns = state.get("patterns", [])
    return [Send("draft_strategy", {**_round(state), "pattern": pattern}) for pattern in patterns] or END


def _round(state: AnalysisState) -> dict[str, object]:
    return {"run_dir": state["run_dir"], "iteration": state["iteration"]}


def fan_out_batches(state: RoundState) -> list[Send] | str:
    """One generate / quality-control loop per batch; they do not wait for one another."""
    strategies = {strategy["strategy_id"]: strategy for strategy in state["strategies"]}
    return [
        Send(
            "synthesize_batch",
            {"run_dir": state["run_dir"], "plan": plan, "strategy": strategies.get(plan["strategy_id"] or "")},
        )
        for plan in state["batches"]
    ] or END


def quality_gate(state: BatchState) -> str:
    """Inner loop: accept, regenerate with feedback, or give up after the last attempt (A.4)."""
    if state["open"] and state["attempts_left"]:
        return "generate_batch"
    return "accept_batch" if state["kept"] else "reject_batch"


def route_growth(state: PadaState) -> str:
    """Fine-tune again if the training set grew; a round without accepted samples ends the run."""
    return "finalize" if state["stop_reason"] else "fine_tune"
