"""What the README shows works as it stands there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pada_graph.config import RunConfig, load_config

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


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
    links = re.findall(r"\]\(([^)#]+)\)", README)
    names = list(re.findall(r"`((?:src|examples|prompts|docs)/[\w/.]+)`", README))
    assert links and names
    assert [name for name in (*links, *names) if not (ROOT / name).exists()] == []
