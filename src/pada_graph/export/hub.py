"""Uploads an export to the Hugging Face hub: NAME-lora, NAME and NAME-data, private unless asked otherwise."""

from pada_graph.errors import InputError, StoppedError
from pada_graph.export.folders import Exported

REPOSITORIES = {"adapter": ("{}-lora", "model"), "merged": ("{}", "model"), "dataset": ("{}-data", "dataset")}


def push(exported: Exported, name: str, *, private: bool = True) -> list[str]:
    """Upload each part to its own repository; returns their addresses.

    Args:
        exported: What `export_run` wrote.
        name: Of the repositories: OWNER/NAME or NAME.
        private: Whether they are, if they are new.

    Raises:
        InputError: the licence asks for another name.
        StoppedError: the hub refuses; what is uploaded already stays, and the same call goes on.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    if exported.must_be_called_llama and not name.rpartition("/")[2].lower().startswith("llama"):
        raise InputError(
            f'--push-to-hub {name}: Llama took part, and its licence asks for a name that begins with "Llama", '
            f"{name.rpartition('/')[0] or 'OWNER'}/Llama-{name.rpartition('/')[2]} for example."
        )
    api, places = HfApi(), []
    for part in exported.parts:
        pattern, kind = REPOSITORIES[part]
        try:
            place = api.create_repo(pattern.format(name), repo_type=kind, private=private, exist_ok=True)
            api.upload_folder(repo_id=place.repo_id, repo_type=kind, folder_path=exported.folder / part)
        except (HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, OSError) as error:
            raise StoppedError(
                f"{pattern.format(name)}: the hub refuses it ({str(error).strip().partition(chr(10))[0]}). "
                f"`hf auth login` with a token that may write; {exported.folder} holds everything, and "
                f"`hf upload {pattern.format(name)} {exported.folder / part} --repo-type {kind}` uploads it later."
            ) from error
        places.append(str(place))
    return places
