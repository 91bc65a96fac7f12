"""The Pattern Analysis Agent (A.2.1): from validation failures to named patterns and strategies.

Validation rows stop here: what leaves this file are analyses, patterns and strategies, and a strategy that quotes
or rephrases a held-out row is dropped.
"""

from collections.abc import Sequence

from pydantic import BaseModel, Field

from pada_graph.clustering import centroids, cluster, plane
from pada_graph.errors import InputError
from pada_graph.nodes.guard import gives_away
from pada_graph.nodes.run import Run
from pada_graph.state import (
    Analysis,
    AnalysisInput,
    AnalysisState,
    AnalysisUpdate,
    Centroid,
    Cluster,
    Clustering,
    ClusterTask,
    FailureBatch,
    FailureMap,
    PatternTask,
    Prediction,
    Strategy,
)
from pada_graph.teacher.ask import ask_items, ask_object


class AnalysisReply(BaseModel):
    """What the analyst says of one failure (Figure 2)."""

    sample_id: str
    error_cause: str = Field(min_length=1)
    scenario_category: str = Field(min_length=1)


class PatternReply(BaseModel):
    """What the analyst says of one cluster (Figure 3). Its representative_samples stay in the journal."""

    category_name: str = Field(min_length=1)
    error_pattern: str = Field(min_length=1)


class StrategyReply(BaseModel):
    """The strategy against one pattern (Figure 4)."""

    strategy_name: str = Field(min_length=1)
    generation_approach: str = Field(min_length=1)
    key_elements: list[str]


def select_errors(state: AnalysisInput, run: Run) -> AnalysisUpdate:
    """Subsample the validation errors of the newest model before analysing them (A.5; 50 in section 3.2).

    A method without pattern analysis has no patterns, or brings its own.

    Raises:
        InputError: the run has no such round.
    """
    iteration = state["iteration"]
    rounds = max(run.dir.iterations(), default=0) + 1
    if not 1 <= iteration <= rounds:
        raise InputError(
            f"round {iteration}: this run has rounds 1 to {rounds}; round t reads the answers of iteration t-1."
        )
    if not (run.method.pattern_analysis and run.config.patterns.enabled):
        return {"failure_batches": [], "patterns": run.method.patterns(run, iteration)}
    name = f"{run.dir.iteration(iteration - 1)}/predictions_validation.jsonl"
    failures: list[Prediction] = [p for p in run.dir.read_jsonl(name) if not p["correct"]]
    count = min(len(failures), run.config.patterns.max_errors)
    chosen = run.sample(failures, count, iteration, "select_errors")
    run.emit("select_errors", iteration=iteration, failures=len(failures), selected=count)
    size = run.config.patterns.analysis_batch
    return {"failure_batches": [chosen[start : start + size] for start in range(0, count, size)]}


def analyze_errors(state: FailureBatch, run: Run) -> AnalysisUpdate:
    """Determine the root cause and the scenario of each error e_j: a_j (A.2.1, Figure 2)."""
    iteration = state["iteration"]
    failures = {f"v{number}": failure for number, failure in enumerate(state["failures"], start=1)}

    def prompt(ids: Sequence[str]) -> str:
        return run.render("error_analysis", samples=[_sample(id_, failures[id_]) for id_ in ids])

    item = f"t{iteration}/analyze_errors/{state['batch']}"
    answer = ask_items(
        run.services.teacher, "analyst", item=item, ids=list(failures), prompt=prompt, schema=AnalysisReply
    )
    analyses: list[Analysis] = [
        {
            "iteration": iteration,
            "failure_id": failures[id_]["id"],
            "error_cause": reply.error_cause,
            "scenario_category": reply.scenario_category,
        }
        for id_, reply in sorted(answer.found.items(), key=lambda pair: list(failures).index(pair[0]))
    ]
    run.emit("analyze_errors", iteration=iteration, analysed=len(analyses), failures=len(failures), **run.spent())
    notes = [f"{item}: no analysis of {id_}: {why}" for id_, why in answer.problems.items()]
    return {"analyses": analyses, "notes": notes}


def _sample(id_: str, failure: Prediction) -> dict[str, str]:
    return {
        "sample_id": id_,
        "USER_QUERY": failure["prompt"],
        "MODEL_RESPONSE": failure["output"],
        "GROUND_TRUTH": failure["target"],
        "EVALUATION": failure["reason"] + (" The response was cut off at the length limit." * failure["truncated"]),
    }


def cluster_analyses(state: AnalysisState, run: Run) -> AnalysisUpdate:
    """Embed each analysis and group them into K clusters (equation 2)."""
    iteration, analyses = state["iteration"], state["analyses"]
    folder, config = run.folder(iteration), run.config.patterns
    run.dir.write_jsonl(f"{folder}/analyses.jsonl", analyses)
    if not analyses:
        return {"notes": [f"round {iteration}: no failure could be analysed"]}
    vectors = run.services.embedder.embed([f"{a['scenario_category']}: {a['error_cause']}" for a in analyses])
    found = cluster(vectors, config.min_clusters, config.max_clusters, run.config.seed)
    members = {
        k: [a["failure_id"] for a, label in zip(analyses, found.labels, strict=True) if label == k]
        for k in range(found.k)
    }
    clusters: list[Cluster] = [{"iteration": iteration, "cluster": k, "failure_ids": ids} for k, ids in members.items()]
    clustering: Clustering = {"iteration": iteration, "k": found.k, "method": found.method, "inertia": found.inertia}
    places: list[Centroid] = [
        {"iteration": iteration, "cluster": k, "centroid": [round(float(x), 6) for x in place]}
        for k, place in enumerate(centroids(vectors, found.labels))
    ]
    at, explained = plane(vectors)
    drawn: FailureMap = {
        "iteration": iteration,
        "explained": [round(share, 6) for share in explained],
        "places": [
            {"failure_id": a["failure_id"], "cluster": label, "x": round(float(x), 6), "y": round(float(y), 6)}
            for a, label, (x, y) in zip(analyses, found.labels, at, strict=True)
        ],
    }
    run.dir.write_json(f"{folder}/map.json", drawn)
    run.dir.write_jsonl(f"{folder}/centroids.jsonl", places)  # first: where clusters.jsonl is, they are (evolution.py)
    run.dir.write_jsonl(f"{folder}/clusters.jsonl", clusters)
    run.dir.write_json(f"{folder}/clustering.json", clustering)
    run.emit("cluster_analyses", iteration=iteration, k=found.k, method=found.method)
    return {"clusters": clusters, "clusterings": [clustering]}


def categorize_pattern(state: ClusterTask, run: Run) -> AnalysisUpdate:
    """Summarise the common characteristics of one cluster's errors: pattern_k (A.2.1, Figure 3)."""
    iteration, k = state["iteration"], state["cluster"]
    analyses = [
        {"sample_id": f"v{number}", "scenario_category": a["scenario_category"], "error_cause": a["error_cause"]}
        for number, a in enumerate(state["analyses"], start=1)
    ]
    item = f"t{iteration}/categorize_pattern/{k}"
    prompt = run.render("pattern_categorization", analyses=analyses)
    reply = ask_object(run.services.teacher, "analyst", item=item, prompt=prompt, schema=PatternReply)
    if reply is None:
        return {"notes": [f"{item}: no usable reply; cluster {k} is left out"]}
    run.emit("pattern", iteration=iteration, name=reply.category_name, size=len(analyses), **run.spent())
    return {
        "patterns": [
            {
                "iteration": iteration,
                "pattern_id": f"t{iteration}-p{k}",
                "cluster": k,
                "size": len(analyses),
                "category_name": reply.category_name,
                "error_pattern": reply.error_pattern,
            }
        ]
    }


def draft_strategy(state: PatternTask, run: Run) -> AnalysisUpdate:
    """Translate one pattern into a strategy for synthetic data generation: strategy_k (A.2.1, Figure 4)."""
    iteration, pattern = state["iteration"], state["pattern"]
    item = f"t{iteration}/draft_strategy/{pattern['cluster']}"
    categories = [{"category_name": pattern["category_name"], "error_pattern": pattern["error_pattern"]}]
    prompt = run.render("strategy_drafting", categories=categories, fields=run.task.generated_fields)
    reply = ask_object(run.services.teacher, "analyst", item=item, prompt=prompt, schema=StrategyReply, first=True)
    if reply is None:
        return {"notes": [f"{item}: no usable reply; the pattern has no strategy"]}
    text = "\n".join([reply.strategy_name, reply.generation_approach, *reply.key_elements, pattern["category_name"]])
    if gives_away(text, iteration, pattern["pattern_id"], run):
        return {"notes": [f"{item}: dropped, it repeats the held-out row that overlaps.jsonl names"]}
    strategy: Strategy = {
        "iteration": iteration,
        "strategy_id": f"t{iteration}-s{pattern['cluster']}",
        "pattern_id": pattern["pattern_id"],
        "category_name": pattern["category_name"],
        "strategy_name": reply.strategy_name,
        "generation_approach": reply.generation_approach,
        "key_elements": reply.key_elements,
    }
    run.emit("strategy", iteration=iteration, name=reply.strategy_name, **run.spent())
    return {"strategies": [strategy]}
