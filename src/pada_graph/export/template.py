"""The chat template as the student was trained with it: what it takes as arguments is written into it."""

import json
from typing import Any

from pada_graph.student.render import TEMPLATE_ARGUMENTS


def pinned(template: str) -> str:
    """The template with our arguments set at its start, so that others render the same prompt without them."""
    return "".join(f"{{%- set {name} = {_literal(value)} %}}" for name, value in TEMPLATE_ARGUMENTS.items()) + template


def pin(tokenizer: Any) -> None:
    """Pin a tokenizer's template."""
    tokenizer.chat_template = pinned(tokenizer.chat_template)


def _literal(value: Any) -> str:
    return json.dumps(value)  # strings and booleans read the same in Jinja
