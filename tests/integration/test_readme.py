"""What the README shows works as it stands there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pada_graph.config import ROLES, RunConfig
from pada_graph.config_file import load_config
from pada_graph.scoring import score_lines

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
USAGE = (ROOT / "docs/usage.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    return re.search(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)[1]


@pytest.mark.slow
def test_the_python_example_runs(tmp_path):
    subprocess.run([sys.executable, "-c", block("python")], cwd=tmp_path, check=True, timeout=250)
    for name in ("first", "second"):
        metrics = json.loads((tmp_path / f"runs/{name}/metrics.json").read_text())
        assert metrics["iterations"][0]["test"]["n"] == 8


def test_the_bedrock_example_is_the_shipped_one_in_short():
    short = RunConfig.model_validate(yaml.safe_load(block("yaml")))
    assert short == load_config(ROOT / "examples/gsm8k_bedrock.yaml")


def test_every_file_that_the_readme_names_is_there():
    links = [link for link in re.findall(r"\]\(([^)#]+)[)#]", README) if not link.startswith("https:")]
    names = list(re.findall(r"`((?:src|examples|prompts|docs)/[\w/.]+)`", README))
    assert links and names
    assert [name for name in (*links, *names) if not (ROOT / name).exists()] == []


def leaves(section: dict, prefix: str = "") -> dict:
    found = {}
    for name, value in section.items():
        whole = not isinstance(value, dict) or name in ROLES
        found |= {f"{prefix}{name}": value} if whole else leaves(value, f"{prefix}{name}.")
    return found


def test_the_usage_page_names_every_key_with_its_default():
    table = dict(re.findall(r"^\| `([\w.]+)` \| (.*?) \|", USAGE.partition("## Every key")[2], flags=re.MULTILINE))
    defaults = leaves(RunConfig().model_dump())
    assert [key for key in defaults if key not in table] == []
    values = {key: yaml.safe_load(table[key].strip("`")) for key in defaults if table[key].startswith("`")}
    assert values == {key: value for key, value in defaults.items() if not key.startswith("models.")}


def test_the_usage_page_shows_a_line_to_score_for_each_task_and_all_are_right():
    lines = [line for line in USAGE.split("\n") if line.startswith('{"task"')]
    assert {json.loads(line)["task"] for line in lines} == {"arc_challenge", "hellaswag", "gsm8k", "squad", "humaneval"}
    read_only = [line for line in lines if "humaneval" not in line]  # that one needs a sandbox
    assert all(verdict["correct"] for verdict in score_lines(read_only, "docs/usage.md"))
