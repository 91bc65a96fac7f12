"""The configuration as a page may show it."""

import re
from collections.abc import Mapping
from typing import Any

# Keyword arguments of a teacher model that cannot be secrets; any other text among them is not shown.
_SHOWN = {"model", "model_provider", "base_url", "region_name"}


def public_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without what may be a secret of a provider: further texts of a model are named, not shown."""
    models = {
        role: {key: _public(key, value) for key, value in model.items()} for role, model in config["models"].items()
    }
    return {**config, "models": models}


def _public(key: str, value: Any) -> Any:
    if isinstance(value, int | float | None):
        return value
    if key not in _SHOWN:
        return "(set, not shown)"
    return re.sub(r"//[^/@\s]*@", "//", str(value)).partition("?")[0]
