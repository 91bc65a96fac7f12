"""Writes an export: adapter/, merged/ and dataset/, each one repository of the hub. All or nothing."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pada_graph.errors import InputError
from pada_graph.export.cards import dataset_card, model_card
from pada_graph.export.dataset import dataset_rows, write_dataset
from pada_graph.export.licences import model_obligations, name_begins, notice
from pada_graph.export.model import Parity, write_adapter, write_merged
from pada_graph.export.names import REPOSITORIES, check_name, hub_id
from pada_graph.export.source import Source, open_source
from pada_graph.paths import named_folder
from pada_graph.student import manifest, models

PARITY = "merged/parity.json"


@dataclass(frozen=True)
class Exported:
    """What lies in the folder now."""

    folder: Path
    iteration: int
    rank: int  # of the adapter
    parts: list[str]  # of adapter, merged, dataset
    samples: int
    most_samples: tuple[int, int]  # the iteration with the most synthetic rows of the run, and their number
    parity: Parity | None
    base: str  # what to load the adapter on: an id of the hub, or a folder
    base_folder: str | None  # where it is one that the configuration names: nobody else has it
    obligations: list[str]  # of the licences, as the model's card has them
    name_begins: str  # how a published name has to begin; empty: no licence says it


def export_run(
    run_dir: Path | str,
    out: Path | str,
    *,
    iteration: int | None = None,
    merged: bool = True,
    dtype: str | None = None,
    name: str | None = None,
) -> Exported:
    """Export a model of a finished run and the synthetic rows that it was trained on.

    Args:
        run_dir: The run.
        out: A new folder.
        iteration: The model; None: the one chosen on validation.
        merged: Whether the merged model is written too.
        dtype: Of its stored weights, bfloat16 or float32; None: the one that the student was evaluated in.
        name: What `push` will be asked to call it: checked before anything is written. With a name, `out` may be what
            the same call has written before; it is then left as it is, so that an upload can go on.

    Raises:
        InputError: the run is not finished, has no such iteration, `out` is there already or cannot be made, or the
            name will not do.
        StoppedError: the adapter is damaged, the merged model computes something else, or memory ran out.
    """
    if dtype not in (None, "bfloat16", "float32"):
        raise InputError(f"--dtype {dtype}: bfloat16 and float32 exist.")
    folder = Path(out)
    source = open_source(Path(run_dir), iteration)
    student = source.config.student.model
    base_folder = str(named_folder(student) or "") or None
    if name:
        check_name(name, begins=name_begins(source), base_folder=base_folder)
    if not (name and _holds(folder, source, merged, dtype)):
        _make(source, folder, merged, dtype)
    written = folder / PARITY
    most = max(source.metrics["iterations"], key=lambda entry: entry["synthetic_rows"])
    return Exported(
        folder=folder,
        iteration=source.iteration,
        rank=source.config.student.lora.r,
        parts=[part for part in REPOSITORIES if (folder / part).exists()],
        samples=len(source.samples),
        most_samples=(most["iteration"], most["synthetic_rows"]),
        parity=json.loads(written.read_text(encoding="utf-8")) if written.exists() else None,
        base=hub_id(student) or models.resolve(student),
        base_folder=base_folder,
        obligations=model_obligations(source),
        name_begins=name_begins(source),
    )


def _holds(folder: Path, source: Source, merged: bool, dtype: str | None) -> bool:
    """Whether the folder is this very export, made before; its cards may have been edited since."""
    weights, parity = folder / "adapter" / manifest.WEIGHTS, folder / PARITY
    if not weights.exists() or parity.exists() != merged:
        return False
    stored = json.loads(parity.read_text(encoding="utf-8"))["dtype"] if merged else None
    same_dtype = not merged or stored == (dtype or source.dtype)
    return same_dtype and manifest.file_sha256(weights) == manifest.file_sha256(source.adapter / manifest.WEIGHTS)


def _make(source: Source, folder: Path, merged: bool, dtype: str | None) -> None:
    if folder.exists():
        raise InputError(f"{folder}: is there already. Name a new folder, so that nothing of yours is overwritten.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
            made = Path(temporary) / folder.name
            made.mkdir()
            _write(source, made, merged, dtype)
            made.rename(folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error}). Free some space, or name another folder.") from error


def _write(source: Source, folder: Path, merged: bool, dtype: str | None) -> None:
    write_adapter(source, folder / "adapter")
    _text(folder / "adapter/README.md", model_card(source, "adapter", None))
    if merged:
        parity = write_merged(source, folder / "merged", dtype or source.dtype)
        _text(folder / "merged/README.md", model_card(source, "merged", parity))
        _text(folder / PARITY, json.dumps(parity, indent=2) + "\n")
    if text := notice(source.config.student.model):
        for part in folder.iterdir():
            _text(part / "NOTICE", text)
    rows: list[dict[str, Any]] = dataset_rows(source)
    if rows:
        write_dataset(rows, folder / "dataset")
        _text(folder / "dataset/README.md", dataset_card(source, rows))


def _text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
