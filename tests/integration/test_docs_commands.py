"""Every shell, Python, YAML and JSON block of README and docs works as it stands there, or is listed with the reason.

The blocks of a page run in one folder, in order, as a reader would give them. Where a reader has large models, the
page gets a small stand-in: a configuration of its own, or further options of `pada-graph`. Blocks in `NOT_RUN` are
given to a shell all the same, whose programs only take down how they were called: command, options, targets, extras
and files have to exist.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pada_graph import state
from pada_graph.config import ROLES, RunConfig
from pada_graph.teacher.prices import PriceList
from tests.doc_blocks import PAGES, ROOT, SHELL, Block, Shell, blocks, fault, fenced

SMALL = ROOT / "examples/reproduce_smoke.yaml"  # a random student, the demo's rules as teachers: half a minute
TINY = ["student.model=builtin:tiny", "student.training.epochs=1", "student.inference.max_new_tokens=8"]
RULES = "{model: 'builtin:rules', temperature: null}"
DEMO = ["task=demo", "data={source: 'builtin:demo', train_size: 24, validation_size: 12, test_size: 24}"]
ROUND = [*TINY, *DEMO, *[f"models.{role}={RULES}" for role in ("analyst", "generator", "judge")]]
ROUND += ["patterns.embedder=builtin:minilm", "generation.batch_size=5", "iterations=1"]


def sets(*settings: str) -> list[str]:
    return [part for setting in settings for part in ("--set", setting)]


OWN_ROWS = {
    "run": sets(*TINY, "method=vanilla"),
    "doctor": sets(*TINY, "method=vanilla"),
    "plan": sets(*TINY),
    "preview": sets(*ROUND),
}
# Further options of commands, by page and command.
STAND_INS = {
    "README.md": OWN_ROWS,
    "docs/tutorial.md": OWN_ROWS,
    "docs/costs.md": {"plan": sets(*ROUND)},
    "docs/tasks.md": OWN_ROWS,
}
# What a page's folder holds before its first block: names of configurations, of finished runs.
CONFIGS = {
    "docs/bedrock.md": ["pada.yaml"],
    "docs/compare.md": ["pada.yaml"],
    "docs/costs.md": ["priced.yaml"],
    "docs/human_review.md": ["review.yaml"],
    "docs/local_llm.md": ["local.yaml"],
    "docs/watch.md": ["watched.yaml"],
}
RUNS = {
    "docs/compare.md": "runs/one",
    "docs/events.md": "runs/one",
    "docs/export.md": "runs/one",
    "docs/run_directory.md": "runs/one",
    "docs/tutorial.md": "runs/demo",
    "docs/watch.md": "runs/one",
}
# Page and beginning of a block that is not run: why.
NOT_RUN = {
    ("README.md", "git clone"): "the demo takes ten minutes",
    ("README.md", "from pada_graph import"): "test_readme.py runs it and looks at its results",
    ("docs/export.md", "hf auth login"): "needs an account; test_export.py uploads to a stand-in of the hub",
    ("docs/export.md", "python -m benchmarks.export_elsewhere"): "installs vLLM and asks two other engines",
    ("docs/export.md", "python convert_hf_to_gguf.py"): "needs llama.cpp",
    ("docs/export.md", "vllm serve"): "needs vLLM and a GPU",
    ("docs/first_real_runs.md", "pada-graph run"): "needs an LLM",
    ("docs/first_real_runs.md", "python benchmarks/verify_answers.py"): "needs an LLM and the runs of that page",
    ("docs/notebooks.md", "make notebooks"): "tests/notebooks executes them",
    ("docs/notebooks.md", "python -m tests.notebooks"): "a server that never ends; tests/notebooks starts it",
    (
        "docs/reproduce.md",
        "pada-graph reproduce",
    ): "eight runs or more; test_reproduce.py fills both tables",
    ("docs/results.md", "pada-graph reproduce"): "needs an LLM and two hours",
    ("docs/scale.md", "#!/bin/bash"): "needs Slurm",
    ("docs/scale.md", "# In job.json"): "needs SageMaker",
    ("docs/scale.md", 'pip install -e ".[ray]"'): "needs a cluster; test_ray.py does it on this machine",
    ("docs/scale.md", "srun"): "needs Slurm and four GPUs",
    ("docs/studio.md", "from langgraph_sdk"): "needs a server; tests/studio runs it on one",
    ("docs/studio.md", "pip install"): "a server that never ends; tests/studio starts it",
    ("docs/tutorial.md", "git clone"): "the demo takes ten minutes",
    ("docs/walkthrough.md", "git clone"): "installs everything anew",
    ("docs/walkthrough.md", "import torch"): "needs the export of a run with an LLM",
    ("docs/walkthrough.md", "pada-graph doctor"): "needs an LLM",
    ("docs/walkthrough.md", "pada-graph export"): "needs a run with an LLM",
    ("docs/walkthrough.md", "pada-graph plan"): "its configuration names an LLM of the reader's",
    ("docs/walkthrough.md", "pada-graph run"): "needs an LLM",
    ("docs/usage.md", 'python -c "'): "a server that never ends, for a GGUF file of the reader's",
}
RUNNING = {"pada-graph", "pip", "python"}  # pip: everything is installed; its requirements have to be known
PRICES = [("docs/costs.md", "# my_prices.yaml")]  # YAML that is no configuration of a run
SAVED = [*PRICES, ("docs/tasks.md", "# lengths.py"), ("docs/tasks.md", "# lengths.yaml")]  # blocks that are files


def listed(block: Block) -> list[tuple[str, str]]:
    """The entries of `NOT_RUN` that name a block."""
    return [(page, start) for page, start in NOT_RUN if page == block.page and block.text.startswith(start)]


LISTED = [block for block in blocks(*SHELL, "python") if listed(block)]
RUN = [block for block in blocks(*SHELL, "python") if block not in LISTED]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A finished run of one round."""
    root = tmp_path_factory.mktemp("finished") / "run"
    call = [sys.executable, "-m", "pada_graph", "run", str(SMALL), "--run-dir", str(root)]
    subprocess.run(call, check=True, capture_output=True, timeout=250, env=environment())
    return root


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


def furnish(folder: Path, page: str, finished: Path) -> None:
    """Put into a page's folder what its blocks take for granted."""
    (folder / "examples").symlink_to(ROOT / "examples")
    for name in CONFIGS.get(page, []):
        shutil.copyfile(SMALL, folder / name)
    if page in RUNS:
        shutil.copytree(finished, folder / RUNS[page])
    for block in fenced(ROOT / page):
        if (page, block.first) in SAVED:
            (folder / block.first.removeprefix("# ")).write_text(block.text)
    if page == "docs/usage.md":
        rows = ({"prompt": f"What is {number} and {number}?", "answer": str(2 * number)} for number in range(1200))
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if page == "docs/tasks.md":
        rows = ({"question": f"How long is plank number {n}?", "answer": f"{n}.5 m"} for n in range(1, 41))
        (folder / "lengths.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if page == "docs/walkthrough.md":
        (folder.parent / "pada-graph").symlink_to(ROOT)
        (folder / "data").mkdir()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", sorted({block.page for block in RUN}))
def test_the_blocks_of_a_page_work_one_after_the_other(page, finished, tmp_path):
    shell = Shell(tmp_path, "run", STAND_INS.get(page))
    furnish(shell.folder, page, finished)
    for block in [block for block in RUN if block.page == page]:
        if block.language == "python":
            call = [sys.executable, "-c", block.text]
            done = subprocess.run(
                call, cwd=shell.folder, env=environment(), check=False, capture_output=True, text=True, timeout=280
            )
        else:
            calls, done = shell.give(block.text)
            assert [found for call in calls if (found := fault(call))] == [], block
            assert {call[0] for call in calls} <= RUNNING, f"{block}: list it in NOT_RUN, with the reason"
            assert calls or not block.text.startswith("pada-graph"), block
        assert done.returncode == 0, f"{block}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


@pytest.mark.parametrize("block", LISTED, ids=str)
def test_a_block_that_is_not_run_could_be_given(block, tmp_path):
    if block.language == "python":
        compile(block.text, str(block), "exec")
        return
    calls, done = Shell(tmp_path, "parse").give(block.text)
    assert calls and "syntax error" not in done.stderr and "command not found" not in done.stderr, done.stderr
    assert [found for call in calls if (found := fault(call))] == []


def test_the_list_of_blocks_that_are_not_run_has_no_stale_entry():
    found = [entry for block in LISTED for entry in listed(block)]
    assert sorted(found) == sorted(NOT_RUN)  # each entry names one block, and one alone


def test_stand_ins_belong_to_pages_that_are_there():
    named = {*STAND_INS, *CONFIGS, *RUNS, *(page for page, _ in [*NOT_RUN, *SAVED])}
    assert named <= {str(path.relative_to(ROOT)) for path in PAGES}


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_a_yaml_block_is_a_configuration(block: Block):
    raw = yaml.safe_load(block.text)
    if (block.page, block.first) in PRICES:
        assert PriceList.model_validate(raw).models
    else:
        RunConfig.model_validate(raw)


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_a_json_block_is_json(block: Block):
    assert [json.loads(line) for line in block.text.splitlines()]


def quoted(page: str) -> set[str]:
    """What a page has in code style, and the fields of the records that it asks for."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    records = [vars(state)[name].__annotations__ for name in re.findall(r"<!-- generated: record (\w+) -->", text)]
    return {*re.findall(r"`([^`\n]+)`", text), *(field for fields in records for field in fields)}


@pytest.mark.slow
def test_every_file_of_a_run_is_on_its_page(finished):
    names = set()
    for path in finished.rglob("*"):
        first, *rest = path.relative_to(finished).parts
        folder = first == "untuned" or first.startswith("iteration_")
        if path.is_file() and folder and len(rest) > 1:
            names.add("batches/ID.json" if rest[0] == "batches" else f"{rest[0]}/")
        elif path.is_file():
            names.add(rest[0] if rest else first)
    assert len(names) > 30 and names - quoted("run_directory.md") == set()


@pytest.mark.slow
def test_every_line_of_a_runs_files_has_the_fields_of_its_page(finished):
    known = quoted("run_directory.md")
    unknown = {}
    for path in [*finished.glob("data/overlaps.jsonl"), *finished.glob("iteration_1/*.jsonl")]:
        keys = {key for line in path.read_text().splitlines() for key in json.loads(line)}
        if keys - known:
            unknown[path.name] = keys - known
    assert unknown == {}


@pytest.mark.slow
def test_every_key_of_metrics_is_on_its_page(finished):
    def keys(value: object) -> set[str]:
        if isinstance(value, dict):
            return {*value, *(key for part in value.values() for key in keys(part))}
        return {key for part in value for key in keys(part)} if isinstance(value, list) else set()

    metrics = json.loads((finished / "metrics.json").read_text())
    assert keys(metrics) - {*ROLES, *quoted("metrics.md")} == set()
