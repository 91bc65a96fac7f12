"""What the report says of the models: their scores so far, what stands beside accuracy, and what looks wrong."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from pada_graph.accounting import total
from pada_graph.html.words import clip
from pada_graph.report.costs import by_role, seconds_so_far
from pada_graph.report.rounds import RoundFiles
from pada_graph.rundir import RunDir
from pada_graph.state import Prediction
from pada_graph.stats import describe, score
from pada_graph.stats.accuracy import DEPENDENT, share_groups
from pada_graph.task_file import task_name
from pada_graph.tasks import task_of_run
from pada_graph.tasks.base import Task

SPLITS = ("train", "validation", "test")


def metrics_so_far(run: RunDir, config: Mapping[str, Any], rounds: Sequence[RoundFiles]) -> dict[str, Any]:
    """metrics.json, or of an unfinished run the same keys as far as predictions, batches and journal tell."""
    if run.path("metrics.json").exists():
        metrics: dict[str, Any] = run.read_json("metrics.json")
        return metrics

    def scored(iteration: int | None, split: str) -> Any:
        predictions: list[Prediction] = run.rows_so_far(f"{run.iteration(iteration)}/predictions_{split}.jsonl")
        return score(predictions) if predictions else None

    train = len(run.rows_so_far("data/train.jsonl"))
    trained_on = {t: run.artifact(f"iteration_{t}/train.jsonl") for t in run.iterations()}  # None: no student yet
    return {
        "task": task_name(config["task"]),
        "method": config["method"],
        "seed": config["seed"],
        "best_iteration": None,
        "stop_reason": "",
        "notes": [],
        "untuned": {split: scored(None, split) for split in ("validation", "test")},
        "iterations": [
            {
                "iteration": t,
                "train_rows": train,
                "synthetic_rows": rows["count"] - train,
                **{split: scored(t, split) for split in SPLITS},
            }
            for t, rows in trained_on.items()
            if rows
        ],
        "comparison": None,
        "untuned_comparison": None,
        "accounting": total(outcome for files in rounds for outcome in files["outcomes"]),
        "teacher": by_role(run, config),
        "seconds": seconds_so_far(run),
    }


def collapsed(run: RunDir) -> list[str]:
    """Models that give one answer to most test or validation questions although the truth is more varied."""
    found = []
    for iteration in (None, *run.iterations()):
        for split in ("test", "validation"):
            predictions: list[Prediction] = run.rows_so_far(f"{run.iteration(iteration)}/predictions_{split}.jsonl")
            answers = Counter(item["parsed"] for item in predictions if item["parsed"] is not None)
            if not answers:
                continue
            answer, times = answers.most_common(1)[0]
            truth = Counter(item["target"] for item in predictions).most_common(1)[0][1]
            if times / len(predictions) > 0.6 and times > 1.5 * truth:
                share = f"{times} of {len(predictions)} {split} questions"
                found.append(f"{model_name(iteration)} answers {clip(answer, 40)!r} to {share}: it may have collapsed.")
                break
    return found


def task_of(run: RunDir, config: Mapping[str, Any]) -> Task:
    """The run's task. Configurations of earlier versions know no task files."""
    return task_of_run(run, config["task"], config.get("task_sha256"), config["data"]["match"])


def cut_off(run: RunDir, metrics: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """Tuned models that met the token limit in a fifth of their test answers, or of validation where no test is scored.

    A limit with more tokens than the longest target has bytes is not what cuts them: such a student does not end its
    answers. The untuned model often does not either; no limit would help it.
    """
    limit = config["student"]["inference"]["max_new_tokens"] or task_of(run, config).max_new_tokens
    found = []
    for model in metrics["iterations"]:
        split = "test" if model["test"] else "validation"
        answers = model[split]
        if answers and answers["truncated"] and 5 * answers["truncated"] >= answers["n"]:
            name = model_name(model["iteration"])
            rows: list[Prediction] = run.rows_so_far(f"{run.iteration(model['iteration'])}/predictions_{split}.jsonl")
            longest = max(len(row["target"].encode()) for row in rows)
            fix = "the student does not end its answers; train longer (student.training.epochs)"
            found.append(
                f"{name}: {answers['truncated']} of {answers['n']} {split} answers met the token limit ({limit}): "
                f"{fix if limit > longest else 'raise student.inference.max_new_tokens'}."
            )
    return found


def described(run: RunDir, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What stands beside accuracy, of every model that answered the test split: chance level, letters, measures."""
    chance = task_of(run, config).chance
    found = []
    for iteration in (None, *run.iterations()):
        predictions: list[Prediction] = run.rows_so_far(f"{run.iteration(iteration)}/predictions_test.jsonl")
        if predictions:
            found.append({"name": model_name(iteration), **score(predictions), **describe(predictions, chance)})
    return found


def dependent(run: RunDir, config: Mapping[str, Any]) -> str:
    """What has to be said of the intervals where validation's items come in groups; else nothing.

    Raises:
        InputError: the run's task file or rows are damaged.
    """
    task = task_of(run, config)
    return DEPENDENT * share_groups(task.group(row) for row in run.rows_so_far("data/validation.jsonl"))


def model_name(iteration: int | None) -> str:
    """The report's name of a model."""
    return "Untuned model" if iteration is None else f"Iteration {iteration}"


def loss_curves(run: RunDir) -> list[tuple[str, list[tuple[float, float]]]]:
    """(iteration, points of epoch and loss) of every training."""
    curves = []
    for t in run.iterations():
        lines = run.rows_so_far(f"iteration_{t}/training_log.jsonl")
        points = [(line["epoch"], line["loss"]) for line in lines if "loss" in line and "epoch" in line]
        curves.append((f"iteration {t}", points))
    return curves
