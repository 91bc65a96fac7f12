"""Model card and dataset card in the hub's conventions: lineage, evaluation with intervals, licences."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pada_graph.export.licences import data_obligations, licence, model_obligations
from pada_graph.export.model import Parity
from pada_graph.export.names import hub_id, public_name
from pada_graph.export.source import Source
from pada_graph.stats.accuracy import DEPENDENT, share_groups

if TYPE_CHECKING:
    from huggingface_hub import CardData

TEMPLATES = Path(__file__).parent
LIBRARIES = {"adapter": "peft", "merged": "transformers"}
RELATIONS = {"adapter": "adapter", "merged": "finetune"}


def model_card(source: Source, form: str, parity: Parity | None) -> str:
    """README.md of the adapter or of the merged model.

    Args:
        source: What is exported.
        form: "adapter" or "merged".
        parity: How the merged model compares with the adapter; None for the adapter.

    Raises:
        InputError: the run's validation rows are missing or damaged.
    """
    from huggingface_hub import EvalResult, ModelCardData

    test = source.scores["test"]  # None where another iteration was chosen, but for iteration 0
    hub, base, grader = source.task.hub, hub_id(source.config.student.model), _grader(source)
    name = f"{source.config.method} on {source.config.task_name}"
    results = [
        EvalResult(
            task_type="text-generation",
            dataset_type=hub[0] if hub else source.config.task_name,
            dataset_name=source.config.task_name,
            dataset_split="test",
            metric_type="accuracy",
            metric_name=f"accuracy, own split, answers graded by {grader}" if grader else "accuracy, own split",
            metric_value=round(score["accuracy"], 4),
        )
        for score in [test]
        if score
    ]
    data = ModelCardData(
        **licence(source.config.student.model),  # type: ignore[arg-type]
        library_name=LIBRARIES[form],
        base_model=base,
        base_model_relation=RELATIONS[form] if base else None,
        pipeline_tag="text-generation",
        tags=["pada-graph", "lora", *(["synthetic-data"] if source.samples else [])],
        model_name=name if results else None,
        eval_results=results or None,
    )
    return _render(
        "model.md.j2",
        data,
        source,
        form=form,
        parity=parity,
        choice=_choice(source),
        grader=grader,
        dependent=DEPENDENT * share_groups(map(source.task.group, source.run.read_jsonl("data/validation.jsonl"))),
        student=source.config.student.model,
        max_new_tokens=source.config.student.inference.max_new_tokens or source.task.max_new_tokens,
        obligations=model_obligations(source),
    )


def dataset_card(source: Source, rows: list[dict[str, Any]]) -> str:
    """README.md of the synthetic data."""
    from huggingface_hub import DatasetCardData

    data = DatasetCardData(
        license="other",
        task_categories=["text-generation"],
        size_categories="n<1K" if len(rows) < 1000 else "1K<n<10K" if len(rows) < 10_000 else "10K<n<100K",
        tags=["pada-graph", "synthetic"],
        configs=[{"config_name": "default", "data_files": "train.parquet"}],
    )
    held_out = {
        split: {row["id"] for row in source.run.read_jsonl(f"data/{split}.jsonl")} for split in ("validation", "test")
    }
    shared = {split: len(ids & {row["seed_id"] for row in rows}) for split, ids in held_out.items()}
    return _render(
        "dataset.md.j2",
        data,
        source,
        rows=rows,
        shared=shared,
        branches=Counter(row["branch"] for row in rows),
        obligations=data_obligations(source),
    )


def _render(template: str, data: "CardData", source: Source, **values: Any) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # Markdown, not HTML. What goes in is our own words, numbers, and names out of the configuration.
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["score"] = score_words
    text = environment.get_template(template).render(
        config=source.config,
        task=source.config.task_name.removesuffix(".py"),
        base=public_name(source.config.student.model),
        iteration=source.iteration,
        entry=source.scores,
        metrics=source.metrics,
        teachers={role: public_name(model) for role, model in source.teachers.items()},
        versions=source.run.read_json("environment.json"),
        files=source.run.read_json("data/manifest.json"),
        **values,
    )
    return f"---\n{data.to_yaml()}\n---\n\n{text.rstrip()}\n"


def _choice(source: Source) -> str:
    """Who chose this iteration, and whether it was tested."""
    best, tested = source.metrics["best_iteration"], "test was scored once, at the end"
    if len(source.metrics["iterations"]) == 1:
        return f"{tested.capitalize()}."
    if source.iteration == best:
        return f"The iteration was chosen on validation; {tested}."
    by_request = f"Iteration {source.iteration} was exported by request; validation chose iteration {best}, and"
    return f"{by_request} {tested if source.scores['test'] else 'this one was never tested'}."


def _grader(source: Source) -> str | None:
    """The judge where it graded answers: a part of the evaluation, not of the training."""
    return public_name(source.config.models.judge.model) if source.config.data.match == "judge" else None


def score_words(score: dict[str, Any] | None) -> str:
    """A score in percent with its interval."""
    if score is None:
        return "not scored"
    return f"{score['accuracy']:.1%} [{score['low']:.1%}, {score['high']:.1%}], {score['correct']} of {score['n']}"
