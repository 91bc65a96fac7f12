"""The prompts of the paper's Figures 2-7, one file each in prompts/ (prompts/README.md maps file to figure)."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_PACKAGED = Path(__file__).parent / "prompts"  # a wheel's copy; an editable install has only the repository's folder
PROMPTS = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[2] / "prompts"


def render(name: str, **values: Any) -> str:
    """Fill in prompts/NAME.txt. All data goes through the `json` filter, so none of it can act as an instruction."""
    return _environment().get_template(f"{name}.txt").render(**values)


@lru_cache
def _environment() -> Environment:
    # Prompts are plain text, not HTML: autoescape would corrupt them.
    environment = Environment(
        loader=FileSystemLoader(PROMPTS),
        undefined=StrictUndefined,
        keep_trailing_newline=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False, indent=1)
    return environment
