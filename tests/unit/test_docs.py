"""What the docs say about the code is so: functions, files of a run, events, metrics, links between pages."""

import ast
import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import BaseModel

from pada_graph.config import Model, RunConfig
from tests.doc_blocks import PAGES, ROOT, SHELL, blocks, fault, fenced, inline_commands

SOURCE = ROOT / "src/pada_graph"


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_every_function_of_the_paper_page_exists():
    places = re.findall(r"`([\w/]+\.py)(?::([\w.]+))?`", page("paper_to_code.md"))
    assert len(places) > 50
    for file, name in places:
        module = import_module(f"pada_graph.{file.removesuffix('.py').replace('/', '.')}")
        target = module
        for part in filter(None, name.split(".")):
            assert hasattr(target, part), f"{file}:{name}"
            target = getattr(target, part)
        assert not callable(target) or getattr(target, "__module__", "").startswith("pada_graph"), f"{file}:{name}"
    prompts = re.findall(r"`(prompts/\w+\.txt)`", page("paper_to_code.md"))
    assert prompts and [name for name in prompts if not (ROOT / name).exists()] == []


def test_every_node_of_the_graph_is_on_the_paper_page():
    nodes = re.findall(r'add_node\("(\w+)", bind', (SOURCE / "graph.py").read_text())
    assert len(nodes) > 15
    text = page("paper_to_code.md")
    no_sentence = ["open_batches", "open_batch"]  # they read the plan
    assert [node for node in nodes if f":{node}`" not in text] == no_sentence


def emitted() -> dict[str, set[str]]:
    """Every event that a node reports, with the names of its values."""
    found: dict[str, set[str]] = {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "emit":
                name = ast.literal_eval(node.args[0])
                found.setdefault(name, set()).update(word.arg for word in node.keywords if word.arg)
    return found


def test_every_event_is_on_its_page_with_its_keys():
    rows = re.findall(r"^\| `(\w+)` \| .*? \|(.*)\|$", page("events.md"), flags=re.MULTILINE)
    told = {name: set(re.findall(r"`(\w+)`", keys)) for name, keys in rows}
    events = emitted()
    assert len(events) > 12 and told.keys() == events.keys() | {"session"}
    missing = {name: keys - told[name] - {"iteration"} for name, keys in events.items()}
    assert {name: keys for name, keys in missing.items() if keys} == {}


def defaults(section: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every key of a configuration with its default; a role's model is one key, whose default is words."""
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not Model:
            yield from defaults(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", "" if kind is Model else json.dumps(field.default).strip('"')


def test_the_table_of_keys_has_every_key_of_a_configuration_with_its_default():
    section = page("usage.md").partition("## Every key")[2].partition("A role under `models`")[0]
    rows = re.findall(r"^\| `([\w.]+)` \| (.*?) \|", section, flags=re.MULTILINE)
    told = {key: "" if key.startswith("models.") else default.strip("`") for key, default in rows}
    assert told == dict(defaults(RunConfig))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_in_the_text_can_be_given(path):
    commands = [command for command in inline_commands(path) if "COMMAND" not in command]
    assert [found for command in commands if (found := fault(command, whole=False))] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(path):
    text = re.sub(r"^( *)```.*?^\1```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    dead = []
    for link in links:
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def anchors(path: Path) -> set[str]:
    """The headings of a page as links name them (the site's test knows those that are made when it is built)."""
    text = re.sub(r"^( *)```.*?^\1```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_block_names_its_language():
    known = {*SHELL, "json", "mermaid", "python", "text", "yaml"}
    assert [str(block) for path in PAGES for block in fenced(path) if block.language not in known] == []
    assert len(blocks(*SHELL)) > 20
