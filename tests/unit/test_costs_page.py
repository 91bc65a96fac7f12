"""The figures of docs/costs.md are what `pada-graph plan` prints, where the public data sets are at hand."""

import re
from pathlib import Path

import pytest
from rich.console import Console

from pada_graph.config_file import load_config
from pada_graph.plan import make_plan, print_plan

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
PAGE = (ROOT / "docs/costs.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the shared data is not here")


def printed(example: str, *overrides: str) -> list[str]:
    settings = load_config(ROOT / f"examples/{example}.yaml", list(overrides))
    console = Console(width=120)
    with console.capture() as shown:
        print_plan(console, settings, make_plan(settings))
    return [line.rstrip() for line in shown.get().splitlines()]


def expected(lines: list[str]) -> list[str]:
    """The column "expected" of all roles: calls, tokens in, tokens out, dollars."""
    start = next(number for number, line in enumerate(lines) if line.startswith("all roles"))
    return [line.split()[-2] for line in lines[start : start + 4]]


def test_the_papers_setting_costs_what_the_page_says():
    shown = re.search(r"```text\n(.*?)```", PAGE, flags=re.DOTALL)[1].splitlines()
    lines = printed("gsm8k_bedrock", f"data.source={DATA / 'gsm8k'}")
    assert [line.split() for line in lines[: len(shown)]] == [line.split() for line in shown]


@pytest.mark.parametrize("rows", ["1,000", "600", "300"])
def test_fewer_rows_cost_what_the_page_says(rows):
    told = re.search(rf"^\| {rows} \| (.*) \|$", PAGE, flags=re.MULTILINE)[1].split(" | ")
    size = rows.replace(",", "")
    assert expected(printed("gsm8k_bedrock", f"data.source={DATA / 'gsm8k'}", f"data.train_size={size}")) == told


def test_the_local_llm_is_asked_what_the_page_says():
    calls, tokens_in, tokens_out, dollars = expected(printed("squad_local_llm", f"data.source={DATA / 'squad'}"))
    assert f'expects {calls} calls, {tokens_in} tokens in and {tokens_out} out, and dollars "{dollars}"' in PAGE
