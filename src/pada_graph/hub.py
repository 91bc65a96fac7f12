"""Whether the Hugging Face hub can be reached: looked at once, and left alone afterwards if it cannot.

Its library asks six times for each file, half a minute in all, and says so each time; it reads its switches when it is
imported.
"""

import os
import ssl
import urllib.error
import urllib.request

from pada_graph.config import RunConfig
from pada_graph.methods import round_roles
from pada_graph.paths import named_folder

SECONDS = 5  # to wait for an answer
SWITCH = "HF_HUB_OFFLINE"


def settle(config: RunConfig) -> str:
    """Go offline for the rest of this process if the hub is needed and does not answer; its library's log is silenced.

    Returns:
        What was found, for a person; empty if the configuration needs no hub.
    """
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    if not _needed(config):
        return ""
    if os.environ.get(SWITCH):
        return f"{SWITCH} is set: what is in the cache here is used"
    if _answers():
        return "answers"
    os.environ[SWITCH] = "1"
    return "cannot be reached: what is in the cache here is used"


def _needed(config: RunConfig) -> bool:
    names = [config.student.model, *([config.patterns.embedder] if round_roles(config) else [])]
    return config.data.source == "hub" or any(
        not name.startswith("builtin:") and named_folder(name) is None for name in names
    )


def _answers() -> bool:
    request = urllib.request.Request(os.environ.get("HF_ENDPOINT", "https://huggingface.co"), method="HEAD")
    try:
        urllib.request.urlopen(request, timeout=SECONDS).close()
    except urllib.error.HTTPError:  # any status is an answer
        return True
    except urllib.error.URLError as error:  # so is a certificate that only the hub's library may know to check
        return isinstance(error.reason, ssl.SSLError)
    except (OSError, ValueError):
        return False
    return True
