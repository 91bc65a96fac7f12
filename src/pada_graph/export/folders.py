"""Writes an export: adapter/, merged/ and dataset/, each one repository of the hub. All or nothing."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pada_graph.errors import InputError
from pada_graph.export.cards import dataset_card, model_card
from pada_graph.export.dataset import dataset_rows, write_dataset
from pada_graph.export.licences import must_be_called_llama
from pada_graph.export.model import Parity, write_adapter, write_merged
from pada_graph.export.source import Source, open_source


@dataclass(frozen=True)
class Exported:
    """What lies in the folder now."""

    folder: Path
    iteration: int
    rank: int  # of the adapter
    parts: list[str]  # of adapter, merged, dataset
    samples: int
    parity: Parity | None
    must_be_called_llama: bool


def export_run(
    run_dir: Path | str, out: Path | str, *, iteration: int | None = None, merged: bool = True, dtype: str | None = None
) -> Exported:
    """Export a model of a finished run and the synthetic rows that it was trained on.

    Args:
        run_dir: The run.
        out: A new folder.
        iteration: The model; None: the one chosen on validation.
        merged: Whether the merged model is written too.
        dtype: Of its stored weights, bfloat16 or float32; None: the one that the student was evaluated in.

    Raises:
        InputError: the run is not finished, has no such iteration, `out` is there already or cannot be made.
        StoppedError: the adapter is damaged, or the merged model computes something else.
    """
    if dtype not in (None, "bfloat16", "float32"):
        raise InputError(f"--dtype {dtype}: bfloat16 and float32 exist.")
    folder = Path(out)
    source = open_source(Path(run_dir), iteration)
    if folder.exists():
        raise InputError(f"{folder}: is there already. Name a new folder, so that nothing of yours is overwritten.")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as temporary:
            made = Path(temporary) / folder.name
            made.mkdir()
            parity = _write(source, made, merged, dtype)
            made.rename(folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error}). Free some space, or name another folder.") from error
    return Exported(
        folder=folder,
        iteration=source.iteration,
        rank=source.config.student.lora.r,
        parts=[name for name in ("adapter", "merged", "dataset") if (folder / name).exists()],
        samples=len(source.samples),
        parity=parity,
        must_be_called_llama=must_be_called_llama(source.config),
    )


def _write(source: Source, folder: Path, merged: bool, dtype: str | None) -> Parity | None:
    parity: Parity | None = None
    write_adapter(source, folder / "adapter")
    _text(folder / "adapter/README.md", model_card(source, "adapter", None))
    if merged:
        parity = write_merged(source, folder / "merged", dtype or source.dtype)
        _text(folder / "merged/README.md", model_card(source, "merged", parity))
        _text(folder / "merged/parity.json", json.dumps(parity, indent=2) + "\n")
    rows: list[dict[str, Any]] = dataset_rows(source)
    if rows:
        write_dataset(rows, folder / "dataset")
        _text(folder / "dataset/README.md", dataset_card(source, rows))
    return parity


def _text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
