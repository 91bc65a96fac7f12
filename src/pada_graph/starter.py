"""`pada-graph init`: a folder to start from."""

import json
import shutil
from pathlib import Path

from pada_graph.errors import InputError

FILES = Path(__file__).parent / "starter_files"
QUESTIONS = [
    ("Which unit is electric current measured in?", "ampere"),
    ("Which unit is electric resistance measured in?", "ohm"),
    ("Which unit is force measured in?", "newton"),
    ("Which unit is pressure measured in?", "pascal"),
    ("Which unit is frequency measured in?", "hertz"),
    ("Which unit is power measured in?", "watt"),
    ("Which unit is energy measured in?", "joule"),
    ("Which unit is electric charge measured in?", "coulomb"),
    ("Which unit is magnetic flux density measured in?", "tesla"),
    ("Which unit is luminous intensity measured in?", "candela"),
]
SPLITS = {"train": QUESTIONS[:6], "validation": QUESTIONS[6:8], "test": QUESTIONS[8:]}


def write_starter(directory: Path) -> list[Path]:
    """Write pada.yaml and ten example rows into a folder; return the files.

    Raises:
        InputError: the folder already holds something.
    """
    try:
        taken = directory.exists() and any(directory.iterdir())
        written = [] if taken else _write(directory)
    except (OSError, ValueError) as error:  # ValueError: a null byte
        raise InputError(f"{str(directory)!r}: cannot be made ({error}). Name another folder.") from error
    if taken:
        raise InputError(f"{directory}: is not empty. Name a new folder, so that nothing of yours is overwritten.")
    return written


def _write(directory: Path) -> list[Path]:
    (directory / "data").mkdir(parents=True)
    shutil.copyfile(FILES / "pada.yaml", directory / "pada.yaml")
    written = [directory / "pada.yaml"]
    for split, questions in SPLITS.items():
        path = directory / "data" / f"{split}.jsonl"
        rows = [{"prompt": question, "answer": answer} for question, answer in questions]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        written.append(path)
    return written
