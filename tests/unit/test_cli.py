"""The command line as a person types it: exit status and one clear message, never a traceback."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fakes import new_problem, write_sums

PADA = [sys.executable, "-c", "from pada_graph.cli import main; main()"]


def pada(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PADA, *arguments], capture_output=True, text=True, cwd=cwd, timeout=120, check=False)


def config(folder: Path, **changes) -> Path:
    """A run on sums that fails, or stops, before any model is needed."""
    raw = {
        "task": "jsonl",
        "iterations": 0,
        "data": {"source": str(folder / "sums"), "train_size": 20, "validation_size": 12, "test_size": 12},
        "student": {"model": "builtin:tiny"},
        **changes,
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(raw))  # JSON is YAML
    return path


def refused(result: subprocess.CompletedProcess[str], *messages: str) -> None:
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    for message in messages:
        assert message in result.stderr


def test_help_names_the_commands():
    out = pada("--help").stdout
    assert all(
        command in out for command in ("run", "init", "doctor", "plan", "preview", "score", "compare", "reproduce")
    )


def test_a_wrong_option_is_status_2():
    refused(pada("run", "x.yaml", "--nonsense"), "--nonsense")


def test_a_missing_config_is_status_2(tmp_path):
    refused(pada("run", str(tmp_path / "none.yaml")), "none.yaml: cannot be read")


def test_an_unknown_key_is_status_2(tmp_path):
    refused(pada("run", str(config(tmp_path, itterations=3))), "itterations: unknown key; did you mean 'iterations'?")


def test_a_missing_data_folder_is_named(tmp_path):
    refused(pada("run", str(config(tmp_path)), "--run-dir", str(tmp_path / "r")), str(tmp_path / "sums"))


def test_a_wrong_field_is_named_with_file_and_row(tmp_path):
    folder = write_sums(tmp_path / "sums")
    with (folder / "validation.jsonl").open("a") as file:
        file.write('{"prompt": "What is 1 plus 1?", "anwser": "2"}\n')
    result = pada("run", str(config(tmp_path)), "--run-dir", str(tmp_path / "r"))
    refused(result, "validation.jsonl", "13", 'field "answer"')


def test_an_empty_split_is_named(tmp_path):
    (write_sums(tmp_path / "sums") / "test.jsonl").write_text("")
    refused(pada("run", str(config(tmp_path)), "--run-dir", str(tmp_path / "r")), "test holds no rows")


def test_overlapping_splits_are_named_with_the_fix(tmp_path):
    folder = write_sums(tmp_path / "sums")
    rows = [new_problem(f"validation{k}") for k in range(20)]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = pada("run", str(config(tmp_path)), "--run-dir", str(tmp_path / "r"))
    refused(result, "overlap", "data.overlap: drop")


def test_a_split_that_is_too_small_names_the_size_that_fits(tmp_path):
    write_sums(tmp_path / "sums", train=7)
    refused(pada("run", str(config(tmp_path)), "--run-dir", str(tmp_path / "r")), "7")


def test_an_unknown_student_is_named(tmp_path):
    write_sums(tmp_path / "sums")
    path = config(tmp_path, student={"model": "builtin:large"})
    refused(pada("run", str(path), "--run-dir", str(tmp_path / "r")), "builtin:large")


def test_init_writes_a_config_that_loads_and_rows_that_parse(tmp_path):
    from pada_graph.config_file import load_config
    from pada_graph.data import load_splits
    from pada_graph.tasks import get_task

    result = pada("init", "new", cwd=tmp_path)
    assert result.returncode == 0 and "pada.yaml" in result.stdout
    loaded = load_config(tmp_path / "new/pada.yaml", [f"data.source={tmp_path / 'new/data'}"])
    splits = load_splits(get_task("jsonl"), loaded.data)
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 6, "validation": 2, "test": 2}
    rows = [new_problem(str(k)) for k in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*rows, *rows[:2]]))
    loaded = load_config(tmp_path / "new/pada.yaml", [f"data.source={tmp_path / 'rows.jsonl'}"])
    splits = load_splits(get_task("jsonl"), loaded.data)  # nothing in the starter stands in the way of other rows
    assert sum(map(len, splits.values())) + sum(overlap["dropped"] for overlap in splits.overlaps) == 42
    refused(pada("init", "new", cwd=tmp_path), "is not empty")
    refused(pada("init", "new/pada.yaml", cwd=tmp_path), "cannot be made")


@pytest.mark.parametrize(
    ("letter", "models", "student"),
    [
        ("A", ("bedrock_converse:us.", "bedrock_converse:us.", "bedrock_converse:us."), "meta-llama/"),
        ("B", ("openai:NAME", "openai:NAME", "openai:OTHER"), "builtin:smollm2-135m"),
        ("C", ("gguf:/path/to/model", "gguf:/path/to/model", "gguf:/path/to/other"), "meta-llama/"),
    ],
)
def test_the_starters_other_settings_load_in_the_place_of_the_first(tmp_path, letter, models, student):
    import yaml

    from pada_graph.config_file import parse_config
    from pada_graph.starter import FILES

    raw = yaml.safe_load((FILES / "pada.yaml").read_text())
    group = "A"
    for line in (FILES / "pada.yaml").read_text().splitlines():
        if line.startswith("  # ") and line[4:6] in ("A.", "B.", "C."):
            group = line[4]
        setting = re.match(r"  # (model|embedder|analyst|generator|judge): +(.+?)(?: +# ([ABC])\. .*)?$", line)
        if setting and (setting[3] or group) == letter:
            section = {"model": "student", "embedder": "patterns"}.get(setting[1], "models")
            raw[section][setting[1]] = yaml.safe_load(setting[2])
    config = parse_config(raw, "starter")
    for role, model in zip(("analyst", "generator", "judge"), models, strict=True):
        assert getattr(config.models, role).model.startswith(model)
    assert config.student.model.startswith(student)
    assert config.patterns.embedder == (
        "builtin:minilm" if letter == "B" else "sentence-transformers/all-mpnet-base-v2"
    )


def test_score_answers_line_by_line(tmp_path):
    file = tmp_path / "outputs.jsonl"
    lines = [
        {"task": "gsm8k", "output": "6 + 6 = 12\n#### 12", "gold": "12"},
        {"task": "squad", "output": "the Eiffel tower", "gold": ["Eiffel Tower"]},
        {"task": "arc_challenge", "output": "B", "gold": {"answer": "A", "choices": ["x", "y"]}},
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = pada("score", str(file))
    verdicts = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.returncode == 0 and result.stderr == "2 of 3 correct (66.7%)\n"
    assert [v["correct"] for v in verdicts] == [True, True, False]
    assert set(verdicts[0]) == {"correct", "parsed", "reason"}


@pytest.mark.parametrize(
    ("text", "message"), [('{"task": "gsm8k"', "line 1"), ('{"task": "x", "output": "", "gold": ""}', "task")]
)
def test_score_names_a_bad_line(tmp_path, text, message):
    (tmp_path / "bad.jsonl").write_text(text + "\n")
    refused(pada("score", str(tmp_path / "bad.jsonl")), "bad.jsonl", message)


def test_score_refuses_what_is_missing_or_empty_and_help_names_the_golds(tmp_path):
    refused(pada("score", str(tmp_path / "none.jsonl")), "none.jsonl: No such file or directory.")
    (tmp_path / "empty.jsonl").write_text("\n")
    refused(pada("score", str(tmp_path / "empty.jsonl")), "empty.jsonl: holds no line to score")
    told = pada("score", "--help").stdout
    assert all(task in told for task in ("arc_challenge", "hellaswag", "gsm8k", "squad", "humaneval"))


def test_the_package_can_be_run_as_a_module():
    result = subprocess.run([sys.executable, "-m", "pada_graph", "--help"], capture_output=True, text=True, check=False)
    assert result.returncode == 0 and "preview" in result.stdout


def test_what_the_test_can_show_is_said_before_a_run(tmp_path):
    result = pada("run", str(config(tmp_path)), "--run-dir", str(tmp_path / "r"))
    assert result.returncode == 2
    assert result.stdout.startswith("With 12 test items a true gain below about 36.2 points usually goes undetected")


def test_compare_prints_tables_and_the_same_as_json(tmp_path):
    from tests.unit.test_compare import three, write_run

    runs = [str(write_run(tmp_path / f"{n}", three(end=end), iterations=n)) for n, end in ((3, 40), (1, 44))]
    result = pada("compare", *runs)
    assert result.returncode == 0, result.stderr
    assert "2 iteration 1 *" in result.stdout and "no detectable difference" in result.stdout
    assert "\x1b" not in result.stdout
    found = json.loads(pada("compare", *runs, "--json").stdout)
    assert [row["correct"] for row in found["models"]] == [10, 20, 40, 10, 20, 44]
    assert [d["verdict"] for d in found["differences"]] == ["better", "better", "no detectable difference"]


def test_compare_refuses_what_is_no_finished_run(tmp_path):
    refused(pada("compare", str(tmp_path)), "not a run directory")
    refused(pada("compare"), "Missing argument")


def teacher(model: dict) -> dict:
    return {"iterations": 1, "models": dict.fromkeys(("analyst", "generator", "judge"), model)}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"model": "no-such-provider:x"}, "models.analyst.model"),
        ({"model": "openai:x", "base_url": "http://127.0.0.1:9/v1"}, "models.analyst.model"),
        ({"model": "bedrock_converse:x"}, "region"),
        ({"model": "gguf:/nowhere.gguf"}, "/nowhere.gguf"),
    ],
)
def test_a_teacher_that_cannot_be_had_is_named_before_training(tmp_path, monkeypatch, model, message):
    for name in ("OPENAI_API_KEY", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    write_sums(tmp_path / "sums")
    refused(pada("run", str(config(tmp_path, **teacher(model))), "--run-dir", str(tmp_path / "r")), message)
    assert not (tmp_path / "r/iteration_0").exists()


def test_an_embedder_that_cannot_be_had_is_named_before_training_and_may_be_corrected(tmp_path):
    data = {"source": "builtin:demo", "train_size": 20, "validation_size": 6, "test_size": 6}
    demo = {"task": "demo", "data": data, **teacher({"model": "builtin:rules"})}
    path = config(tmp_path, **demo, patterns={"embedder": "nobody/no-model"})
    refused(pada("run", str(path), "--run-dir", str(tmp_path / "r")), "patterns.embedder: nobody/no-model")
    path = config(tmp_path, **demo, patterns={"embedder": "builtin:minilm"}, method="vanilla")
    assert pada("run", str(path), "--run-dir", str(tmp_path / "r")).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_at_once_and_the_same_command_goes_on(tmp_path, number):
    raw = {
        "task": "demo",
        "iterations": 0,
        "data": {"source": "builtin:demo", "train_size": 64, "validation_size": 6, "test_size": 6},
        "student": {"model": "builtin:tiny", "training": {"epochs": 12}, "inference": {"max_new_tokens": 4}},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(raw))
    command = [*PADA, "run", "config.yaml", "--run-dir", "run"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "run/iteration_0/training_log.jsonl"
    while not log.exists() or log.stat().st_size == 0:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.send_signal(number)
    _, error = process.communicate(timeout=5)
    assert process.returncode == 128 + number
    assert error.strip().endswith("everything finished is kept. The same command goes on from here.")
    assert subprocess.run(command, cwd=tmp_path, check=False, timeout=200).returncode == 0


@pytest.mark.parametrize(("command", "goes_on"), [("run", True), ("preview", False)])
def test_only_run_promises_that_the_same_command_goes_on(tmp_path, command, goes_on):
    (tmp_path / "config.yaml").write_text("task: demo\nlimits: {max_calls: 0}\n")
    stop = "def stop(*_, **__): raise errors.StoppedError('a limit was met')"
    code = f"from pada_graph import cli, config_file, errors\n{stop}\nconfig_file.load_config = stop\ncli.main()"
    arguments = [sys.executable, "-c", code, command, "config.yaml"]
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1 and "a limit was met\nStopped" in done.stderr
    assert ("everything finished is kept. The same command goes on from here." in done.stderr) is goes_on


def test_reproduce_names_every_impossible_cell_and_starts_nothing(tmp_path):
    write_sums(tmp_path / "sums")
    out = tmp_path / "out"
    options = ["--methods", "vanilla", "--tasks", "jsonl", "--sizes", "20,21,99", "--out", str(out)]
    result = pada("reproduce", "table1", str(config(tmp_path)), *options)
    refused(result, "Nothing was started", "jsonl 21: ", "jsonl 99: ")
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("table3",), "the tables are table1 and table2"),
        (("table1", "--methods", "vanila"), "--methods: unknown: vanila"),
        (("table1", "--seeds", "one"), "--seeds: whole numbers"),
        (("table2", "--methods", "pada"), "--methods belongs to table1"),
    ],
)
def test_reproduce_refuses_what_is_no_table(tmp_path, arguments, message):
    table, *options = arguments
    refused(pada("reproduce", table, str(config(tmp_path)), *options), message)


def test_a_grid_with_a_failed_cell_is_status_1_and_says_how_to_go_on(tmp_path):
    write_sums(tmp_path / "sums")
    path = config(tmp_path, student={"model": str(tmp_path / "nothing")})
    options = ["--methods", "vanilla", "--tasks", "jsonl", "--sizes", "10,20", "--out", str(tmp_path / "out")]
    result = pada("reproduce", "table1", str(path), *options)
    assert result.returncode == 1 and "Traceback" not in result.stderr, result.stderr
    assert "2 of 2 cells are missing" in result.stderr and "The same command goes on from here." in result.stderr
    assert result.stdout.count("failed: ") == 2 and "Missing: jsonl-vanilla-n10-s0-" in result.stdout
    log = (tmp_path / "out/cells.log").read_text()
    assert log.count("begins") == 2 and log.count("failed: ") == 2


@pytest.mark.slow
def test_a_grid_that_is_interrupted_goes_on_with_the_same_command(tmp_path):
    command = [*PADA, "reproduce", "table1", "examples/reproduce_smoke.yaml", "--tasks", "demo", "--sizes", "16"]
    command += ["--methods", "vanilla", "--out", str(tmp_path / "out")]
    root = Path(__file__).parents[2]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root)
    assert child.stdout
    for line in child.stdout:
        if "fine-tuning" in line:
            break
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130 and "The same command goes on from here." in errors
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert "All 1 cells are done." in done.stdout
    again = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=60, check=False)
    assert again.returncode == 0 and "begins" not in again.stdout
