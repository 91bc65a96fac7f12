"""The prompts of the paper's Figures 2-7, one file each in prompts/ (prompts/README.md maps file to figure).

A configuration may bring prompts of its own (`prompts:`). They are templates from outside: they are filled in inside
Jinja's sandbox, and are checked when the configuration is read.
"""

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pada_graph.errors import InputError

_PACKAGED = Path(__file__).parent / "prompts"  # a wheel's copy; an editable install has only the repository's folder
PROMPTS = _PACKAGED if _PACKAGED.is_dir() else Path(__file__).parents[2] / "prompts"

_ACTIVE = re.compile(r"[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]|<(?=[/|!?A-Za-z\uff5c])|```")

Name = TypeVar("Name", bound=str)


def shipped(name: str) -> str:
    """The text of prompts/NAME.txt."""
    return (PROMPTS / f"{name}.txt").read_text(encoding="utf-8")


def is_shipped(name: str, text: str) -> bool:
    """Whether a text is that of prompts/NAME.txt, blanks at the ends aside."""
    return text.strip() == shipped(name).strip()


def render(name: str, own: str | None = None, /, **values: Any) -> str:
    """Fill in prompts/NAME.txt, or the text that takes its place.

    All data goes through the `json` filter, so none of it can act as an instruction.

    Raises:
        InputError: the own text asks for what these values do not have, or for what the sandbox forbids.
    """
    if own is None:
        return _environment().get_template(f"{name}.txt").render(**values)
    try:
        return _sandbox().from_string(own).render(**values)
    except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"prompts.{name}: cannot be filled in: {error}. Mend it and start a new run.") from error


def changed(own: Mapping[Name, str]) -> dict[Name, str]:
    """The prompts that differ from the shipped ones, blanks at the ends aside.

    Raises:
        ValueError: one is no template, or has not the variables of the shipped one; names prompt and line.
    """
    found = {name: text for name, text in own.items() if not is_shipped(name, text)}
    for name, text in found.items():
        _check(name, text)
    return found


def _check(name: str, text: str) -> None:
    try:
        tree = _sandbox().parse(text)
        _sandbox().compile(text)  # which knows the filters
    except TemplateSyntaxError as error:
        raise ValueError(f"{name}, line {error.lineno}: {error.message}") from error
    known = meta.find_undeclared_variables(_sandbox().parse(shipped(name)))
    used = meta.find_undeclared_variables(tree)
    for found in tree.find_all(nodes.Name):
        if found.name in used - known:
            raise ValueError(
                f"{name}, line {found.lineno}: unknown variable {found.name!r}; there are {', '.join(sorted(known))}"
            )
    if lost := sorted(known - used):
        raise ValueError(
            f"{name}: {', '.join(f'{{{{ {variable} }}}}' for variable in lost)} is missing; "
            f"prompts/{name}.txt shows where it belongs"
        )
    for file in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
        raise ValueError(f"{name}, line {file.lineno}: a prompt stands alone; there are no other files to take in")


@lru_cache
def _environment() -> Environment:
    return _prepared(Environment(loader=FileSystemLoader(PROMPTS), **_SETTINGS))


@lru_cache
def _sandbox() -> Environment:
    return _prepared(ImmutableSandboxedEnvironment(**_SETTINGS))


# Prompts are plain text, not HTML: autoescape would corrupt them.
_SETTINGS: dict[str, Any] = {
    "undefined": StrictUndefined,
    "keep_trailing_newline": False,
    "trim_blocks": True,
    "lstrip_blocks": True,
}


def _prepared(environment: Environment) -> Environment:
    environment.filters["json"] = quoted
    return environment


def quoted(value: Any) -> str:
    """Data as JSON that stays data: nothing in a string ends a line, starts a tag or a fence, or hides.

    Escaped are line separators that JSON leaves alone, control and bidirectional characters, "<" where a tag or a chat
    template's special token would begin, and three backticks in a row. Readers of the JSON get the text as it was.
    """
    text = json.dumps(value, ensure_ascii=False, indent=1)
    return _ACTIVE.sub(lambda match: "".join(f"\\u{ord(letter):04x}" for letter in match[0]), text)
