"""The student's two forms: a LoRA adapter that PEFT, vLLM and llama.cpp's converter load, and the merged weights.

Weights are merged in float32 and rounded once, when they are stored: merging in bfloat16 drifts (peft#1388, #2502).
"""

import shutil
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from pada_graph.config import Student
from pada_graph.errors import StoppedError
from pada_graph.export.names import public_name
from pada_graph.export.source import Source
from pada_graph.export.template import pin
from pada_graph.student import builtin, models, render
from pada_graph.student.inference import TransformersPredictor
from pada_graph.student.worker import out_of_memory

PROMPTS = 20  # of the parity check
TOLERANCE = 1e-3  # of a logit: float32 sums in another order


class Parity(TypedDict):
    """How the merged model compares with the adapter on prompts of validation."""

    prompts: int
    dtype: str  # of the stored weights
    largest_logit_difference: float  # before they are rounded, in float32
    same_answers: int  # greedy, computed in float32 on both sides


def write_adapter(source: Source, folder: Path) -> None:
    """Copy the adapter with its tokenizer; the base is named as others know it, the chat template pinned."""
    import json

    shutil.copytree(source.adapter, folder, ignore=shutil.ignore_patterns("README.md", "manifest.json"))
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = public_name(source.config.student.model)
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    _write_tokenizer(source, folder)


def write_merged(source: Source, folder: Path, dtype: str) -> Parity:
    """Merge the adapter into the base, store the weights, and ask both forms the same questions.

    Args:
        source: The model.
        folder: A new folder.
        dtype: bfloat16 or float32.

    Raises:
        StoppedError: the merged weights do not compute what base and adapter compute, or memory ran out.
    """
    try:
        return _write_merged(source, folder, dtype)
    except Exception as error:  # PyTorch has several for it
        if not out_of_memory(error):
            raise
        raise StoppedError(
            f"{source.adapter}: memory ran out while it was merged and compared, which is done in float32 "
            f"({str(error).partition(chr(10))[0]}). Free some, or export with --no-merged and use the adapter."
        ) from error


def _write_merged(source: Source, folder: Path, dtype: str) -> Parity:
    import torch

    student = source.config.student
    path = models.resolve(student.model)
    tokenizer = models.load_tokenizer(path)
    prompts = source.prompts(PROMPTS)
    rows = [render.prompt_ids(tokenizer, prompt) for prompt in prompts]
    model = models.with_adapter(models.load_base(path, torch.float32), source.adapter)
    before = [_logits(model, row) for row in rows]
    merged = model.merge_and_unload()
    largest = max(float((one - _logits(merged, row)).abs().max()) for one, row in zip(before, rows, strict=True))
    if not largest <= TOLERANCE * max(1.0, *(float(one.abs().max()) for one in before)):
        raise StoppedError(
            f"{source.adapter}: merged into the base it computes something else (a logit differs by {largest:.3g}). "
            "Export with --no-merged and use the adapter."
        )
    stored = merged.to(torch.bfloat16 if dtype == "bfloat16" else torch.float32)
    folder.mkdir()
    with builtin.without_bars(str(folder)):
        stored.save_pretrained(folder)
    _write_tokenizer(source, folder)
    del model, merged, stored
    return {
        "prompts": len(prompts),
        "dtype": dtype,
        "largest_logit_difference": largest,
        "same_answers": _same_answers(source, folder, prompts),
    }


def _logits(model: Any, row: list[int]) -> Any:
    """Of the token after a prompt."""
    import torch

    with torch.inference_mode():
        return model(input_ids=torch.tensor([row])).logits[0, -1]


def _same_answers(source: Source, folder: Path, prompts: list[str]) -> int:
    student = Student.model_validate({**source.config.student.model_dump(), "dtype": "float32"})
    merged = student.model_copy(update={"model": str(folder)})
    ours, theirs = _answers(source, student, source.adapter, prompts), _answers(source, merged, None, prompts)
    return sum(ours[index] == theirs[index] for index in range(len(prompts)))


def _answers(source: Source, student: Student, adapter: Path | None, prompts: list[str]) -> dict[int, str]:
    """Of one form by index; its weights are gone afterwards, for a device may have no room for those of both."""
    limit = student.inference.max_new_tokens or source.task.max_new_tokens
    found = TransformersPredictor(student).predict(adapter, prompts, max_new_tokens=limit, stop=source.task.stop)
    answers = {completion.index: completion.text for completion in found}
    models.give_back(models.device())
    return answers


def _write_tokenizer(source: Source, folder: Path) -> None:
    tokenizer = models.load_tokenizer(models.resolve(source.config.student.model))
    pin(tokenizer)
    tokenizer.save_pretrained(folder)
