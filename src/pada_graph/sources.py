"""Where records come from: a folder of JSON Lines, the Hugging Face hub, or the demo's own rows."""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pada_graph.errors import InputError
from pada_graph.paths import JSON_LINES, json_lines, named_file, named_folder, own_files, split_files
from pada_graph.state import Split
from pada_graph.tasks.base import Task

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
_FOLDER = "a folder with train.jsonl, validation.jsonl and test.jsonl (or .jsonl.gz)"
_ONE = "one file FILE.jsonl or FILE.jsonl.gz with all rows"
_CONVERTED = {  # to JSON Lines, by Python alone
    ".csv": "import csv, json, sys; [print(json.dumps(row)) for row in csv.DictReader(open(sys.argv[1], newline='', "
    "encoding='utf-8-sig'))]",
    ".json": "import json, sys; [print(json.dumps(row)) for row in json.load(open(sys.argv[1], encoding='utf-8-sig'))]",
}

Records = Iterable[tuple[int, str, Mapping[str, Any]]]  # row number, its place for messages, the record


def json_object(line: str, place: str) -> dict[str, Any]:
    """Parse one line of JSON Lines.

    Raises:
        InputError: it is not one JSON object of well-formed text; names `place` (file and row).
    """
    try:
        value = json.loads(line, parse_constant=_refuse_constant)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{place}: holds a lone surrogate, half of a character such as an emoji. Write it whole or remove it."
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: not valid JSON ({error}). Each line must be one JSON object.") from error
    if not isinstance(value, dict):
        raise InputError(f"{place}: found a JSON {type(value).__name__}. Each line must be one JSON object.")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def pools_of(task: Task, source: str) -> Mapping[Split, str]:
    """Which of the source's files each split is cut from: its own where a folder has all three, else the task's rule.

    A source that is one file serves all three.

    Raises:
        InputError: there is no such file or folder, or the file is of another kind.
    """
    own: Mapping[Split, str] = {split: split for split in SPLITS}
    if source == "hub":
        return task.pools
    if source == "builtin:demo":
        return own
    if file := json_lines(source):
        return dict.fromkeys(SPLITS, file.name)
    if file := named_file(source):
        raise InputError(f"data.source: {source} is not JSON Lines, one object a line. {_made_json_lines(file)}")
    if named_folder(source) is None:
        raise InputError(
            f"data.source: there is no file or folder {source}, seen from {Path.cwd()}. Use hub, builtin:demo, {_ONE}, "
            f"or {_FOLDER}."
        )
    return own if own_files(source) else task.pools


def _made_json_lines(file: Path) -> str:
    """How a file of another kind becomes one that can be read."""
    new = f"{file.stem}.jsonl"
    if program := _CONVERTED.get(file.suffix.lower()):
        return f'Convert it: python -c "{program}" {file} > {new}'
    return f"If it is, under another name, rename it {new}."


def read_source(task: Task, source: str, file: str) -> Records:
    """Read one file of the source, record by record.

    Raises:
        InputError: it cannot be read; names the place and the way out.
    """
    if source == "hub":
        return _hub(task, file)
    if source == "builtin:demo":
        from pada_graph.demo.data import demo_rows

        rows = {str(split): records for split, records in demo_rows().items()}
        return _placed(f"builtin:demo {file}", rows[file])
    if path := json_lines(source):
        return _lines(path)
    return _folder(Path(source).expanduser(), file)


def _placed(name: str, records: Iterable[Mapping[str, Any]]) -> Records:
    return ((number, f"{name}, row {number}", record) for number, record in enumerate(records, 1))


def _hub(task: Task, file: str) -> Records:
    if task.hub is None:
        raise InputError(f"data.source: task {task.name} has no data set on the hub. Set data.source to {_FOLDER}.")
    try:
        from datasets import load_dataset
        from datasets.exceptions import DatasetsError
    except ImportError as error:
        raise InputError("data.source: hub needs the package datasets: pip install 'pada-graph[train]'.") from error
    path, name = task.hub
    try:
        return _placed(f"hub {path} {file}", load_dataset(path, name, split=file))
    except (OSError, ValueError, DatasetsError) as error:
        raise InputError(
            f"data.source: {path} ({file}) cannot be had from the hub: {error}. Mend the network connection "
            f"(HF_HUB_OFFLINE=1 forbids it), or set data.source to {_FOLDER}."
        ) from error


def _folder(folder: Path, file: str) -> Records:
    paths = split_files(folder, file)
    if not paths:
        lines = [path for path in folder.iterdir() if path.name.lower().endswith(JSON_LINES)]
        one = f" To have its one file split, set data.source: {lines[0]}." if len(lines) == 1 else ""
        raise InputError(f"data.source: {folder} holds no {file}.jsonl or {file}.jsonl.gz. It must be {_FOLDER}.{one}")
    if len(paths) > 1:
        raise InputError(
            f"data.source: {folder} holds {file}.jsonl and {file}.jsonl.gz. Remove the one that is not meant."
        )
    return _lines(paths[0])


def _lines(path: Path) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    place = str(path)
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                place = f"{path}, line {number}"
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                if text.strip():
                    yield number, place, json_object(text, place)
    except UnicodeDecodeError as error:
        raise InputError(f"{place}: not UTF-8 text ({error.reason}). Save the file as UTF-8.") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}). Is it damaged, or cut short?") from error
