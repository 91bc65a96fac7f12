"""Writes a result as Markdown, CSV, LaTeX, JSON and HTML, and prints it.

Reasons for failures may hold words of data and models: each form escapes them.
"""

import csv
import io
import re
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pada_graph.reproduce.blocks import blocks, caveats, status, title
from pada_graph.reproduce.lines import one_line
from pada_graph.reproduce.page import build_page
from pada_graph.reproduce.tables import Result
from pada_graph.rundir import RunDir

WIDTH = 100  # columns, at most
_MARKDOWN = re.compile(r"[\\`*_<>|\[\]]")
_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "<": r"$<$",
          **{letter: f"\\{letter}" for letter in "&%$#_{}"}}  # fmt: skip


def write_outputs(root: Path, result: Result) -> None:
    """Write TABLE.md, .csv, .tex and .json, and report.html, which shows every table there is.

    Raises:
        StoppedError: the disk refuses a file.
        InputError: another table's JSON file is damaged.
    """
    out, name = RunDir(root), result["table"]
    out.write_text(f"{name}.md", markdown(result))
    out.write_text(f"{name}.csv", as_csv(result))
    out.write_text(f"{name}.tex", latex(result))
    out.write_json(f"{name}.json", result)
    build_page(root)


def print_tables(console: Console, result: Result) -> None:
    """Print everything, within 100 columns."""
    width = min(WIDTH, console.width)
    _say(console, title(result), width, bold=True)
    _say(console, status(result), width)
    for block in blocks(result):
        console.print()
        _say(console, block.title, width, bold=True)
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
        for place, head in enumerate(block.heads):
            ends = place in (0, len(block.heads) - 1)  # a name or a verdict may take two lines, a number must not
            table.add_column(_plain(head), justify="right" if place else "left", overflow="fold", no_wrap=not ends)
        for row in block.rows:
            table.add_row(*map(_plain, row))
        console.print(table, width=width)
        for note in block.notes:
            _say(console, note, width)
    for text in _missing(result):
        console.print()
        _say(console, text, width)
    console.print()
    for caveat in caveats(result):
        _say(console, caveat, width)


def markdown(result: Result) -> str:
    """The result as GitHub's Markdown."""
    parts = [f"# {_md(title(result))}", _md(status(result))]
    for block in blocks(result):
        lines = ["| " + " | ".join(map(_md, row)) + " |" for row in (block.heads, *block.rows)]
        lines.insert(1, "| --- |" + " ---: |" * (len(block.heads) - 1))
        parts += [f"## {_md(block.title)}", "\n".join(lines), *map(_md, block.notes)]
    if result["missing"]:
        parts += ["## Missing", "\n".join(f"- {_md(text)}" for text in _missing(result))]
    parts += ["## How to read this", "\n".join(f"- {_md(caveat)}" for caveat in caveats(result))]
    return "\n\n".join(parts) + "\n"


def latex(result: Result) -> str:
    r"""Each table as a `table` environment with booktabs' rules, for \input."""
    parts = [f"% {title(result)}. {status(result)} Needs \\usepackage{{booktabs}}.".replace("\n", " ")]
    for number, block in enumerate(blocks(result), 1):
        lines = [" & ".join(map(_tex, row)) + r" \\" for row in block.rows]
        parts.append(
            "\n".join(
                [
                    r"\begin{table}\centering\small",
                    rf"\caption{{{_tex(block.title)}}}\label{{{result['table']}-{number}}}",
                    rf"\begin{{tabular}}{{l{'r' * (len(block.heads) - 1)}}}",
                    r"\toprule",
                    " & ".join(map(_tex, block.heads)) + r" \\",
                    r"\midrule",
                    *lines,
                    r"\bottomrule",
                    r"\end{tabular}\end{table}",
                ]
            )
        )
    return "\n\n".join(parts) + "\n"


def as_csv(result: Result) -> str:
    """One line for each task, train size and variant; accuracies and differences are fractions."""
    plain = ("task", "size", "train_rows", "n", "variant", "accuracy", "low", "high", "paper")
    costs = ("requested", "accepted", "calls", "tokens", "usd", "gain", "usd_per_point", "calls_per_point")
    tests = ("against", "difference", "low", "high", "p_value", "holm", "verdict")
    heads = [*plain, "seeds", "iterations", *costs, *(f"{key} of difference" if key in plain else key for key in tests)]
    compared = {
        (item["task"], item["size"], item["variant"]): dict(item)
        for item in result["comparisons"]
        if item["against"] == result["reference"]
    }
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    for row in result["rows"]:
        item, cost = compared.get((row["task"], row["size"], row["variant"]), {}), dict(row["cost"] or {})
        lists = (" ".join(map(str, row["seeds"])), " ".join(map(str, row["iterations"])))
        values = [dict(row)[key] for key in plain]
        writer.writerow([*values, *lists, *(cost.get(key) for key in costs), *(item.get(key) for key in tests)])
    return text.getvalue()


def _missing(result: Result) -> list[str]:
    return [f"Missing: {cell['name']}: {cell['missing']}" for cell in result["missing"]]


def _md(text: str) -> str:
    return _MARKDOWN.sub(lambda match: "\\" + match[0], one_line(text))


def _tex(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in one_line(text))


def _plain(text: str) -> Text:
    return Text(one_line(text))


def _say(console: Console, text: str, width: int, *, bold: bool = False) -> None:
    console.print(Text(one_line(text), style="bold" if bold else ""), width=width)
