"""Imports point one way, and nothing heavy loads before it is used (DESIGN 2)."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "pada_graph"
LAYERS = [
    {"state", "config", "config_file", "errors", "telemetry", "yaml_keys"},
    {"accounting", "clustering", "data", "databases", "demo", "evolution", "executors", "heads", "html", "hub",
     "inheritance", "leakage", "lock", "methods", "near_duplicates", "paths", "prompts", "report", "rundir", "sandbox",
     "scoring", "sizes", "sources", "stages", "starter", "stats", "stopping", "student", "studio", "task_file", "tasks",
     "teacher"},
    {"services"},
    {"nodes", "routing"},
    {"graph"},
    {"consistency", "runner", "studio_saver"},
    {"live", "summary", "tracking", "compare", "plan", "doctor", "preview", "reproduce", "export"},
    {"cli"},
    {"__main__"},
]  # fmt: skip
PLAIN_MAY_IMPORT_UP = {("executors", "services"), ("student", "services"), ("teacher", "services")}  # its Protocols


def level(module: str) -> int:
    return next(number for number, layer in enumerate(LAYERS) if module in layer)


def imports(path: Path, everywhere: bool) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = ast.walk(tree) if everywhere else tree.body
    found = []
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
    return found


FILES = sorted(path for path in SOURCE.rglob("*.py") if path.parent != SOURCE or path.name != "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_one_way(path):
    own = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    for module in imports(path, everywhere=False):
        parts = module.split(".")
        if parts[0] == "langgraph":
            assert level(own) >= level("nodes"), f"{own} is a plain library and imports langgraph"
        if (
            parts[0] == "pada_graph"
            and len(parts) > 1
            and parts[1] != own
            and (own, parts[1]) not in PLAIN_MAY_IMPORT_UP
        ):
            assert level(parts[1]) <= level(own), f"{own} imports {parts[1]}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_heavy_packages_are_imported_where_they_are_used(path):
    heavy = {"torch", "transformers", "trl", "peft", "datasets", "sentence_transformers", "sklearn", "boto3",
             "langchain_aws", "langchain_openai", "matplotlib", "scipy", "statsmodels", "ray", "xllamacpp", "mlflow",
             "trackio"}  # fmt: skip
    assert not heavy & {module.split(".")[0] for module in imports(path, everywhere=False)}


def test_building_the_graph_loads_no_model_library():
    code = (
        "import sys, pada_graph; pada_graph.build_graph();"
        "heavy = ('torch', 'transformers', 'trl', 'sentence_transformers', 'boto3', 'sklearn');"
        "print([module for module in heavy if module in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


@pytest.mark.parametrize(("given", "expected"), [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")])
def test_threads_that_wait_sleep_unless_the_user_had_them_spin(given, expected):
    code = "import os, sys, pada_graph; print('torch' in sys.modules, os.environ['OMP_WAIT_POLICY'])"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | given
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["False", expected]
