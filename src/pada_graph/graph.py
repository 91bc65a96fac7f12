"""PaDA-Agent as a LangGraph state machine (Figure 1, Algorithm 1): the topology, and nothing else."""

from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.runtime import Runtime

from pada_graph import lock, routing
from pada_graph.config import RunConfig
from pada_graph.nodes import (
    batch_end,
    collection,
    data_generation,
    evaluate,
    fine_tune,
    orchestrator,
    pattern_analysis,
    quality_control,
)
from pada_graph.nodes.open import open_run
from pada_graph.nodes.sessions import SESSIONS
from pada_graph.services import Services
from pada_graph.state import (
    AnalysisInput,
    AnalysisOutput,
    AnalysisState,
    BatchInput,
    BatchName,
    BatchOutput,
    BatchState,
    OneBatchState,
    PadaInput,
    PadaOutput,
    PadaState,
    RoundInput,
    RoundOutput,
    RoundState,
)

Graph = CompiledStateGraph[Any, Any, Any, Any]


def build_graph(
    services: Services | None = None,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    config_schema: type[RunConfig] = RunConfig,
) -> Graph:
    """Compile the whole agent.

    `services` replaces the real models (tests); `config_schema` may be a RunConfig with other defaults.
    Invoke it with `PadaInput` and `context=RunConfig(...)`.
    """
    graph = StateGraph(PadaState, config_schema, input_schema=PadaInput, output_schema=PadaOutput)
    graph.add_node("initialize", bind(orchestrator.initialize, services, config_schema))
    graph.add_node("fine_tune", bind(fine_tune.fine_tune, services, config_schema))
    graph.add_node("evaluate", bind(evaluate.evaluate, services, config_schema))
    graph.add_node("orchestrate", bind(orchestrator.orchestrate, services, config_schema))
    graph.add_node("pattern_analysis", build_pattern_analysis(services, config_schema))
    graph.add_node("plan_batches", bind(data_generation.plan_batches, services, config_schema))
    graph.add_node("synthesize_batches", without_checkpoints(build_synthesize_batches(services, config_schema)))
    graph.add_node("collect_batches", bind(collection.collect_batches, services, config_schema))
    graph.add_node("finalize", bind(orchestrator.finalize, services, config_schema))

    graph.add_edge(START, "initialize")
    graph.add_edge("initialize", "fine_tune")
    graph.add_conditional_edges("fine_tune", routing.route_training, ["evaluate", "finalize"])
    graph.add_edge("evaluate", "orchestrate")
    graph.add_conditional_edges("orchestrate", routing.route_iteration, ["pattern_analysis", "finalize"])
    graph.add_edge("pattern_analysis", "plan_batches")
    graph.add_edge("plan_batches", "synthesize_batches")
    graph.add_edge("synthesize_batches", "collect_batches")
    graph.add_conditional_edges("collect_batches", routing.route_growth, ["fine_tune", "finalize"])
    graph.add_edge("finalize", END)
    return graph.compile(checkpointer=checkpointer, name="pada").with_config(callbacks=[SESSIONS])


def build_pattern_analysis(
    services: Services | None = None, config_schema: type[RunConfig] = RunConfig, trial: bool = False
) -> Graph:
    """Compile the Pattern Analysis Agent: failures in, patterns and strategies out (A.2.1).

    A `trial` is for a run that exists: it takes the context's prompts, and writes beside the run's own files.
    """
    graph = StateGraph(AnalysisState, config_schema, input_schema=AnalysisInput, output_schema=AnalysisOutput)
    graph.add_node("select_errors", bind(pattern_analysis.select_errors, services, config_schema, trial))
    graph.add_node("analyze_errors", bind(pattern_analysis.analyze_errors, services, config_schema, trial))
    graph.add_node("cluster_analyses", bind(pattern_analysis.cluster_analyses, services, config_schema, trial))
    graph.add_node("categorize_pattern", bind(pattern_analysis.categorize_pattern, services, config_schema, trial))
    graph.add_node("draft_strategy", bind(pattern_analysis.draft_strategy, services, config_schema, trial))

    graph.add_edge(START, "select_errors")
    graph.add_conditional_edges("select_errors", routing.fan_out_failures, ["analyze_errors", "draft_strategy", END])
    graph.add_edge("analyze_errors", "cluster_analyses")
    graph.add_conditional_edges("cluster_analyses", routing.fan_out_clusters, ["categorize_pattern", END])
    graph.add_conditional_edges("categorize_pattern", routing.fan_out_patterns, ["draft_strategy", END])
    graph.add_edge("draft_strategy", END)
    return graph.compile(name="pattern_analysis").with_config(callbacks=[SESSIONS])


def build_synthesize_batches(services: Services | None = None, config_schema: type[RunConfig] = RunConfig) -> Graph:
    """Compile a round's fan-out: every batch through its own loop, none waits for another."""
    graph = StateGraph(RoundState, config_schema, input_schema=RoundInput, output_schema=RoundOutput)
    graph.add_node("open_batches", bind(data_generation.open_batches, services, config_schema))
    graph.add_node("synthesize_batch", build_synthesize_batch(services, config_schema))

    graph.add_edge(START, "open_batches")
    graph.add_conditional_edges("open_batches", routing.fan_out_batches, ["synthesize_batch", END])
    graph.add_edge("synthesize_batch", END)
    return graph.compile(name="synthesize_batches")


def build_synthesize_batch(
    services: Services | None = None, config_schema: type[RunConfig] = RunConfig, trial: bool = False
) -> Graph:
    """Compile the generate / quality-control loop of one batch (A.3, A.4). For a `trial` see build_one_batch."""
    graph = StateGraph(BatchState, config_schema, input_schema=BatchInput, output_schema=BatchOutput)
    graph.add_node("generate_batch", bind(data_generation.generate_batch, services, config_schema, trial))
    graph.add_node("quality_control", bind(quality_control.quality_control, services, config_schema, trial))
    graph.add_node("accept_batch", bind(batch_end.accept_batch, services, config_schema, trial))
    graph.add_node("reject_batch", bind(batch_end.reject_batch, services, config_schema, trial))

    graph.add_edge(START, "generate_batch")
    graph.add_edge("generate_batch", "quality_control")
    graph.add_conditional_edges(
        "quality_control", routing.quality_gate, ["accept_batch", "generate_batch", "reject_batch"]
    )
    graph.add_edge("accept_batch", END)
    graph.add_edge("reject_batch", END)
    return graph.compile(name="synthesize_batch").with_config(callbacks=[SESSIONS])


def build_one_batch(services: Services | None = None, config_schema: type[RunConfig] = RunConfig) -> Graph:
    """Compile that loop for one batch of an existing run, given by its name: for Studio.

    It is a trial: it takes the context's prompts, and writes beside the run's own files.
    """
    graph = StateGraph(OneBatchState, config_schema, input_schema=BatchName, output_schema=BatchOutput)
    graph.add_node("open_batch", bind(data_generation.open_batch, services, config_schema, trial=True))
    graph.add_node("synthesize_batch", build_synthesize_batch(services, config_schema, trial=True))

    graph.add_edge(START, "open_batch")
    graph.add_edge("open_batch", "synthesize_batch")
    graph.add_edge("synthesize_batch", END)
    return graph.compile(name="synthesize_batch").with_config(callbacks=[SESSIONS])


def without_checkpoints(subgraph: Graph) -> Callable[..., Any]:
    """Make a subgraph a node that keeps no checkpoints, which would grow with the rows.

    What a killed round had finished is in the journal of teacher calls. `compile(checkpointer=False)` will not do:
    LangGraph 1.2 leaves such a subgraph out of the drawing, and fails in it at durability="sync".
    """

    def run_subgraph(state: Any, config: RunnableConfig) -> Any:
        kept = {key: value for key, value in config["configurable"].items() if key not in _CHECKPOINTING}
        return subgraph.invoke(state, {**config, "configurable": kept})

    return run_subgraph


_CHECKPOINTING = ("__pregel_checkpointer", "__pregel_durability")


def bind(
    node: Callable[[Any, Any], Any],
    services: Services | None,
    config_schema: type[RunConfig],
    trial: bool = False,
) -> Callable[..., Any]:
    """Give a node its run: the directory named in the state, its configuration, task and services."""

    def bound(state: Mapping[str, Any], config: RunnableConfig, runtime: Runtime[RunConfig]) -> Any:
        session = SESSIONS.of(config)
        start = node is orchestrator.initialize
        run = open_run(state, config, runtime, services, config_schema, session, start, trial)
        with lock.at_work(run.dir.root):
            return node(state, run)

    bound.__name__, bound.__doc__ = node.__name__, node.__doc__
    return bound
