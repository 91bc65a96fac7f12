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
# # Your own data, with Bedrock or any endpoint
#
# From a file of your own rows to an adapter that plain PEFT loads. A few hundred rows are a start; here are forty, so
# that every step shows in a minute or two.
#
# **This notebook needs an endpoint**: set `TEACHER_URL` and `TEACHER_NAME`, or take the Bedrock models below, and a
# real student. Without one, start a scripted server that answers in an LLM's place, where this notebook asks by
# default: in another terminal, in the folder of the repository, `python -m tests.notebooks.stand_in`.
# **The outputs kept here were made with it**, and with `builtin:tiny`, a random model, as the student: they show the
# way, and no result.
#
# Everything is written under `runs/own`.

# %%
import json
import logging
import os
import warnings
from pathlib import Path

from rich.console import Console

from pada_graph import RunConfig, run
from pada_graph.export import export_run
from pada_graph.plan import make_plan, print_plan
from pada_graph.preview import print_train_rows
from pada_graph.report import headline

warnings.filterwarnings("ignore", "IProgress not found")  # tqdm would like ipywidgets; nothing here draws a bar
logging.getLogger("torchao").setLevel(logging.ERROR)
console = Console(force_jupyter=False, width=110)

# %% [markdown]
# ## The rows
#
# One JSON object a line, `prompt` and `answer`. `data.match` says how an output is compared with the answer: `exact`,
# `number`, `choice`, or `judge` for open answers. With one file the split is made for you: a fifth each for validation
# and test, rows that nearly repeat a held-out one left out. Three files of your own, `train.jsonl`,
# `validation.jsonl` and `test.jsonl`, are better where you know which rows belong together.

# %%
kinds = [("minutes", "hours", 60), ("days", "weeks", 7), ("pieces", "dozens", 12), ("centimetres", "metres", 100)]
rows = [
    {"prompt": f"How many {small} are {amount} {large}?", "answer": str(amount * factor)}
    for small, large, factor in kinds
    for amount in range(2, 12)
]
own = Path("runs/own")
own.mkdir(parents=True, exist_ok=True)
file = own / "rows.jsonl"
file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
print(len(rows), "rows, for example", rows[0])

# %% [markdown]
# ## The teachers
#
# Three roles: analyst, generator, judge. The judge should be another model than the generator, which would favour
# what it wrote itself.
#
# - **Bedrock**, as in the paper: leave `models` out of the configuration, set `AWS_REGION` and credentials
#   (`docs/bedrock.md`).
# - **Any OpenAI-compatible endpoint**: OpenAI, vLLM, llama.cpp, Ollama (`docs/local_llm.md`). The key stands in
#   `OPENAI_API_KEY`, and is never written to the run directory; a server of your own asks for none.

# %%
url = os.environ.get("TEACHER_URL", "http://127.0.0.1:8091/v1")
name = os.environ.get("TEACHER_NAME", "stand-in")
os.environ.setdefault("OPENAI_API_KEY", "none")  # OpenAI's client insists on one
teacher = {"model": f"openai:{name}", "base_url": url, "temperature": 0, "max_tokens": 1500}

# %% [markdown]
# ## The configuration
#
# For a real student write `"student": {"model": "builtin:smollm2-135m"}` (on a CPU) or the id of a model on the hub,
# and leave out its other settings.

# %%
config = RunConfig.model_validate(
    {
        "task": "jsonl",
        "iterations": 1,
        "data": {"source": str(file), "match": "number"},
        "student": {
            "model": "builtin:tiny",
            "training": {"epochs": 3},
            "inference": {"max_new_tokens": 12},
        },
        "models": {"analyst": teacher, "generator": {**teacher, "temperature": 0.7}, "judge": teacher},
        "patterns": {"embedder": "builtin:minilm"},
        "limits": {"max_calls": 200},
    }
)
print(config.data)

# %% [markdown]
# ## Before anything is spent
#
# What the student will read, and what of it is trained:

# %%
print_train_rows(console, config)

# %% [markdown]
# Calls and tokens to expect; dollars where the price of a model is known (`docs/costs.md`). `pada-graph preview`
# would now carry a handful of failures through to three samples for you to read, for a few calls.

# %%
print_plan(console, config, make_plan(config))

# %% [markdown]
# ## The run
#
# Interrupt the cell and run it again: it goes on, and no answered call is made twice.

# %%
metrics = run(config, own / "run")
print(headline(metrics))

# %%
for line in (own / "run/iteration_1/synthetic_accepted.jsonl").read_text().splitlines()[:3]:
    sample = json.loads(line)
    print(sample["row"]["prompt"], "->", sample["row"]["answer"], f"(rated {sample['review']['score']:.1f} of 10)")

# %% [markdown]
# ## The adapter
#
# `export_run` writes adapter, tokenizer, model card and the synthetic rows with their lineage; with `merged=True` the
# whole model too. Without `iteration` it takes the one that was chosen on validation. The adapter is plain PEFT:

# %%
exported = own / "exported"
if not exported.exists():  # nothing of yours is overwritten
    export_run(own / "run", exported, iteration=1, merged=False)
print(sorted(path.relative_to(exported).as_posix() for path in exported.rglob("*") if path.is_file()))

# %%
from peft import PeftConfig

adapter = PeftConfig.from_pretrained(exported / "adapter")
print(adapter.peft_type.value, "of rank", adapter.r)

# %% [markdown]
# Next: [04 compares methods, and says what a difference means](04_ablations_and_statistics.ipynb).
