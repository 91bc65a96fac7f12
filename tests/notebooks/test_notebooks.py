"""The notebooks: script and notebook have the same cells, every cell works, and what is kept is fit to be read."""

import json
import re
import resource
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import nbformat
import pytest

from pada_graph import run
from pada_graph.compare import compare_runs
from tests.fake_provider import FakeProvider
from tests.fakes import write_sums
from tests.notebooks.execute import SCRIPTS, execute, read_script
from tests.paid_runs import answering, paid_config, paid_services

ROOT = Path(__file__).parents[2]
CPU_SECONDS = 300  # of one notebook; measured beside other load: 73 to 137
NAMES = [script.stem for script in SCRIPTS]
# Absolute paths, addresses of objects, keys as providers make them.
UNFIT = re.compile(r"(?<![\w.:/])/\w[\w.-]*/\w|[A-Z]:\\|\bat 0x[0-9a-f]+|\bsk-\w{8}|\bAKIA\w")


def script(name: str) -> Path:
    return next(path for path in SCRIPTS if path.stem == name)


def kept(name: str) -> Any:
    return nbformat.read(script(name).with_suffix(".ipynb"), as_version=4)


def said(notebook: Any) -> str:
    """All that the cells printed."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(output["text"] for output in outputs if output["output_type"] == "stream")


def plots(notebook: Any) -> int:
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def fates(text: str) -> list[list[int]]:
    """The books: requested, and how many samples met each fate."""
    return [[int(number) for number in re.findall(r"\d+", line)] for line in re.findall(r"requested \d+ = .*", text)]


@pytest.mark.parametrize("name", NAMES)
def test_a_script_and_its_notebook_have_the_same_cells(name):
    cells = [(cell["id"], cell["cell_type"], cell["source"]) for cell in read_script(script(name)).cells]
    assert [(cell["id"], cell["cell_type"], cell["source"]) for cell in kept(name).cells] == cells
    assert len(cells) > 10, "no percent script was read"


@pytest.mark.parametrize("name", NAMES)
def test_what_a_notebook_keeps_is_fit_to_be_read(name):
    notebook = kept(name)
    nbformat.validate(notebook)
    assert all(cell["execution_count"] for cell in notebook.cells if cell["cell_type"] == "code")
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert outputs and {output["output_type"] for output in outputs} <= {"stream", "display_data", "execute_result"}
    assert [output["text"] for output in outputs if output.get("name") == "stderr"] == []
    assert UNFIT.findall(said(notebook)) == []
    assert script(name).with_suffix(".ipynb").stat().st_size < 400_000


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", NAMES)
def test_every_cell_works(name, tmp_path):
    before = children_seconds()
    text = said(execute(script(name), tmp_path))
    assert all(requested == sum(rest) for requested, *rest in fates(text))
    assert children_seconds() - before < CPU_SECONDS
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    CHECKS[name](text, tmp_path)


def children_seconds() -> float:
    """CPU seconds of the processes that have ended, with theirs: the load of the machine hardly counts."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_run_of_ones_own_is_looked_into_without_the_cell_that_makes_one(tmp_path):
    with FakeProvider(answering()) as provider:
        root = tmp_path / "runs/inspected"
        config = paid_config(provider, write_sums(tmp_path / "sums"), iterations=1)
        run(config, root, services=paid_services(config, root))
    text = said(execute(script("02_inspect_a_run"), tmp_path, without="metrics = run(config, folder)"))
    check_inspection(text, tmp_path)
    assert "round 1: " in text and "round 2: " not in text


def test_the_stand_in_answers_as_a_command():
    command = [sys.executable, "-m", "tests.notebooks.stand_in", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        url = re.findall(r"http://\S+/v1", server.stdout.readline())[0]
        asked = {"model": "stand-in", "messages": [{"role": "user", "content": 'Based on [\n[{"category_name": "x"}]'}]}
        with urllib.request.urlopen(f"{url}/chat/completions", json.dumps(asked).encode()) as reply:
            assert "category_name" in json.load(reply)["choices"][0]["message"]["content"]
        server.terminate()


def check_quickstart(text: str, folder: Path) -> None:
    assert "Stopped: limits.max_calls: 10 teacher calls were made, 10 are allowed." in text
    assert "Going on with runs/quickstart: 10 finished teacher calls in the journal." in text
    calls = [int(count) for count in re.findall(r"^(?:analyst|generator|judge): (\d+) calls", text, flags=re.MULTILINE)]
    assert len(calls) == 3 and sum(calls) == journalled(folder / "runs/quickstart") > 10
    assert text.count("iteration 0: fine-tuning") == text.count("iteration 1: fine-tuning") == 1
    assert "0 events, same metrics: True" in text
    assert fates(text)
    assert (folder / "runs/quickstart/report.html").exists()


def journalled(run: Path) -> int:
    """Calls in a run's journal, each sent once."""
    import sqlite3

    with sqlite3.connect(run / "teacher_calls.sqlite") as connection:
        calls, sent = connection.execute("SELECT COUNT(*), SUM(starts) FROM calls").fetchone()
    assert calls == sent
    return int(calls)


def check_inspection(text: str, folder: Path) -> None:
    metrics = json.loads((folder / "runs/inspected/metrics.json").read_text())
    journal = re.findall(r"^(\w+): (\d+) calls, (\d+) tokens in", text, flags=re.MULTILINE)
    teacher = {role: (str(use["calls"]), str(use["input_tokens"])) for role, use in metrics["teacher"].items()}
    assert {role: tuple(rest) for role, *rest in journal} == teacher
    wrong = metrics["iterations"][0]["validation"]["n"] - metrics["iterations"][0]["validation"]["correct"]
    count = metrics["iterations"][0]["validation"]["n"]
    assert f"{wrong} of {count} validation answers of iteration 0 are wrong; {wrong} were analysed." in text
    named = [line for line in text.splitlines() if re.match(r"t1-p\d+ \(\d+ failures\)", line)]
    assert sum(int(re.findall(r"\((\d+)", line)[0]) for line in named) == wrong
    assert (folder / "runs/inspected/report.html").exists()


def check_own_data(text: str, folder: Path) -> None:
    assert "3 of 24 train rows" in text and "LORA of rank 32" in text
    samples = re.findall(r"^Somebody counts (\d+) (\w+) .* -> (\d+) \(rated 8.3 of 10\)$", text, flags=re.MULTILINE)
    factors = {"hours": 60, "weeks": 7, "dozens": 12, "metres": 100}
    assert samples and all(int(amount) * factors[unit] == int(answer) for amount, unit, answer in samples)
    assert (folder / "runs/own/exported/dataset").is_dir()
    assert "sk-" not in (folder / "runs/own/run/resolved_config.json").read_text()
    assert "LORA of rank 32" in said(execute(script("03_your_own_data"), folder)), "it cannot be run again"


def check_ablations(text: str, folder: Path) -> None:
    found = json.loads((folder / "runs/without_patterns/metrics.json").read_text())
    assert found["iterations"][1]["synthetic_rows"] == 18
    assert not (folder / "runs/without_patterns/iteration_1/analyses.jsonl").exists()
    assert text.count("36 + 18 rows") == 3  # the same budget
    comparison = compare_runs([folder / "runs" / name for name in ("repeated", "pada", "without_patterns")])
    for kind in ("iteration 0", "baseline"):
        found = [difference for difference in comparison["differences"] if difference["against"] == kind]
        raw, adjusted = ([round(difference[p], 3) for difference in found] for p in ("p_value", "holm"))
        assert f"against {kind}: {raw} -> {adjusted}" in text
    assert "[0.01, 0.02, 0.04] -> [0.03, 0.04, 0.04]" in text
    trained = [
        json.loads((folder / f"runs/{name}/inherited.json").read_text()) for name in ("pada", "without_patterns")
    ]
    assert all("iteration_0/adapter/adapter_model.safetensors" in given["files"] for given in trained)
    assert (folder / "runs/comparison.html").exists()


CHECKS = {
    "01_quickstart": check_quickstart,
    "02_inspect_a_run": check_inspection,
    "03_your_own_data": check_own_data,
    "04_ablations_and_statistics": check_ablations,
}
PLOTS = {"02_inspect_a_run": 3, "04_ablations_and_statistics": 1}


@pytest.mark.parametrize("name", NAMES)
def test_plots_are_kept(name):
    assert plots(kept(name)) == PLOTS.get(name, 0)
