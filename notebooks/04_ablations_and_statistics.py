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
# # Ablations and statistics
#
# A method is worth what it adds to fine-tuning alone, on the same test rows and with the same budget. Every method
# and ablation runs in the same graph, so a comparison is a loop over configurations.
#
# **The student here is `builtin:tiny`, a random model, the teacher follows rules, and the test split has 60 rows:
# nothing below says anything about the methods.** It shows how differences are tested, and what a small test cannot
# show. For tables worth reading: `pada-graph reproduce` (`docs/reproduce.md`), and a real run in `docs/results.md`.

# %%
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
from rich.console import Console

from pada_graph import RunConfig, run
from pada_graph.compare import compare_runs, print_comparison, write_page
from pada_graph.inheritance import inherit
from pada_graph.stats import detectable_gain, holm

warnings.filterwarnings("ignore", "IProgress not found")  # tqdm would like ipywidgets; nothing here draws a bar
plt.rcParams["figure.dpi"] = 80
console = Console(force_jupyter=False, width=110)

# %% [markdown]
# ## Three runs
#
# Vanilla fine-tuning is iteration 0 of each, and the same one: it is trained once, and handed on. `vanilla_repeated`
# is a control that is easily forgotten: as many rows as PaDA-Agent asks for, so at least as many as it adds, but
# repeated ones. A method that does not beat it may have gained from more training steps alone.

# %%
rules = {"model": "builtin:rules", "temperature": None}
base = {
    "task": "demo",
    "iterations": 1,
    "data": {"source": "builtin:demo", "train_size": 36, "validation_size": 30, "test_size": 60},
    "student": {
        "model": "builtin:tiny",
        "training": {"epochs": 10, "learning_rate": 0.005, "batch_size": 12},
        "inference": {"max_new_tokens": 24},
    },
    "models": {"analyst": rules, "generator": rules, "judge": rules},
    "patterns": {"embedder": "builtin:minilm"},
    "generation": {"batch_size": 6},
}
variants = {
    "repeated": {"method": "vanilla_repeated"},
    "pada": {"method": "pada"},
    "without_patterns": {"method": "pada", "patterns": {"embedder": "builtin:minilm", "enabled": False}},
}
folders = []
for name, changes in variants.items():
    folder = Path("runs") / name
    if folders and not folder.exists():
        inherit(folders[-1], folder)
    metrics = run(RunConfig.model_validate({**base, **changes}), folder)
    folders.append(folder)
    last = metrics["iterations"][-1]
    print(
        f"{name:17} {last['train_rows']} + {last['synthetic_rows']} rows, chosen: iteration {metrics['best_iteration']}"
    )

# %% [markdown]
# ## The comparison
#
# The first run is the baseline. All runs must have answered the same test rows, scored by the same rule, else they are
# refused. They have the same student here; where they do not, a line says so.

# %%
comparison = compare_runs(folders)
print_comparison(console, comparison)

# %% [markdown]
# How to read it:
#
# - **Accuracy** has its own 95 % interval (Wilson). Two intervals that overlap say little about the difference.
# - **The difference** is tested on pairs: the same item answered by both. What counts is how many were *fixed* and
#   how many were *broken*; items that both get right, or both wrong, say nothing. McNemar's exact test gives p, a
#   bootstrap over items the interval.
# - **Several comparisons** find "something" by chance. Holm's rule makes each p larger accordingly, by how many
#   comparisons of its kind there are; the adjusted one is what counts:

# %%
for against in ("iteration 0", "baseline"):
    kind = [difference for difference in comparison["differences"] if difference["against"] == against]
    raw, adjusted = ([round(difference[p], 3) for difference in kind] for p in ("p_value", "holm"))
    print(f"against {against}:", raw, "->", adjusted)
print("made up:", [0.01, 0.02, 0.04], "->", [round(p, 3) for p in holm([0.01, 0.02, 0.04])])

# %% [markdown]
# ## What a test of this size can show
#
# The smallest true gain that a paired test finds four times in five, if the two models differ on a fifth of the
# items:

# %%
sizes = [50, 100, 200, 500, 1000, 2000]
gains = [100 * detectable_gain(n) for n in sizes]
figure, axes = plt.subplots(figsize=(6, 3))
axes.plot(sizes, gains, marker="o")
axes.set(xlabel="test items", ylabel="detectable gain, points", xscale="log", title="80 % power, two-sided 5 %")
axes.set_xticks(sizes, sizes)
plt.show()
print(", ".join(f"{n}: {gain:.1f}" for n, gain in zip(sizes, gains, strict=True)))

# %% [markdown]
# A gain of two points, which papers like to report, needs thousands of items, or several seeds. Seeds: give runs that
# differ in `seed` alone to `compare`, and it adds a table over seeds, with an interval that covers both items and
# seeds.
#
# ## The same as a page

# %%
page = Path("runs/comparison.html")
write_page(folders, comparison, page)
print(page.as_posix(), page.stat().st_size > 10_000)
