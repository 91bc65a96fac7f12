"""The documentation site: built without a warning and without network, asks no other host, and no link is dead."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.browser.looks import find_chromium, launched

pytest.importorskip("mkdocs")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
LOADING = {
    ("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src"), ("source", "src"), ("object", "data"),
}  # fmt: skip


class Page(HTMLParser):
    """What a page loads, what it links to, and the places that links may point at."""

    def __init__(self, path: Path):
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if (tag, name) in LOADING:
                self.loads.append(value)
            if tag == "a" and name == "href":
                self.links.append(value)
            if name == "id":
                self.ids.add(value)


def without_network() -> list[str]:
    """A command's prefix that takes the network away, where the system allows it."""
    prefix = ["unshare", "--map-root-user", "--net"]
    if not shutil.which("unshare"):
        return []
    tried = subprocess.run([*prefix, "true"], check=False, capture_output=True)
    return [] if tried.returncode else prefix


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, str]:
    site = tmp_path_factory.mktemp("docs") / "site"
    call = [*without_network(), sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": paths}
    done = subprocess.run(call, check=False, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return site, done.stderr


@pytest.fixture(scope="module")
def pages(built) -> dict[Path, Page]:
    return {path: Page(path) for path in sorted(built[0].rglob("*.html"))}


def test_it_is_built_without_a_warning(built):
    assert re.findall(r"WARNING.*|ERROR.*", built[1]) == []


def test_no_page_or_style_sheet_asks_another_host(built, pages):
    asked = {str(path): [url for url in page.loads if urlsplit(url).netloc] for path, page in pages.items()}
    for path in built[0].rglob("*.css"):
        text = path.read_text(encoding="utf-8")
        urls = re.findall(r"""(?:url\(|@import)\s*["']?([^"')]+)""", text)
        asked[str(path)] = [url for url in urls if urlsplit(url).netloc]
    assert len(asked) > 20
    assert {path: urls for path, urls in asked.items() if urls} == {}


def test_every_link_inside_the_site_leads_somewhere(pages):
    dead = []
    for path, page in pages.items():
        if path.name == "404.html":  # shown at any address, so its links begin at the site's root
            continue
        for link in [*page.links, *page.loads]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            known = pages[target].ids if target in pages else ()
            if not target.exists() or (known and parts.fragment and unquote(parts.fragment) not in known):
                dead.append((path.name, link))
    assert dead == []


def test_the_search_knows_every_page(built, pages):
    entries = json.loads((built[0] / "search/search_index.json").read_text())["docs"]
    found = {entry["location"].partition("#")[0] for entry in entries if entry["text"]}
    names = {path.name for path in pages} - {"404.html"}
    assert names - {"index.html"} <= found


def test_the_reference_is_written_from_the_code(built):
    text = {
        name: (built[0] / f"{name}.html").read_text()
        for name in ("cli", "config", "run_directory", "api", "performance")
    }
    assert "--rebuild-state" in text["cli"] and "student.training.learning_rate" in text["config"]
    assert "prompt_sha256" in text["run_directory"] and "keeps no checkpoints" not in text["run_directory"]
    assert 'id="pada_graph.runner.run"' in text["api"] and "All goals are met" in text["performance"]
    assert not any("<!-- generated" in page for page in text.values())


def test_types_are_shown_without_backslashes(built):
    for name in ("config", "run_directory"):
        text = (built[0] / f"{name}.html").read_text()
        assert " | null</code>" in text or " | None</code>" in text
        assert re.findall(r"<code>[^<]*\\\|[^<]*</code>", text) == []


def test_every_name_that_a_notebook_imports_is_on_the_page_of_the_python_interface(built):
    ids = set(re.findall(r'id="pada_graph\.([\w.]+)"', (built[0] / "api.html").read_text()))
    known = {name.rpartition(".")[2] for name in ids}
    nodes = [node for path in ROOT.glob("notebooks/*.py") for node in ast.walk(ast.parse(path.read_text()))]
    imported = {
        alias.name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "pada_graph"
        for alias in node.names
    }
    assert len(imported) > 15 and imported - known == set()


@pytest.mark.skipif(find_chromium() is None, reason="no Chromium was found")
@pytest.mark.parametrize("name", ["config", "reliability", "troubleshooting", "run_directory", "usage"])
def test_no_table_is_cut_off_on_a_desk(built, name):
    with launched(find_chromium()) as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto((built[0] / f"{name}.html").as_uri())
        hidden = "all => all.map(table => table.scrollWidth - table.clientWidth)"
        found = page.eval_on_selector_all(".md-typeset__scrollwrap", hidden)
    assert found and max(found) == 0
