"""Tables that are written while the site is built, so that they cannot differ from the code and what was measured.

A page says where: `<!-- generated: cli -->`, `<!-- generated: config -->`, `<!-- generated: record Prediction -->`,
`<!-- generated: benchmark startup -->`, `<!-- generated: goals -->`.
"""

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from typing_extensions import TypedDict

from pada_graph import state
from pada_graph.config import Model, Models, RunConfig

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
MARKER = re.compile(r"^<!-- generated: (\w+)(?: (\w+))? -->$", re.MULTILINE)
SIGNS = {Ge: (">=", "ge"), Gt: (">", "gt"), Le: ("<=", "le"), Lt: ("<", "lt")}


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put each table in the place of its marker."""
    writers = {
        "cli": lambda _: commands(),
        "config": lambda _: keys(),
        "record": record,
        "benchmark": benchmark,
        "goals": lambda _: goals(),
    }
    return MARKER.sub(lambda match: writers[match[1]](match[2]), markdown)


def commands() -> str:
    """Every command with its options, by typer's own documentation tool."""
    call = [sys.executable, "-m", "typer", "pada_graph.cli", "utils", "docs", "--name", "pada-graph"]
    text = subprocess.run(call, capture_output=True, text=True, check=True).stdout
    return (
        text.partition("**Commands**:")[2].partition("\n\n")[2].partition("\n\n")[2]
    )  # heading, overview: on the page


def keys() -> str:
    """Every key of a configuration: default, what it may be, what it does."""
    lines = ["| key | default | may be | meaning |", "| --- | --- | --- | --- |"]
    for name, field in fields(RunConfig):
        row = (f"`{name}`", _default(name, field), _allowed(field), field.description or "")
        lines.append("| " + " | ".join(_cell(text) for text in row) + " |")
    return "\n".join(lines)


def fields(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Each key with its full name; sections are gone through, the three models are one kind of section."""
    for name, field in section.model_fields.items():
        kind = field.annotation
        if kind is Models:
            yield from fields(Model, f"{prefix}{name}.ROLE.")
        elif isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from fields(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field


def record(name: str) -> str:
    """The fields of a record of state.py: type and comment, as they stand there."""
    lines = ["| field | type | |", "| --- | --- | --- |"]
    for kind in getattr(getattr(state, name), "__orig_bases__", ()):
        if kind in vars(state).values() and kind is not TypedDict:  # a record that extends another one
            lines += record(kind.__name__).split("\n")[2:]
    for line in inspect.getsource(getattr(state, name)).split("\n"):
        if match := re.fullmatch(r"    (\w+): (.+?)(?:  # (.*))?", line):
            lines.append(f"| `{match[1]}` | {_cell(f'`{match[2]}`')} | {_cell(match[3] or '')} |")
    return "\n".join(lines)


def benchmark(script: str) -> str:
    """What benchmarks/results/SCRIPT.json holds, with the command and the machine that it comes from."""
    found = json.loads((RESULTS / f"{script}.json").read_text(encoding="utf-8"))
    machine, command = found["machine"], found["command"]
    revision = found["versions"].get("revision", "not noted")
    lines = [
        f"`{command}`, on {machine['cores']} cores ({machine['cpu']}), {machine['memory_gb']} GB; revision {revision}",
        "",
        "| what | ours | beside | | ratio | goal | met | floor (of it) |",
        "| --- | ---: | ---: | --- | ---: | --- | --- | ---: |",
    ]
    for row in found["rows"]:
        share = "" if row["share_of_floor"] is None else f" ({row['share_of_floor']:.0%})"
        met = {True: "yes", False: "no"}.get(row["met"], "")
        said = {name: "" if row[name] is None else f"{row[name]:.4g}" for name in ("ours", "peer", "ratio", "floor")}
        if row.get("ratios"):  # older files have none
            said["ratio"] += " ({:.3g} to {:.3g})".format(*row["ratios"])
        what, whom, goal = f"{row['name']} ({row['unit']})", row["peer_name"], row["goal"]
        cells = [what, said["ours"], said["peer"], whom, said["ratio"], goal, met, said["floor"] + share]
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(lines)


def goals() -> str:
    """The goals that what is kept in benchmarks/results misses."""
    files = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.rglob("*.json"))]
    missed = [row for found in files for row in found["rows"] if row["met"] is False]
    lines = ["All goals are met but these:", ""] if missed else ["All goals are met."]
    for row in missed:
        share = "" if row["share_of_floor"] is None else f", {row['share_of_floor']:.0%} of the floor"
        found = f"{row['ours']:.4g}" if row["ratio"] is None else f"{row['ratio']:.4g} x {row['peer_name']}{share}"
        lines.append(f"- {row['name']} ({row['unit']}): {found}; the goal is {row['goal']}")
    return "\n".join(lines)


def _default(name: str, field: FieldInfo) -> str:
    if name.startswith("models."):  # one of each role
        return "see [usage](usage.md#every-key)" if field.is_required() else f"`{json.dumps(field.default)}`"
    return f"`{json.dumps(field.default)}`"


def _allowed(field: FieldInfo) -> str:
    rules = [(*SIGNS[type(rule)], rule) for rule in field.metadata if type(rule) in SIGNS]
    bounds = [f"{sign} {getattr(rule, name)}" for sign, name, rule in rules]
    if any(isinstance(rule, MinLen) for rule in field.metadata):
        bounds.append("not empty")
    kind = field.annotation
    words = kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "").replace("NoneType", "null")
    words = words.replace("None", "null")
    if match := re.fullmatch(r"Literal\[(.*)\]", words):
        return ", ".join(f"`{choice}`" for choice in match[1].replace("'", "").split(", "))
    return f"`{words}`" + (f", {' and '.join(bounds)}" if bounds else "")


def _cell(text: str) -> str:
    """A text in one cell; in code a stroke divides no cells, and a backslash before it would be shown."""
    escaped = re.sub(r"(`[^`]*`)|\|", lambda match: match[1] or r"\|", text)
    return " ".join(escaped.split())
