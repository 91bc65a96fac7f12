"""report.html of a folder of tables: one file without network or script, in light and dark, on phone and paper."""

from pathlib import Path

from pada_graph.html import page_templates
from pada_graph.reproduce.blocks import blocks, caveats, status, title
from pada_graph.reproduce.grid import TABLES
from pada_graph.reproduce.tables import Result
from pada_graph.rundir import RunDir


def build_page(root: Path) -> None:
    """Write report.html with every table whose JSON file is there, and links to the reports of the cells.

    Raises:
        InputError: a JSON file is damaged.
        StoppedError: the page cannot be written.
    """
    out = RunDir(root)
    results: list[Result] = [out.read_json(f"{name}.json") for name in TABLES if out.path(f"{name}.json").exists()]
    page = (
        page_templates(Path(__file__).parent)
        .get_template("page.html.j2")
        .render(
            tables=[
                {
                    "title": title(result),
                    "status": status(result),
                    "blocks": blocks(result),
                    "caveats": caveats(result),
                    "cells": [
                        {**cell, "report": (root / cell["directory"] / "report.html").exists()}
                        for cell in result["cells"]
                    ],
                    "teachers": result["teachers"],
                }
                for result in results
            ],
        )
    )
    out.write_text("report.html", page)
