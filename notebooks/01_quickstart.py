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
# # Quickstart, without an account or a GPU
#
# PaDA-Agent fine-tunes a small model, the student, and looks at what it still gets wrong on validation rows. A large
# model, the teacher, says of each failure why it happened; the analyses are embedded and clustered, and each cluster
# is named: an error pattern. For each pattern the teacher drafts a strategy, and writes new training rows by it; others
# it writes from single errors on the training rows. A judge scores every batch of rows, and what falls short is written
# again with the judge's feedback. The student is fine-tuned on the old rows and the accepted new ones, and the round
# begins again.
#
# This notebook runs one such round in a minute or two. It can do so because student and teacher are stand-ins:
#
# - `builtin:tiny` is a random two-layer model. Trained for a minute it begins to learn what an answer looks like, and
#   no arithmetic.
# - `builtin:rules` is no LLM: it knows six kinds of word problems and follows rules.
#
# **So it shows the machine, and says nothing about the method.** For a real student on the CPU set
# `student={"model": "builtin:smollm2-135m"}` and leave out the other settings of the student; that is much as
# `make demo` does, and takes minutes.

# %%
import warnings
from pathlib import Path

from rich.console import Console

from pada_graph import RunConfig, build_graph, run
from pada_graph.accounting import identity
from pada_graph.compare import load_run, model_rows, print_models
from pada_graph.errors import StoppedError
from pada_graph.live import describe, going_on
from pada_graph.report import headline

warnings.filterwarnings("ignore", "IProgress not found")  # tqdm would like ipywidgets; nothing here draws a bar

# %% [markdown]
# ## The configuration
#
# Every key that is not named here has the paper's value (`docs/config.md` lists them). The same keys in a YAML file are
# what `pada-graph run` takes.

# %%
rules = {"model": "builtin:rules", "temperature": None}
settings = {
    "task": "demo",
    "method": "pada",
    "iterations": 1,
    "data": {"source": "builtin:demo", "train_size": 36, "validation_size": 40, "test_size": 60},
    "student": {
        "model": "builtin:tiny",
        "training": {"epochs": 10, "learning_rate": 0.005, "batch_size": 12},
        "inference": {"max_new_tokens": 24},
    },
    "models": {"analyst": rules, "generator": rules, "judge": rules},
    "patterns": {"embedder": "builtin:minilm"},
    "generation": {"batch_size": 6},
    "limits": {"concurrency": 2},
}
config = RunConfig.model_validate(settings)

# %% [markdown]
# ## The graph
#
# The loop is a LangGraph state machine with a subgraph for the analysis of patterns and one for a batch of rows:
#
# ![The graph](../docs/graph.svg)
#
# `build_graph()` gives the compiled graph, to be drawn, streamed or put into a graph of your own:

# %%
graph = build_graph()
print("\n".join(sorted(graph.get_graph().nodes)))

# %% [markdown]
# ## A run that stops
#
# `run` does the whole loop, and `watch` gets every event of it. Here a limit stops it after ten teacher calls, as a
# failing provider, a full disk or Ctrl-C would.

# %%
folder = Path("runs/quickstart")


def watch(event: dict) -> None:
    if event["event"] not in ("training", "predicting"):  # each step of both; too many lines for a notebook
        print(describe(event))


limited = RunConfig.model_validate({**settings, "limits": {"concurrency": 2, "max_calls": 10}})
try:
    run(limited, folder, watch=watch)
except StoppedError as stopped:
    print(f"\nStopped: {stopped}")

# %% [markdown]
# ## The same run goes on
#
# The run directory holds all that is needed. Calls that were answered are in its journal and are not made again, a
# trained student is not trained again. The limit may differ; another data set or student would be refused.

# %%
print(going_on(folder), end="\n\n")
metrics = run(config, folder, watch=watch)

# %% [markdown]
# ## What came out

# %%
console = Console(force_jupyter=False, width=100)
print_models(console, model_rows(1, load_run(folder)))
print()
print(headline(metrics))

# %% [markdown]
# Test rows are answered once, at the end, by three models: the untuned one, vanilla fine-tuning (iteration 0) and the
# iteration that is best on validation. A gain that the test cannot tell from noise is not called one.
#
# Every row that was asked for has one fate, and the books have to balance:

# %%
print(identity(metrics["accounting"]))
for role, usage in metrics["teacher"].items():
    print(f"{role}: {usage['calls']} calls, {usage['input_tokens']:,} tokens in, {usage['output_tokens']:,} out")

# %% [markdown]
# The run above is finished. Running it once more returns the same numbers, with no call and no training:

# %%
events = []
again = run(config, folder, watch=events.append)
print(f"{len(events)} events, same metrics: {again == metrics}")

# %% [markdown]
# ## The report
#
# `report.html` in the run directory is one page without script or network: accuracies, patterns, a map of the failures,
# every batch with its drafts and scores, costs, settings and hashes. Open it in a browser.

# %%
for path in sorted(folder.glob("*")):
    print(path.as_posix())

# %% [markdown]
# Next: [02 looks into a run](02_inspect_a_run.ipynb), [03 takes rows of your own](03_your_own_data.ipynb), [04 compares
# methods](04_ablations_and_statistics.ipynb).
