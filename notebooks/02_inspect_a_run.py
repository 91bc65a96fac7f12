# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Look into a run: failures, patterns, samples
#
# A run directory is all there is: report, comparison and export read it and nothing else, and so can you. This
# notebook makes a small one offline, in a minute or two, and then opens its files. To look into a finished run of
# your own, of method `pada`, set `folder` to it and leave out the cell that makes one.

# %%
import json
import sqlite3
import warnings
from collections import Counter
from contextlib import closing
from pathlib import Path

import matplotlib.pyplot as plt

from pada_graph import RunConfig, run
from pada_graph.accounting import FATES, identity
from pada_graph.evolution import evolution
from pada_graph.report import build_report, headline

warnings.filterwarnings("ignore", "IProgress not found")  # tqdm would like ipywidgets; nothing here draws a bar
plt.rcParams["figure.dpi"] = 80

# %% [markdown]
# ## A run to look at
#
# Two rounds on the demo's word problems. The student `builtin:tiny` is random and hardly learns, the teacher
# `builtin:rules` follows rules: **what follows shows where things are, and says nothing about the method.**

# %%
folder = Path("runs/inspected")

# %%
rules = {"model": "builtin:rules", "temperature": None}
config = RunConfig.model_validate(
    {
        "task": "demo",
        "iterations": 2,
        "data": {"source": "builtin:demo", "train_size": 36, "validation_size": 40, "test_size": 60},
        "student": {
            "model": "builtin:tiny",
            "training": {"epochs": 10, "learning_rate": 0.005, "batch_size": 12},
            "inference": {"max_new_tokens": 24},
        },
        "models": {"analyst": rules, "generator": rules, "judge": rules},
        "patterns": {"embedder": "builtin:minilm"},
        "generation": {"batch_size": 6},
    }
)
metrics = run(config, folder)


# %%
metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
settings = json.loads((folder / "resolved_config.json").read_text(encoding="utf-8"))
print(headline(metrics))


def rows(name: str) -> list[dict]:
    """A JSON Lines file of the run."""
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


# %% [markdown]
# ## Accuracy
#
# `metrics.json` is the summary that others read: a score of every model on every split, with its 95 % Wilson
# interval. Test is scored at the end alone, and only for the untuned model, iteration 0 and the one chosen on
# validation.

# %%
models = [("untuned", metrics["untuned"]), *((f"{m['iteration']}", m) for m in metrics["iterations"])]
figure, axes = plt.subplots(figsize=(6, 3))
for shift, split in ((-0.08, "validation"), (0.08, "test")):
    shown = [(place + shift, model[split]) for place, (_, model) in enumerate(models) if model[split]]
    heights = [100 * score["accuracy"] for _, score in shown]
    below = [100 * (score["accuracy"] - score["low"]) for _, score in shown]
    above = [100 * (score["high"] - score["accuracy"]) for _, score in shown]
    axes.errorbar([place for place, _ in shown], heights, [below, above], fmt="o", capsize=4, label=split)
axes.set_xticks(range(len(models)), [name for name, _ in models])
axes.set(xlabel="iteration", ylabel="accuracy, %", title="Accuracy with 95 % intervals")
axes.legend()
plt.show()

# %% [markdown]
# ## From failures to analyses
#
# A prediction holds prompt, output, what was read from it, and why it is wrong. Those of the validation split that
# are wrong are what the analyst sees; `analyses.jsonl` has what it said of each.

# %%
predictions = {row["id"]: row for row in rows("iteration_0/predictions_validation.jsonl")}
analyses = rows("iteration_1/analyses.jsonl")
wrong = sum(not row["correct"] for row in predictions.values())
print(f"{wrong} of {len(predictions)} validation answers of iteration 0 are wrong; {len(analyses)} were analysed.\n")
for analysis in analyses[:2]:
    failure = predictions[analysis["failure_id"]]
    print("question:", failure["prompt"])
    print("expected:", failure["target"].splitlines()[-1])
    print("answered:", repr(failure["output"]))
    print("verdict: ", failure["reason"])
    print("analysis:", analysis["error_cause"], "|", analysis["scenario_category"], end="\n\n")

# %% [markdown]
# ## From analyses to clusters
#
# The analyses are embedded and clustered by k-means; the number of clusters is where the curve of the inertia bends
# (section 3.2 of the paper), or the best silhouette where it has no bend.

# %%
clustering = json.loads((folder / "iteration_1/clustering.json").read_text())
places = json.loads((folder / "iteration_1/map.json").read_text())
figure, (curve, plane) = plt.subplots(1, 2, figsize=(10, 3.5))
ks = range(1, len(clustering["inertia"]) + 1)
curve.plot(ks, clustering["inertia"], marker="o")
curve.axvline(clustering["k"], linestyle=":", color="grey")
curve.set(xlabel="clusters", ylabel="inertia", title=f"k = {clustering['k']}, by {clustering['method']}")
for cluster, marker in zip(range(clustering["k"]), "os^DvPX*hp", strict=False):
    spots = [(place["x"], place["y"]) for place in places["places"] if place["cluster"] == cluster]
    plane.scatter(*zip(*spots, strict=True), marker=marker, alpha=0.7, label=f"cluster {cluster}")
shares = " and ".join(f"{share:.0%}" for share in places["explained"])
plane.set(title=f"the failures in the plane ({shares} of variance)")
plane.legend()
plt.show()

# %% [markdown]
# ## From clusters to patterns and strategies

# %%
approaches = {row["pattern_id"]: row["generation_approach"] for row in rows("iteration_1/strategies.jsonl")}
for pattern in rows("iteration_1/patterns.jsonl"):
    print(f"{pattern['pattern_id']} ({pattern['size']} failures): {pattern['category_name']}")
    print("   pattern: ", pattern["error_pattern"])
    print("   strategy:", approaches.get(pattern["pattern_id"], "none"), end="\n\n")

# %% [markdown]
# ## From round to round
#
# Clusters of consecutive rounds are matched by the cosine of their centroids (Figure 8 and Table 3 of the paper;
# `docs/patterns.md` says how far that can be trusted). A pattern that no later round has is gone.

# %%
found = evolution(folder)
figure, axes = plt.subplots(figsize=(6, 3))
base: Counter = Counter()
for track in found["tracks"]:
    name = next((stage["category_name"] for stage in track["stages"] if stage["category_name"]), "no name")
    at = [stage["round"] for stage in track["stages"]]
    heights = [stage["estimated"] for stage in track["stages"]]
    axes.bar(at, heights, 0.6, bottom=[base[t] for t in at], label=f"{name[:40]}")
    base.update(dict(zip(at, heights, strict=True)))
axes.set_xticks(sorted(base))
axes.set(xlabel="round", ylabel="validation failures", title="Failures by pattern")
axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
plt.show()

# %% [markdown]
# ## Samples: what was written, and what became of it
#
# Every sample that was asked for has exactly one fate. An accepted one carries its lineage: strategy, the train row
# it started from, the generator, attempts, ratings.

# %%
print(identity(metrics["accounting"]))
for iteration in metrics["iterations"][1:]:
    outcomes = rows(f"iteration_{iteration['iteration']}/batches.jsonl")
    fates = {fate: sum(outcome[fate] for outcome in outcomes) for fate in FATES}
    attempts = sum(outcome["attempts"] for outcome in outcomes)
    print(f"round {iteration['iteration']}: {len(outcomes)} batches, {attempts} attempts, {fates}")

# %%
train = {row["id"]: row for row in rows("data/train.jsonl")}
for sample in rows("iteration_1/synthetic_accepted.jsonl")[:1]:
    print("from:   ", train[sample["seed_id"]])
    print("written:", sample["row"])
    print("by", sample["generator"], "after", sample["attempts"], "attempt(s); strategy", sample["strategy_id"])
    print("review: ", {key: sample["review"][key] for key in ("adherence", "utility", "relevance", "score")})

# %% [markdown]
# What fell short was written again, with the judge's words as feedback:

# %%
threshold = settings["quality"]["threshold"]
for review in [review for review in rows("iteration_1/reviews.jsonl") if review["score"] < threshold][:2]:
    print(f"{review['sample_id']}, attempt {review['attempt'] + 1}: {review['score']:.1f} of 10: {review['feedback']}")

# %% [markdown]
# ## What was asked
#
# The journal has every call of a teacher with prompt and reply, written before its value is used: an answer that was
# paid for is never paid for twice.

# %%
query = "SELECT role, COUNT(*), SUM(input_tokens), SUM(output_tokens) FROM calls GROUP BY role ORDER BY role"
with closing(sqlite3.connect(folder / "teacher_calls.sqlite")) as journal:
    for role, calls, tokens_in, tokens_out in journal.execute(query):
        print(f"{role}: {calls} calls, {tokens_in} tokens in, {tokens_out} out")

# %% [markdown]
# ## The same as a page
#
# The report has all of this and more; it can be written at any time, also while the run works.

# %%
print(build_report(folder).as_posix())

# %% [markdown]
# Next: [03 takes rows of your own](03_your_own_data.ipynb).
