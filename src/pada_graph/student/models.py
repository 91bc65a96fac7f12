"""From a model's name in the config to a folder or hub id that transformers, PEFT and TRL all load, and its parts."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pada_graph.errors import InputError, StoppedError
from pada_graph.paths import named_folder
from pada_graph.student import builtin, render

if TYPE_CHECKING:
    import torch


def resolve(name: str) -> str:
    """Return the folder or hub id of a student model; built-in ones are made if they are not in the cache yet.

    Args:
        name: hub id, folder, `builtin:tiny` or `builtin:smollm2-135m`.

    Raises:
        InputError: no such model, or it cannot be had here; the message says how to mend it.
    """
    if name == "builtin:tiny":
        return str(builtin.tiny())
    if name == "builtin:smollm2-135m":
        return str(builtin.smollm2())
    if name.startswith("builtin:"):
        raise InputError(f"student.model: {name!r} is unknown; builtin:tiny and builtin:smollm2-135m exist.")
    if folder := named_folder(name):
        if not (folder / "config.json").is_file():
            raise InputError(
                f"student.model: the folder {folder} holds no config.json. Name the folder that "
                "save_pretrained wrote (config.json, model.safetensors, tokenizer.json)."
            )
        return str(folder.resolve())
    if name.startswith(("/", ".", "~")):
        raise InputError(f"student.model: there is no folder {name}.")
    return _hub(name)


def load_tokenizer(path: str) -> Any:
    """Load the tokenizer of a resolved model, padding on the left, with one chat template, held to one date.

    Raises:
        InputError: it cannot be loaded, or has no chat template, several without a default one, or no end-of-sequence
            token.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise InputError(f"student.model: no tokenizer can be loaded from {path}: {error}") from error
    if not tokenizer.chat_template:
        raise InputError(f"student.model: {path} has no chat template. Use an instruction-tuned model.")
    try:
        template = tokenizer.get_chat_template()
    except ValueError as error:
        raise InputError(
            f"student.model: {path} has several chat templates and none is named default "
            f"({', '.join(sorted(tokenizer.chat_template))}). Save its tokenizer with the one to use as chat_template."
        ) from error
    if tokenizer.eos_token_id is None:
        raise InputError(f"student.model: the tokenizer of {path} names no end-of-sequence token.")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "left"
    tokenizer.chat_template = render.dated(template)
    return tokenizer


def load_base(path: str, dtype: "torch.dtype") -> Any:
    """Load the weights of a resolved model, on the CPU.

    Raises:
        InputError: they are missing or damaged, or no safetensors: a pickle can run code.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    try:
        with builtin.without_bars(path):
            return AutoModelForCausalLM.from_pretrained(
                path, dtype=dtype, trust_remote_code=False, use_safetensors=True
            )
    except (OSError, ValueError, SafetensorError) as error:
        raise InputError(f"student.model: no weights can be loaded from {path}: {error}") from error


def with_adapter(base: Any, folder: Path) -> Any:
    """The base model with an adapter on it; the base's weights are never touched.

    Raises:
        StoppedError: the adapter is another model class's: PEFT would leave out what finds no place, without an error.
    """
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import safe_open

    with warnings.catch_warnings():  # PEFT still reads an attribute that transformers has renamed
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        model = PeftModel.from_pretrained(base, str(folder)).eval()
    with safe_open(folder / "adapter_model.safetensors", framework="numpy") as tensors:
        trained = {name for name in tensors.keys() if ".lora_" in name}  # noqa: SIM118
    placed = {name for name in get_peft_model_state_dict(model, save_embedding_layers=False) if ".lora_" in name}
    if missing := trained ^ placed:
        model.unload()
        raise StoppedError(
            f"{folder}: the adapter does not fit {type(base).__name__}, as which the student is loaded here "
            f"({len(missing)} of its weights find no place, {min(missing)} for one). Other versions of transformers or "
            "PEFT trained it, or another program. Start another --run-dir."
        )
    return model


def end_ids(path: str, tokenizer: Any) -> list[int]:
    """Ids of the tokens that end an answer: the tokenizer's and the generation config's."""
    from transformers import GenerationConfig

    ids = {int(tokenizer.eos_token_id)}
    try:
        more = GenerationConfig.from_pretrained(path).eos_token_id
    except OSError:  # a model may come without generation_config.json
        more = None
    ids.update(more if isinstance(more, list) else [] if more is None else [more])
    return sorted(ids)


def device() -> str:
    """cuda, mps or cpu: the best that this machine has."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def give_back(device: str) -> None:
    """Return the memory of a device that PyTorch holds and nothing uses any more; a CPU's goes back by itself."""
    import gc

    import torch

    gc.collect()
    if device != "cpu":
        getattr(torch, device).empty_cache()


def choose_dtype(name: str) -> "torch.dtype":
    """The dtype of the base weights, for training and inference alike.

    Args:
        name: float32, bfloat16, or auto: bfloat16 on a CUDA device that computes in it, else float32.
    """
    import torch

    if name == "auto":
        return torch.bfloat16 if device() == "cuda" and torch.cuda.is_bf16_supported(False) else torch.float32
    return torch.bfloat16 if name == "bfloat16" else torch.float32


def _hub(name: str) -> str:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    try:
        hf_hub_download(name, "config.json")
    except GatedRepoError as error:
        raise InputError(
            f"student.model: {name} is gated. Accept its licence at https://huggingface.co/{name}, then run "
            "`hf auth login`."
        ) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise InputError(
            f"student.model: {name!r} is neither a folder nor a model on the Hugging Face hub (or you may not see it: "
            "`hf auth login`). builtin:smollm2-135m needs no hub."
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError) as error:
        raise InputError(
            f"student.model: {name} is not in the local cache and the Hugging Face hub cannot be reached (or "
            f"HF_HUB_OFFLINE is set). Go online once and run `hf download {name}`, or name a folder; "
            "builtin:smollm2-135m needs no hub."
        ) from error
    return name
