"""A task file that cannot be used is refused with its place and the fix; `score` takes one from the command line."""

import json

import pytest

from pada_graph.config import RunConfig
from pada_graph.data import load_splits
from pada_graph.errors import InputError
from pada_graph.nodes.open import default_run_dir, resolve
from pada_graph.scoring import score_lines
from pada_graph.studio import StudioConfig
from pada_graph.tasks import get_task
from tests.doc_blocks import ROOT, fenced

FILE = next(block.text for block in fenced(ROOT / "docs/tasks.md") if block.first == "# lengths.py")


@pytest.fixture
def path(tmp_path):
    place = tmp_path / "lengths.py"
    place.write_text(FILE)
    return place


def test_the_tasks_of_the_package_that_a_file_imports_are_not_its_own(path):
    path.write_text(f"from pada_graph.tasks.gsm8k import Gsm8k\n{FILE}")
    task = get_task(str(path))
    assert type(task).__name__ == "Lengths" and task.score("2500 m", {"answer": "2.5 km"}).correct


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", r"exactly one subclass .* \(found: none\)"),
        (FILE + "\n\nclass Second(Lengths): ...\n", r"exactly one subclass .* \(found: Lengths, Second\)"),
        (FILE.replace("def score", "def scores"), r"class Lengths lacks score\. Write them"),
        (FILE.replace("max_new_tokens", "max_tokens"), r"class Lengths has no max_new_tokens\. Set them"),
        (FILE + "\n    def __init__(self, unit): ...\n", r"class Lengths is made without arguments"),
        ("import re\nimport nowhere_to_be_found\n", r"line 2: ModuleNotFoundError: .*nowhere_to_be_found.*install"),
        ("def f():\n    return 1 / 0\n\nf()\n", r"line 2: ZeroDivisionError: division by zero\. Mend it"),
        ("raise SystemExit('no')\n", r"line 1: SystemExit: no\. Mend it"),
        ("class Broken(\n", r"line 1: '\(' was never closed\. Mend it: the file has to be Python"),
        ("x = '\0'\n", r"line 1: .*null bytes\. Mend it"),
    ],
)
def test_a_file_that_holds_no_task_is_refused_with_its_place(path, text, message):
    path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        get_task(str(path))
    assert str(path) in str(error.value)


def test_a_missing_file_is_no_error_of_the_configuration_but_of_what_needs_it(tmp_path):
    config = RunConfig(task=str(tmp_path / "nowhere.py"))
    assert config.task_sha256 is None
    with pytest.raises(InputError, match=r"nowhere\.py: cannot be read .* seen from where the command is started"):
        get_task(config.task)


def test_a_pinned_sha256_is_kept_and_that_of_a_named_task_is_not(path):
    assert RunConfig(task=str(path), task_sha256="0" * 64).task_sha256 == "0" * 64
    assert RunConfig(task="gsm8k", task_sha256="0" * 64).task_sha256 is None
    found = RunConfig(task=str(path)).task_sha256
    assert found and resolve({"task": "jsonl"}, RunConfig(task=str(path))).task_sha256 is None
    assert resolve({"task": str(path)}, RunConfig()).task_sha256 == found


def test_a_folder_in_the_path_is_in_no_name(path):
    config = RunConfig(task=str(path))
    assert config.task_name == "lengths.py" and default_run_dir(config) == "runs/lengths-pada-n1000-s0"


def test_studios_form_has_a_field_for_the_task_with_examples():
    field = StudioConfig.model_json_schema()["properties"]["task"]
    assert field["type"] == "string" and field["default"] == "gsm8k"
    assert {"squad", "jsonl", "./my_task.py"} <= set(field["examples"])


def test_a_field_that_a_row_lacks_is_named_although_the_task_did_not_look(path, tmp_path):
    path.write_text(FILE.replace('text_field(raw, "answer")', 'raw["answer"]'))
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"question": "How far?", "answer": "1 km"}\n{"question": "How deep?"}\n')
    config = RunConfig(task=str(path), data={"source": str(rows)})
    with pytest.raises(InputError, match=r"l, line 2: field 'answer' is missing; the row has: question\. Mend"):
        load_splits(get_task(config.task), config.data)


def test_score_takes_the_file_from_its_caller_and_never_from_a_line(path):
    gold = {"question": "How far?", "answer": "2.5 km"}
    lines = [json.dumps({"task": "lengths.py", "output": output, "gold": gold}) for output in ("2500 m", "3 km")]
    assert [verdict["correct"] for verdict in score_lines(lines, "here", own=path)] == [True, False]
    with pytest.raises(InputError, match=r'line 1: field "task" must be one of .*humaneval, but is'):
        list(score_lines([json.dumps({"task": str(path), "output": "1 m", "gold": gold})], "here"))
    bad = json.dumps({"task": "lengths.py", "output": "1 m", "gold": {"question": "How far?", "answer": "far"}})
    with pytest.raises(InputError, match=r'here, line 1: field "answer" must be a number and one of mm'):
        list(score_lines([bad], "here", own=path))
