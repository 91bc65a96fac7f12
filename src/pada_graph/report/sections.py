"""What each section of the report shows, read from the files of the run directory that exist so far."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

from pada_graph.accounting import total
from pada_graph.errors import InputError
from pada_graph.rundir import RunDir
from pada_graph.state import Fates, Prediction
from pada_graph.stats import describe, score
from pada_graph.tasks import get_task

LONGEST = 1500  # characters shown of one text
SPLITS = ("train", "validation", "test")
# Keyword arguments of a teacher model that cannot be secrets; any other text among them is not shown.
_SHOWN = {"model", "model_provider", "base_url", "region_name"}


def rows(run: RunDir, name: str) -> list[Any]:
    """All rows of a JSONL file; none where it is missing, and without a last line that is still being written.

    Raises:
        InputError: another line is damaged.
    """
    path = run.path(name)
    try:
        text = path.read_text(encoding="utf-8")
        return [json.loads(line) for line in text[: text.rfind("\n") + 1].split("\n") if line]
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: damaged ({error}).") from error


def iterations(run: RunDir) -> list[int]:
    """Iterations that have a folder, in order."""
    folders = (re.fullmatch(r"iteration_(\d+)", path.name) for path in run.root.glob("iteration_*"))
    return sorted(int(match[1]) for match in folders if match)


def metrics_so_far(run: RunDir, config: Mapping[str, Any]) -> dict[str, Any]:
    """metrics.json, or of an unfinished run the same keys as far as predictions and batches tell."""
    if run.path("metrics.json").exists():
        metrics: dict[str, Any] = run.read_json("metrics.json")
        return metrics

    def scored(iteration: int | None, split: str) -> Any:
        predictions: list[Prediction] = rows(run, f"{run.iteration(iteration)}/predictions_{split}.jsonl")
        return score(predictions) if predictions else None

    outcomes = [row for t in iterations(run) for row in rows(run, f"iteration_{t}/batches.jsonl")]
    train = run.artifact("data/train.jsonl")
    return {
        "task": config["task"],
        "method": config["method"],
        "seed": config["seed"],
        "best_iteration": None,
        "stop_reason": "",
        "notes": [],
        "untuned": {split: scored(None, split) for split in ("validation", "test")},
        "iterations": [
            {
                "iteration": t,
                "train_rows": train["count"] if train else None,
                "synthetic_rows": sum(len(rows(run, f"iteration_{u}/synthetic_accepted.jsonl")) for u in range(t + 1)),
                **{split: scored(t, split) for split in SPLITS},
            }
            for t in iterations(run)
        ],
        "comparison": None,
        "accounting": total(outcomes),
        "teacher": {},
        "seconds": {},
    }


def pattern_rounds(run: RunDir) -> list[dict[str, Any]]:
    """Per round: its patterns with key letter, strategies, accepted samples and the analyses behind them (Table 3).

    A category that several rounds name alike keeps its letter.
    """
    keys: dict[str, int] = {}
    rounds = []
    for t in iterations(run):
        strategies = rows(run, f"iteration_{t}/strategies.jsonl")
        samples = Counter(sample["pattern_id"] for sample in rows(run, f"iteration_{t}/synthetic_accepted.jsonl"))
        analyses = {analysis["failure_id"]: analysis for analysis in rows(run, f"iteration_{t}/analyses.jsonl")}
        members = {cluster["cluster"]: cluster["failure_ids"] for cluster in rows(run, f"iteration_{t}/clusters.jsonl")}
        patterns = []
        for pattern in sorted(rows(run, f"iteration_{t}/patterns.jsonl"), key=lambda pattern: -pattern["size"]):
            number = keys.setdefault(pattern["category_name"].casefold().strip(), len(keys))
            patterns.append(
                {
                    **pattern,
                    "key": letters(number),
                    "colour": number,
                    "strategies": [item for item in strategies if item["pattern_id"] == pattern["pattern_id"]],
                    "samples": samples[pattern["pattern_id"]],
                    "analyses": [analyses[i] for i in members.get(pattern["cluster"], []) if i in analyses][:5],
                }
            )
        if patterns:
            rounds.append({"iteration": t, "patterns": patterns, "analysed": sum(item["size"] for item in patterns)})
    return rounds


def failure_bars(rounds: Sequence[Mapping[str, Any]], metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Validation failures of every iteration's model, divided as the next round's patterns divide the analysed ones.

    The last model's failures are not analysed: one segment without pattern.
    """
    by_round = {item["iteration"]: item for item in rounds}
    bars = []
    for entry in metrics["iterations"]:
        if not entry["validation"]:
            continue
        failed = entry["validation"]["n"] - entry["validation"]["correct"]
        found = by_round.get(entry["iteration"] + 1)
        segments = [("", -1, failed, "not analysed")] if failed else []
        if found and found["analysed"]:
            segments = [
                (p["key"], p["colour"], failed * p["size"] / found["analysed"], p["category_name"])
                for p in found["patterns"]
            ]
        analysed = found["analysed"] if found else 0
        bars.append({"iteration": entry["iteration"], "failed": failed, "analysed": analysed, "segments": segments})
    return bars


def batch_rounds(run: RunDir) -> list[dict[str, Any]]:
    """Per round: batch outcomes, what became of all drafts of all attempts, and the judge's mean ratings."""
    rounds = []
    for t in iterations(run):
        outcomes = rows(run, f"iteration_{t}/batches.jsonl")
        if not outcomes:
            continue
        names = {item["strategy_id"]: item["strategy_name"] for item in rows(run, f"iteration_{t}/strategies.jsonl")}
        reviews = rows(run, f"iteration_{t}/reviews.jsonl")
        passed = Counter(outcome["attempts"] for outcome in outcomes if outcome["accepted_batch"])
        fates = Counter(draft["fate"] for draft in rows(run, f"iteration_{t}/synthetic_raw.jsonl"))
        rounds.append(
            {
                "iteration": t,
                "outcomes": [{**o, "strategy_name": names.get(o["strategy_id"])} for o in outcomes],
                "passed": sum(passed.values()),
                "passed_at": sorted(passed.items()),
                "drafts": sum(fates.values()),
                "unfit": {fate: fates[fate] for fate in ("failed", "duplicate", "contaminated")},
                "reviews": len(reviews),
                "ratings": {key: _mean(reviews, key) for key in ("adherence", "utility", "relevance", "score")},
                "accounting": total(outcomes),
                "funnel": _funnel(outcomes),
            }
        )
    return rounds


def _funnel(outcomes: Sequence[Mapping[str, Any]]) -> list[Fates]:
    """What became of the samples asked for in each attempt, all batches together."""
    attempts = zip_longest(*(outcome.get("books", []) for outcome in outcomes))
    return [total(books for books in attempt if books) for attempt in attempts]


def samples(run: RunDir, config: Mapping[str, Any], limit: int = 12) -> dict[str, Any]:
    """Accepted and rejected samples beside their seed rows, `limit` of each, evenly spaced over the run."""
    task = get_task(config["task"], config["data"]["match"])
    accepted = [sample for t in iterations(run) for sample in rows(run, f"iteration_{t}/synthetic_accepted.jsonl")]
    rejected = [
        {**sample, "iteration": t} for t in iterations(run) for sample in rows(run, f"iteration_{t}/rejected.jsonl")
    ]
    seeds = {row["id"]: row for row in rows(run, "data/train.jsonl")} | {
        sample["id"]: sample["row"] for sample in accepted
    }

    def shown(chosen: list[Any]) -> list[Any]:
        return [
            {
                **sample,
                "question": task.question(sample["row"]) if sample["row"] else "",
                "fields": fields(sample["row"]),
                "seed": fields(seeds.get(sample["seed_id"])),
            }
            for sample in spread(chosen, limit)
        ]

    return {
        "accepted": shown(accepted),
        "accepted_total": len(accepted),
        "rejected": shown(rejected),
        "rejected_total": len(rejected),
    }


def flips(run: RunDir, best: int | None, limit: int = 8) -> dict[str, Any] | None:
    """Examples that differ between iteration 0 and the best: of the test split, else of validation."""
    for split in ("test", "validation"):
        before = {item["id"]: item for item in rows(run, f"iteration_0/predictions_{split}.jsonl")}
        after = {item["id"]: item for item in rows(run, f"iteration_{best}/predictions_{split}.jsonl")} if best else {}
        both = [{"before": before[i], "after": after[i]} for i in before if i in after]
        if both:
            fixed = [pair for pair in both if pair["after"]["correct"] and not pair["before"]["correct"]]
            broken = [pair for pair in both if pair["before"]["correct"] and not pair["after"]["correct"]]
            groups = [("Fixed", len(fixed), spread(fixed, limit)), ("Broken", len(broken), spread(broken, limit))]
            return {"split": split, "n": len(both), "groups": groups}
    return None


def collapsed(run: RunDir) -> list[str]:
    """Models that give one answer to most test or validation questions although the truth is more varied."""
    found = []
    for iteration in (None, *iterations(run)):
        for split in ("test", "validation"):
            predictions: list[Prediction] = rows(run, f"{run.iteration(iteration)}/predictions_{split}.jsonl")
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


def cut_off(metrics: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """Tuned models that met the token limit in a fifth of their test answers, or of validation where no test is scored.

    The untuned model often does not end its answers at all; no limit would help it.
    """
    task = get_task(config["task"], config["data"]["match"])
    limit = config["student"]["inference"]["max_new_tokens"] or task.max_new_tokens
    found = []
    for model in metrics["iterations"]:
        split = "test" if model["test"] else "validation"
        answers = model[split]
        if answers and answers["truncated"] and 5 * answers["truncated"] >= answers["n"]:
            name = model_name(model["iteration"])
            found.append(
                f"{name}: {answers['truncated']} of {answers['n']} {split} answers met the token limit ({limit}): "
                "raise student.inference.max_new_tokens."
            )
    return found


def described(run: RunDir, config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What stands beside accuracy, of every model that answered the test split: chance level, letters, measures."""
    chance = get_task(config["task"], config["data"]["match"]).chance
    found = []
    for iteration in (None, *iterations(run)):
        predictions: list[Prediction] = rows(run, f"{run.iteration(iteration)}/predictions_test.jsonl")
        if predictions:
            found.append({"name": model_name(iteration), **score(predictions), **describe(predictions, chance)})
    return found


def model_name(iteration: int | None) -> str:
    """The report's name of a model."""
    return "Untuned model" if iteration is None else f"Iteration {iteration}"


def loss_curves(run: RunDir) -> list[tuple[str, list[tuple[float, float]]]]:
    """(iteration, points of epoch and loss) of every training."""
    curves = []
    for t in iterations(run):
        lines = rows(run, f"iteration_{t}/training_log.jsonl")
        points = [(line["epoch"], line["loss"]) for line in lines if "loss" in line and "epoch" in line]
        curves.append((f"iteration {t}", points))
    return curves


def public_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without what may be a secret of a provider: further texts of a model are named, not shown."""
    models = {
        role: {key: _public(key, value) for key, value in model.items()} for role, model in config["models"].items()
    }
    return {**config, "models": models}


def _public(key: str, value: Any) -> Any:
    if isinstance(value, int | float | None):
        return value
    if key not in _SHOWN:
        return "(set, not shown)"
    return re.sub(r"//[^/@\s]*@", "//", str(value)).partition("?")[0]


def fields(row: Mapping[str, Any] | None) -> list[tuple[str, str]]:
    """A row's fields as text; texts that are no strings as JSON."""
    return [
        (name, clip(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)))
        for name, value in (row or {}).items()
        if name != "id"
    ]


def clip(text: str, longest: int = LONGEST) -> str:
    """The text, or its beginning and how much is left out."""
    return text if len(text) <= longest else f"{text[:longest]} … ({len(text) - longest:,} more characters)"


def spread(items: Sequence[Any], limit: int) -> list[Any]:
    """At most `limit` items, evenly spaced."""
    step = max(1.0, len(items) / limit)
    return [items[int(place * step)] for place in range(min(limit, len(items)))]


def letters(number: int) -> str:
    """0 -> A, 25 -> Z, 26 -> AA."""
    return (letters(number // 26 - 1) if number >= 26 else "") + chr(65 + number % 26)


def _mean(reviews: Sequence[Mapping[str, Any]], key: str) -> float | None:
    values = [review[key] for review in reviews if review[key] is not None]
    return sum(values) / len(values) if values else None
