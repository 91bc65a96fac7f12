"""What others call a model, and which name an upload may have."""

import re

from pada_graph.errors import InputError
from pada_graph.paths import named_folder

# Students that the hub has under another name, or with other weights.
ON_THE_HUB = {"builtin:smollm2-135m": "HuggingFaceTB/SmolLM2-135M-Instruct"}
REPOSITORIES = {"adapter": ("{}-lora", "model"), "merged": ("{}", "model"), "dataset": ("{}-data", "dataset")}


def public_name(model: str) -> str:
    """The name to publish: of a folder or file of this machine its last part, else the model's id."""
    if folder := named_folder(model):
        return folder.resolve().name
    if model.startswith("gguf:"):
        return "gguf:" + re.split(r"[:/\\]", model)[-1]
    return ON_THE_HUB.get(model, model)


def hub_id(model: str) -> str | None:
    """The student's id on the hub; None for folders and what is made on the spot."""
    name = ON_THE_HUB.get(model, model)
    return None if named_folder(name) or name.startswith("builtin:") else name


def check_name(name: str, *, begins: str, base_folder: str | None) -> None:
    """Refuse an upload that nobody could use, or that would be called wrongly.

    Args:
        name: OWNER/NAME or NAME.
        begins: How the licence wants the model's name to begin; empty: it does not say.
        base_folder: The folder of the base model, where it is one of this machine.

    Raises:
        InputError: says what is wrong, and a name that would do.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        for pattern, _ in REPOSITORIES.values():
            validate_repo_id(pattern.format(name))
    except HFValidationError as error:
        raise InputError(f"--push-to-hub {name}: the hub takes no such name. {error}") from error
    if base_folder:
        raise InputError(
            f"--push-to-hub {name}: the base model is the folder {base_folder} of this machine, so nobody else could "
            "load the adapter, and its licence is not known here. Export without --push-to-hub, and upload by hand "
            "(`hf upload`) what may be published."
        )
    owner, _, model = name.rpartition("/")
    if not _plain(model).startswith(_plain(begins)):
        raise InputError(
            f'--push-to-hub {name}: Llama took part, and its licence asks for a name that begins with "{begins}", '
            f"{owner or 'OWNER'}/{begins.replace(' ', '-')}-{model} for example."
        )


def _plain(name: str) -> str:
    return re.sub(r"[ _-]", "", name).lower()
