"""Executes the notebooks' scripts and writes them with their outputs beside the scripts (`make notebooks`)."""

import os
import re
import sys
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient

from tests.notebooks.stand_in import stand_in

FOLDER = Path(__file__).parents[2] / "notebooks"
SCRIPTS = sorted(FOLDER.glob("[0-9]*.py"))
TIMEOUT = 500  # seconds for one cell
ANSI = re.compile(r"\x1b\[[0-9;]*m")


def read_script(script: Path) -> Any:
    """The notebook that a percent script is, without outputs; its cells' ids are their numbers."""
    notebook = jupytext.read(script)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    kernel = notebook.metadata["kernelspec"]
    formats = notebook.metadata["jupytext"]["formats"]
    notebook.metadata = nbformat.from_dict(
        {"jupytext": {"formats": formats}, "kernelspec": kernel, "language_info": {"name": "python"}}
    )
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02}"
    return notebook


def execute(script: Path, folder: Path, without: str | None = None) -> Any:
    """Execute a script as a notebook in `folder`, and return it with what it put out.

    Args:
        script: Of percent form.
        folder: Where its files go.
        without: A line that names a cell to leave out.

    Raises:
        CellExecutionError: a cell failed.
    """
    notebook = read_script(script)
    notebook.cells = [cell for cell in notebook.cells if without not in cell.source.splitlines()]
    with stand_in() as server, chdir(folder):  # the kernel's too
        os.environ.update(TEACHER_URL=f"{server.url}/v1", TEACHER_NAME="stand-in", OPENAI_API_KEY="none")
        NotebookClient(notebook, timeout=TIMEOUT, record_timing=False, coalesce_streams=True).execute()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("metadata", {}).clear()
            if output["output_type"] == "stream":
                output["text"] = ANSI.sub("", output["text"])
    notebook.metadata["language_info"] = {"name": "python"}  # not the version of this Python
    return notebook


def main(names: list[str]) -> None:
    """Execute the scripts whose names begin so, or all, and write their notebooks."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    for script in SCRIPTS:
        if not names or script.name.startswith(tuple(names)):
            with tempfile.TemporaryDirectory() as folder:
                notebook = execute(script, Path(folder))
            nbformat.validate(notebook)
            script.with_suffix(".ipynb").write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
            print(script.with_suffix(".ipynb").name)


if __name__ == "__main__":
    main(sys.argv[1:])
