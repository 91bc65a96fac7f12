"""From a YAML file or a mapping to RunConfig: overrides, and errors that name the key and the nearest one there is."""

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ValidationError

from pada_graph import yaml_keys
from pada_graph.config import RunConfig
from pada_graph.errors import InputError


def load_config(path: Path, overrides: list[str] | None = None) -> RunConfig:
    """Read a YAML file and apply `key.path=value` overrides (values are YAML).

    Raises:
        InputError: file missing, not YAML, or a key or value that RunConfig refuses; names the key and the nearest one.
    """
    try:
        raw = yaml_keys.load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}). `pada-graph init DIR` writes a config."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(raw, dict):
        raise InputError(f"{path}: expected a mapping of keys at the top, found {type(raw).__name__}.")
    for override in overrides or []:
        _override(raw, override)
    return parse_config(raw, str(path))


def as_given(config: RunConfig, mode: Literal["python", "json"] = "python") -> dict[str, Any]:
    """A mapping for `parse_config`; sizes that were filled in, which may not all be had, are filled in anew."""
    return {**config.model_dump(mode=mode), "data": config.data.model_dump(mode=mode, exclude_unset=True)}


def parse_config(raw: dict[str, Any], where: str) -> RunConfig:
    """Validate a mapping; `where` (file or caller) is named in errors.

    Raises:
        InputError: with one line per offending key.
    """
    try:
        return RunConfig.model_validate(raw)
    except ValidationError as error:
        lines = [_explain(item) for item in error.errors()]
        raise InputError("\n".join(f"{where}: {line}" for line in lines)) from error


def _override(raw: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals:
        raise InputError(f"--set {override}: write it as key=value, e.g. --set student.training.epochs=2")
    *parents, leaf = key.strip().split(".")
    for parent in parents:
        if raw.get(parent) is None:
            raw[parent] = {}
        raw = raw[parent]
        if not isinstance(raw, dict):
            raise InputError(f"--set {override}: {parent} is not a section")
    try:
        raw[leaf] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise InputError(f"--set {override}: {value!r} is not a YAML value") from error


def _explain(item: Any) -> str:
    location = ".".join(str(part) for part in item["loc"])
    if item["type"] != "extra_forbidden":
        found = "" if isinstance(item["input"], dict) else f" (found {item['input']!r})"  # a section may hold a key
        return f"{location or 'config'}: {item['msg']}{found}"
    return f"{location}: unknown key; {_hint(str(item['loc'][-1]), item['loc'][:-1])}"


def _hint(key: str, parents: tuple[Any, ...]) -> str:
    """Where an unknown key belongs: the same key of another section, else the nearest one of its own, else of any."""
    own, everywhere = list(_section(parents).model_fields), list(_paths(RunConfig))
    elsewhere = [path for path in everywhere if path.rpartition(".")[2] == key]
    near = difflib.get_close_matches(key, own, n=1, cutoff=0.7)
    names = difflib.get_close_matches(key, [path.rpartition(".")[2] for path in everywhere], n=1, cutoff=0.7)
    if found := elsewhere or near or [path for path in everywhere if path.rpartition(".")[2] in names]:
        return f"did you mean {' or '.join(map(repr, found[:3]))}?"
    return f"known keys: {', '.join(own)}"


def _section(parents: tuple[Any, ...]) -> type[BaseModel]:
    section: Any = RunConfig
    for parent in parents:
        section = section.model_fields[str(parent)].annotation
    return section  # type: ignore[no-any-return]


def _paths(section: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """The dotted names of all keys and sections."""
    for name, field in section.model_fields.items():
        yield f"{prefix}{name}"
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _paths(field.annotation, f"{prefix}{name}.")
