"""Writes a small, complete, made-up run directory: three iterations on word problems, as the graph would leave it.

Some of its texts try to break out of the page that shows them.
"""

from pathlib import Path
from typing import Any

from pada_graph.accounting import count_fates
from pada_graph.config_file import parse_config
from pada_graph.rundir import RunDir
from pada_graph.state import Fates
from pada_graph.stats import paired, score

HOSTILE = '<script>alert("x")</script></td></svg></style>{{ 7 * 7 }} & $\\frac{1}{2}$ \u202eright to left'
KINDS = ("two-step sums", "unit changes", "left over", "percentages", "plain sums", "plain differences")
VALIDATION, TEST, TRAIN = 40, 60, 30
# Which kinds (index modulo 6) the student gets wrong: untuned, then iteration 0, 1, 2.
WEAK: dict[int | None, tuple[int, ...]] = {None: (0, 1, 2, 3, 4), 0: (0, 1, 2), 1: (0, 2), 2: (0,)}


def write_run(root: Path, rounds: int = 2, finished: bool = True) -> Path:
    """Write iterations 0 to `rounds`; an unfinished run has no metrics.json, no test scores and a half-written log."""
    run = RunDir(root)
    run.write_json("resolved_config.json", _config(rounds))
    run.write_json("environment.json", {"python": "3.11.2", "pada-graph": "0.1.0", "torch": "2.13.0"})
    sizes = {"train": TRAIN, "validation": VALIDATION, "test": TEST}
    for split, size in sizes.items():
        run.write_jsonl(f"data/{split}.jsonl", [_row(split, index) for index in range(size)])
    run.write_jsonl(
        "data/overlaps.jsonl",
        [
            {
                "split": "train",
                "id": HOSTILE,
                "place": "train.jsonl, line 3",
                "with_split": "test",
                "with_id": "test-9",
                "with_place": "test.jsonl, line 9",
                "kind": "question",
                "similarity": 0.93,
                "dropped": True,
            }
        ],
    )
    scores: dict[int | None, dict[str, Any]] = {}
    for iteration in (None, *range(rounds + 1)):
        scores[iteration] = {}
        for split, size in sizes.items():
            skipped = (iteration is None and split == "train") or (
                split == "test" and iteration not in (None, 0, rounds)
            )
            if skipped or (not finished and split == "test"):
                scores[iteration][split] = None
                continue
            predictions = [_prediction(split, index, iteration) for index in range(size)]
            run.write_jsonl(f"{run.iteration(iteration)}/predictions_{split}.jsonl", predictions)
            scores[iteration][split] = score(predictions)
        if iteration is not None:
            _training_log(run, iteration)
    for iteration in range(1, rounds + 1):
        _round(run, iteration)
    for iteration in range(rounds + 1):
        run.write_jsonl(f"iteration_{iteration}/train.jsonl", _training_set(run, iteration))
    if finished:
        run.write_json("metrics.json", _metrics(run, rounds, scores))
    else:
        run.append(f"iteration_{rounds}/training_log.jsonl", {"step": 99})
        log = run.path(f"iteration_{rounds}/training_log.jsonl")
        log.write_text(log.read_text() + '{"step": 100, "lo')
    return root


def _config(rounds: int) -> dict[str, Any]:
    generator = {
        "model": "openai:some-model",
        "base_url": "https://user:pw@host.example/v1?key=q",
        "api_key": "sk-secret-1",
    }
    raw = {"task": "demo", "iterations": rounds, "models": {"generator": generator}}
    return parse_config(raw, "fixture").model_dump(mode="json")


def _row(split: str, index: int) -> dict[str, Any]:
    question = (
        f"A shop has {index + 3} boxes of {index % 5 + 2} pens and sells {index % 3 + 1}. How many pens are left?"
    )
    return {
        "id": f"{split}-{index}",
        "question": question,
        "answer": str((index + 3) * (index % 5 + 2) - index % 3 - 1),
    }


def _prediction(split: str, index: int, iteration: int | None) -> dict[str, Any]:
    row = _row(split, index)
    # Iteration 2 breaks a few plain differences that earlier ones got right.
    broken = iteration == 2 and index % 30 == 29
    correct = (index % 6 not in WEAK[iteration] or index % 24 >= 18) and not broken and split != "train"
    correct = correct or (split == "train" and (index % 7 != 0 or iteration == 2))
    unreadable = not correct and index % 10 == 0
    output = row["answer"] if correct else "I do not know" if unreadable else f"{index} {HOSTILE if index == 2 else ''}"
    return {
        "id": row["id"],
        "prompt": row["question"],
        "target": row["answer"],
        "output": output,
        "correct": correct,
        "parsed": None if unreadable else output.split()[0],
        "reason": "" if correct else "no number found" if unreadable else f"{index} is not {row['answer']}",
        "truncated": unreadable and index % 20 == 0,
        "measures": {"strict": float(correct)},
        "group": None,
    }


def _training_set(run: RunDir, iteration: int) -> list[dict[str, Any]]:
    files = [f"iteration_{t}/synthetic_accepted.jsonl" for t in range(1, iteration + 1)]
    samples = [sample for file in files for sample in run.read_jsonl(file)]
    rows = [{"source": "train", **row} for row in run.read_jsonl("data/train.jsonl")]
    rows += [{"source": "synthetic", **sample["row"], "id": sample["id"]} for sample in samples]
    return [
        {"id": row["id"], "source": row["source"], "prompt": row["question"], "completion": row["answer"]}
        for row in rows
    ]


def _training_log(run: RunDir, iteration: int) -> None:
    steps = 15 + 8 * iteration
    run.write_jsonl(
        f"iteration_{iteration}/training_log.jsonl",
        [
            {
                "step": step,
                "steps": steps,
                "epoch": 5 * step / steps,
                "loss": round(2.0 / (1 + 6 * step / steps) + 0.05 * (step % 3), 4),
            }
            for step in range(1, steps + 1)
        ]
        + [{"step": steps, "steps": steps, "epoch": 5.0, "seconds": 81.2}],
    )


def _round(run: RunDir, iteration: int) -> None:
    folder = f"iteration_{iteration}"
    run.write_jsonl(
        f"{folder}/overlaps.jsonl",
        [
            {
                "iteration": iteration,
                "subject": "sample",
                "id": f"t{iteration}-s0-b0-1",
                "attempt": 0,
                "kind": kind,
                "with_id": with_id,
                "similarity": 0.9,
            }
            for kind, with_id in (("embedding", "test-3"), ("embedding", "test-4"), ("seed", "train-1"))
        ],
    )
    weak = WEAK[iteration - 1]
    before = [_prediction("validation", index, iteration - 1) for index in range(VALIDATION)]
    failed = [index for index, prediction in enumerate(before) if not prediction["correct"]][:12]
    members = {kind: [f"validation-{index}" for index in failed if index % 6 == kind] for kind in weak}
    members[5] = [f"validation-{index}" for index in failed if index % 6 == 5]
    members = {kind: ids for kind, ids in members.items() if ids}
    analyses, clusters, centroids, patterns, strategies = [], [], [], [], []
    for cluster, (kind, ids) in enumerate(members.items()):
        name = f"Trouble with {KINDS[kind]}" + (f" {HOSTILE}" if kind == 2 else "")
        pattern_id = f"p{iteration}-{cluster}"
        analyses += [
            {
                "iteration": iteration,
                "failure_id": item,
                "error_cause": f"The student stops after one step of {KINDS[kind]}.",
                "scenario_category": KINDS[kind],
            }
            for item in ids
        ]
        clusters.append({"iteration": iteration, "cluster": cluster, "failure_ids": ids})
        place = [float(kind == number) for number in range(len(KINDS))]
        centroids.append({"iteration": iteration, "cluster": cluster, "centroid": place})
        patterns.append(
            {
                "iteration": iteration,
                "pattern_id": pattern_id,
                "cluster": cluster,
                "size": len(ids),
                "category_name": name,
                "error_pattern": f"In questions on {KINDS[kind]} the student reads the numbers correctly, carries out "
                "the first operation, and gives its result as the answer; the second operation is left out.",
            }
        )
        strategies.append(
            {
                "iteration": iteration,
                "strategy_id": f"s{iteration}-{cluster}",
                "pattern_id": pattern_id,
                "category_name": name,
                "strategy_name": f"Drill {KINDS[kind]}",
                "generation_approach": "Write problems whose first result is needed by a second operation, in everyday "
                "settings, with small whole numbers, and vary which operation comes first.",
                "key_elements": [
                    "two operations that depend on each other",
                    "numbers below 50",
                    "one question at the end",
                ],
            }
        )
    run.write_jsonl(f"{folder}/analyses.jsonl", analyses)
    run.write_jsonl(f"{folder}/clusters.jsonl", clusters)
    run.write_jsonl(f"{folder}/centroids.jsonl", centroids)
    places = [
        {
            "failure_id": item,
            "cluster": row["cluster"],
            "x": row["cluster"] + 0.1 * turn,
            "y": -0.5 + 0.17 * turn**2 % 1,
        }
        for row in clusters
        for turn, item in enumerate(row["failure_ids"])
    ]
    run.write_json(f"{folder}/map.json", {"iteration": iteration, "explained": [0.41, 0.2], "places": places})
    run.write_jsonl(f"{folder}/patterns.jsonl", patterns)
    run.write_jsonl(f"{folder}/strategies.jsonl", strategies)
    curve = [31.0 / k**0.8 - iteration for k in range(1, 9)]
    run.write_json(
        f"{folder}/clustering.json", {"iteration": iteration, "k": len(members), "method": "elbow", "inertia": curve}
    )
    _batches(run, iteration, strategies)


def _batches(run: RunDir, iteration: int, strategies: list[dict[str, Any]]) -> None:
    """Five samples a batch: the first batch passes at once, the second after two attempts, the third never."""
    folder = f"iteration_{iteration}"
    outcomes, raw, reviews, accepted, rejected = [], [], [], [], []
    for number, (scores, fates) in enumerate(
        [
            ([8.2], ["ok", "ok", "ok", "ok", "failed"]),
            ([5.5, 7.6], ["ok", "ok", "ok", "duplicate", "contaminated"]),
            ([4.0, 5.1, 5.0, 6.2], ["ok", "ok", "ok", "ok", "ok"]),
        ]
    ):
        batch_id = f"r{iteration}-b{number}"
        strategy = strategies[number % len(strategies)] if number < 2 else None
        branch = "pattern" if strategy else "error"
        strategy_id = strategy["strategy_id"] if strategy else None
        passed = scores[-1] >= 7
        outcome: dict[str, Any] = {
            "iteration": iteration,
            "batch_id": batch_id,
            "branch": branch,
            "strategy_id": strategy_id,
            "accepted_batch": passed,
            "attempts": len(scores),
            "scores": scores,
            "feedback": [
                f"Attempt {turn}: the second operation is missing in two samples. {HOSTILE}"
                for turn in range(len(scores) - 1)
            ],
            "requested": 5,
            "accepted": fates.count("ok") if passed else 0,
            "rejected": 0 if passed else fates.count("ok"),
            "failed": fates.count("failed"),
            "duplicate": fates.count("duplicate"),
            "contaminated": fates.count("contaminated"),
            "books": [_attempt_books(fates, value >= 7) for value in scores],
            "file": f"{folder}/batches/{batch_id}.json",
        }
        outcomes.append(outcome)
        for attempt, batch_score in enumerate(scores):
            for slot, fate in enumerate(fates):
                sample_id, seed_id = f"{batch_id}-{slot}", f"train-{(number * 5 + slot) % TRAIN}"
                row = (
                    None
                    if fate == "failed"
                    else {
                        **_row("train", slot + 50),
                        "question": f"{KINDS[slot]}: {_row('train', slot + 50)['question']}",
                    }
                )
                if row and slot == 0:
                    row["question"] += HOSTILE
                fault = {
                    "failed": "the reply held no sample for this slot",
                    "duplicate": "repeats its seed",
                    "contaminated": "overlaps a validation question",
                }.get(fate)
                raw.append(
                    {
                        "batch_id": batch_id,
                        "attempt": attempt,
                        "sample_id": sample_id,
                        "seed_id": seed_id,
                        "row": row,
                        "fault": fault,
                        "fate": fate,
                    }
                )
                review = {
                    "sample_id": sample_id,
                    "adherence": batch_score if strategy else None,
                    "utility": batch_score,
                    "relevance": batch_score,
                    "score": batch_score,
                    "feedback": "Clear and solvable.",
                }
                if fate == "ok":
                    reviews.append({"batch_id": batch_id, "attempt": attempt, **review})
                if attempt < len(scores) - 1:
                    continue
                if fate == "ok" and passed:
                    accepted.append(
                        {
                            "id": sample_id,
                            "row": row,
                            "iteration": iteration,
                            "branch": branch,
                            "strategy_id": strategy_id,
                            "pattern_id": strategy["pattern_id"] if strategy else None,
                            "seed_id": seed_id,
                            "batch_id": batch_id,
                            "generator": "openai:some-model",
                            "prompt_sha256": "0" * 64,
                            "attempts": len(scores),
                            "scores": scores,
                            "review": review,
                        }
                    )
                else:
                    rejected.append(
                        {
                            "batch_id": batch_id,
                            "branch": branch,
                            "strategy_id": strategy_id,
                            "sample_id": sample_id,
                            "seed_id": seed_id,
                            "row": row,
                            "fate": "rejected" if fate == "ok" else fate,
                            "reason": fault or f"batch score {batch_score} is below 7",
                            "score": batch_score if fate == "ok" else None,
                            "feedback": "The second operation is missing.",
                        }
                    )
    run.write_jsonl(f"{folder}/batches.jsonl", outcomes)
    run.write_jsonl(f"{folder}/synthetic_raw.jsonl", raw)
    run.write_jsonl(f"{folder}/reviews.jsonl", reviews)
    run.write_jsonl(f"{folder}/synthetic_accepted.jsonl", accepted)
    run.write_jsonl(f"{folder}/rejected.jsonl", rejected)


def _attempt_books(fates: list[str], passed: bool) -> Fates:
    return count_fates(("accepted" if passed else "rejected") if fate == "ok" else fate for fate in fates)


def _metrics(run: RunDir, rounds: int, scores: dict[int | None, dict[str, Any]]) -> dict[str, Any]:
    outcomes = [row for t in range(1, rounds + 1) for row in run.read_jsonl(f"iteration_{t}/batches.jsonl")]
    keys = ("requested", "accepted", "rejected", "failed", "duplicate", "contaminated")
    untuned, vanilla, chosen = (run.read_jsonl(f"{run.iteration(t)}/predictions_test.jsonl") for t in (None, 0, rounds))
    return {
        "task": "demo",
        "method": "pada",
        "seed": 0,
        "best_iteration": rounds,
        "stop_reason": f"all {rounds} iterations are done",
        "notes": ["Round 1 asked for 15 samples and got 7."],
        "untuned": {split: scores[None][split] for split in ("validation", "test")},
        "iterations": [
            {"iteration": t, "train_rows": TRAIN, "synthetic_rows": 7 * t, **scores[t]} for t in range(rounds + 1)
        ],
        "comparison": paired(vanilla, chosen) if rounds else None,
        "untuned_comparison": paired(untuned, chosen),
        "accounting": {key: sum(outcome[key] for outcome in outcomes) for key in keys},
        "teacher": {
            "analyst": {"calls": 9, "input_tokens": 12_345, "output_tokens": 2_310, "usd": 0.0105},
            "generator": {"calls": 14, "input_tokens": 20_100, "output_tokens": 9_871, "usd": 1.5},
            "judge": {"calls": 14, "input_tokens": 31_004, "output_tokens": 4_002, "usd": None},
        },
        "seconds": {
            "initialize": 0.4,
            "fine_tune": 431.2,
            "evaluate": 203.9,
            "pattern_analysis": 48.0,
            "synthesize_batch": 95.5,
        },
    }
