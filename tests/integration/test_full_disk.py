"""A file system that refuses to grow a file, at several sizes: a clear stop, and the same command finishes later."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

PADA = [sys.executable, "-c", "from pada_graph.cli import main; main()", "run"]
CONFIG = {
    "task": "demo",
    "iterations": 0,
    "data": {"source": "builtin:demo", "train_size": 8, "validation_size": 6, "test_size": 6},
    "student": {"model": "builtin:tiny", "training": {"epochs": 1}, "inference": {"max_new_tokens": 4}},
}


@pytest.mark.slow
@pytest.mark.parametrize("limit", [600, 3_000, 60_000])
def test_a_full_disk_stops_resumably(tmp_path: Path, limit: int):
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps(CONFIG))
    command = [*PADA, str(config), "--run-dir", str(tmp_path / "run")]
    full = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert full.returncode == 1, full.stderr
    assert "Traceback" not in full.stderr and "The same command goes on from here." in full.stderr
    again = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "run/metrics.json").read_text())["iterations"][0]["test"]["n"] == 6
