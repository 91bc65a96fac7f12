"""The paper's figures, checked against one another and against its text where that is at hand."""

import re
from pathlib import Path

import pytest

from pada_graph.reproduce import paper

PAPER = Path(__file__).parents[2].parent / "shared" / "paper.md"


@pytest.mark.parametrize("size", paper.SIZES)
@pytest.mark.parametrize("method", ["auggpt", "llms_as_instructors", "pada"])
def test_averaged_gives_the_papers_own_figures(size, method):
    table = paper.TABLE1[size]
    found = paper.averaged(table[method][:4], table["vanilla"][:4])
    assert found == pytest.approx(paper.AVERAGED[size][method], abs=0.14)


def test_averaged_is_undefined_where_vanilla_is_at_0():
    assert paper.averaged([0.5, 0.2], [0.4, 0.0]) is None
    assert paper.averaged([], []) is None


def test_hellaswag_rules_the_papers_average():
    vanilla, ours = (paper.TABLE1[1000][method] for method in ("vanilla", "pada"))
    assert paper.averaged(ours[2:3], vanilla[2:3]) / 4 == pytest.approx(27.9, abs=0.05)
    assert paper.averaged(ours[:2] + ours[3:4], vanilla[:2] + vanilla[3:4]) == pytest.approx(5.4, abs=0.05)


def test_figures_are_found_by_table_setting_variant_and_task():
    assert paper.figure("table1", 1000, "pada", "hellaswag") == 51.2
    assert paper.figure("table1", 1000, "pada", "humaneval") is None
    assert paper.figure("table1", 300, "auggpt", "humaneval") == 18.8
    assert paper.figure("table1", 300, "llm2llm", "squad") is None
    assert paper.figure("table1", 17, "pada", "squad") is None
    assert paper.figure("table2", 600, "pada-no_patterns", "hellaswag") == 35.2
    assert paper.figure("table2", 600, "pada", "squad") is None


@pytest.mark.skipif(not PAPER.exists(), reason="the paper's text is not at hand")
def test_every_figure_is_in_the_papers_text():
    text = PAPER.read_text(encoding="utf-8")
    rows = [re.findall(r"[-+]?\d+\.\d", line) for line in text.splitlines() if "\t" in line]
    rows = [[float(value) for value in row] for row in rows if len(row) >= 4]
    expected = [
        [*figures, *([average] if (average := paper.AVERAGED[size].get(method)) else [])]
        for size, table in paper.TABLE1.items()
        for method, figures in table.items()
    ]
    assert rows[: len(expected)] == expected
    for figures in paper.TABLE2.values():
        assert re.search(r"\b{}\b.*\b{}\b".format(*figures), text)
