"""What makes an adapter folder whole: manifest.json, written last, with each file's sha256 and the job's."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from pada_graph.errors import StoppedError
from pada_graph.services import TrainJob

MANIFEST = "manifest.json"
WEIGHTS = "adapter_model.safetensors"  # PEFT would also take a pickle, which may run code


def file_sha256(path: Path) -> str:
    """Sha256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def job_hash(job: TrainJob) -> str:
    """Sha256 of everything that decides the adapter: rows, model, dtype, LoRA, training and seed; not where it lies."""
    inputs = {
        "rows": file_sha256(job.rows),
        "model": job.model,
        "dtype": job.dtype,
        "lora": job.lora,
        "training": job.training,
        "seed": job.seed,
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def write(folder: Path, inputs: str, facts: dict[str, Any]) -> None:
    """Close a folder: force its files to disk and write the manifest last."""
    files = {}
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != MANIFEST:
            _sync(path)
            files[path.name] = {"sha256": file_sha256(path), "bytes": path.stat().st_size}
    target = folder / MANIFEST
    target.write_text(json.dumps({"inputs": inputs, **facts, "files": files}, indent=2) + "\n", encoding="utf-8")
    _sync(target)


def damage(folder: Path) -> str | None:
    """Say what is wrong with an adapter folder, or None if every file is as the manifest says."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError) as error:
        return f"{folder / MANIFEST} is missing or unreadable ({type(error).__name__})"
    if WEIGHTS not in files:
        return f"{folder / WEIGHTS} is missing"
    for name, facts in files.items():
        path = folder / name
        if not path.is_file():
            return f"{path} is missing"
        if path.stat().st_size != facts["bytes"] or file_sha256(path) != facts["sha256"]:
            return f"{path} is not the file that training wrote (its sha256 differs)"
    return None


def unfit(folder: Path, model: str, lora: dict[str, Any]) -> str | None:
    """Say why a whole adapter is not one of this base model and these LoRA settings, or None.

    Manifest, PEFT's adapter_config.json and the shapes in the safetensors header have to agree.
    """
    from safetensors import SafetensorError, safe_open

    facts = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    if facts.get("model") != model:
        return f"{folder} was trained on the base model {facts.get('model')}, this run's is {model}"
    if facts.get("lora") != lora:
        return f"{folder} was trained with lora {facts.get('lora')}, this run's is {lora}"
    try:
        peft = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        with safe_open(folder / "adapter_model.safetensors", framework="numpy") as tensors:
            shapes = {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}  # noqa: SIM118
    except (OSError, ValueError, SafetensorError) as error:
        return f"{folder} cannot be read ({error})"
    ranks = {peft.get("r")} | {shape[0] for name, shape in shapes.items() if ".lora_A." in name}
    if ranks != {lora["r"]}:
        return f"{folder} has rank {', '.join(map(str, sorted(ranks, key=str)))}, this run's is {lora['r']}"
    return None


def trained_dtype(folder: Path) -> str | None:
    """The dtype of the base weights that an adapter was trained on; None where nothing says it."""
    try:
        dtype: str | None = json.loads((folder / MANIFEST).read_text(encoding="utf-8")).get("dtype")
    except OSError:  # another trainer writes no manifest
        return None
    return dtype


def check(folder: Path, model: str, lora: dict[str, Any]) -> None:
    """Refuse an adapter that is damaged, or another base model's or rank's.

    Raises:
        StoppedError: names the file.
    """
    if fault := damage(folder) or unfit(folder, model, lora):
        raise StoppedError(
            f"{fault}. Restore it, or run the same command with --rebuild-state (Python: rebuild_state=True): "
            "then it is trained anew."
        )


def matches(folder: Path, inputs: str) -> bool:
    """Whether the folder holds a whole adapter that was made from `inputs` (a `job_hash`)."""
    if damage(folder):
        return False
    return bool(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["inputs"] == inputs)


def is_missing(job: TrainJob) -> bool:
    """Whether the adapter of a job has to be trained yet, whose rows are there. Another trainer writes no manifest."""
    if any((job.adapter / name).exists() for name in (MANIFEST, "adapter_config.json")):
        return not matches(job.adapter, job_hash(job))
    return not job.adapter.is_dir()


def sync_folder(folder: Path) -> None:
    """Force a folder's names to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
