"""A browser for all tests here, and the pages they look at."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from pada_graph.compare import compare_runs, write_page
from pada_graph.report import build_report
from pada_graph.reproduce.output import write_outputs
from pada_graph.reproduce.tables import make_result
from tests.browser.looks import find_chromium, launched
from tests.run_fixture import write_run
from tests.unit.test_reproduce_tables import finish, grid_of

PAGES = ("report", "unfinished", "compare", "reproduce")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Ends with its module: its event loop runs in this thread, where no later test could start one."""
    executable = find_chromium()
    if executable is None:
        reason = "no Chromium was found (Debian: apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with launched(executable) as found:
        yield found


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every kind of page that is made, of made-up runs with hostile texts."""
    root = tmp_path_factory.mktemp("pages")
    runs = [write_run(root / "first"), write_run(root / "second", rounds=1)]
    compared = root / "compare.html"
    write_page(runs, compare_runs(runs), compared)
    grid = grid_of(["vanilla", "pada"], tasks=["hellaswag"])
    for cell in grid.cells:
        finish(cell, root / "table", 8)
    write_outputs(root / "table", make_result(grid, root / "table", {}))
    return {
        "report": build_report(runs[0]),
        "unfinished": build_report(write_run(root / "unfinished", finished=False)),
        "compare": compared,
        "reproduce": root / "table" / "report.html",
    }
