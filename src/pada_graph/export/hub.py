"""Uploads an export to the Hugging Face hub: NAME-lora, NAME and NAME-data, private unless asked otherwise."""

from pada_graph.errors import StoppedError
from pada_graph.export.folders import Exported
from pada_graph.export.names import REPOSITORIES, check_name


def push(exported: Exported, name: str, *, private: bool = True) -> list[str]:
    """Upload each part to its own repository; returns their addresses.

    Args:
        exported: What `export_run` wrote.
        name: Of the repositories: OWNER/NAME or NAME.
        private: Whether they are, if they are new.

    Raises:
        InputError: the licence or the hub asks for another name, or the base model is a folder of this machine.
        StoppedError: the hub refuses or cannot be reached; what is uploaded already stays, and the same call goes on.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HTTPError  # type: ignore[attr-defined]

    check_name(name, begins=exported.name_begins, base_folder=exported.base_folder)
    api, places = HfApi(), []
    for part in exported.parts:
        pattern, kind = REPOSITORIES[part]
        try:
            place = api.create_repo(pattern.format(name), repo_type=kind, private=private, exist_ok=True)
            api.upload_folder(repo_id=place.repo_id, repo_type=kind, folder_path=exported.folder / part)
        except (HfHubHTTPError, ValueError) as error:  # ValueError: it does not take the card
            raise StoppedError(
                f"{pattern.format(name)}: the hub refuses it ({_one_line(error)}). `hf auth login` with a token that "
                f"may write, or mend the card that it names; {exported.folder} holds everything, and the same command "
                "goes on."
            ) from error
        except (HTTPError, OSError) as error:  # the HTTP client's, and HF_HUB_OFFLINE's
            raise StoppedError(
                f"{pattern.format(name)}: the hub cannot be reached ({_one_line(error)}). {exported.folder} holds "
                "everything, and the same command goes on."
            ) from error
        places.append(str(place))
    return places


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
