"""Pages in a real browser: no error, request, barrier or sideways scrolling; pictures go to build/screenshots."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.browser.conftest import PAGES
from tests.browser.looks import DARK, LIGHT, LOOKS, PHONE, Look, opened
from tests.browser.screenshots import PICTURES as PICTURED

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "build" / "screenshots"

pytestmark = pytest.mark.timeout(600)


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_no_error_asks_for_nothing_and_fits_its_window(
    browser: Browser, pages: dict[str, Path], name: str, look: str
) -> None:
    with opened(browser, pages[name], LOOKS[look]) as seen:
        PICTURES.mkdir(parents=True, exist_ok=True)
        seen.page.screenshot(path=PICTURES / f"{name}-{look}.png", full_page=True)
        assert seen.wide_as_its_window()
        seen.open_all()
        assert seen.wide_as_its_window()
        assert seen.page.evaluate("document.scripts.length") == 0
        assert (seen.console, seen.requests) == ([], [])


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", PAGES)
def test_axe_has_no_serious_finding(browser: Browser, pages: dict[str, Path], name: str, look: str) -> None:
    with opened(browser, pages[name], LOOKS[look]) as seen:
        seen.open_all()
        found = Axe().run(seen.page).response["violations"]
        assert [
            (item["id"], item["impact"], [node["html"][:200] for node in item["nodes"]][:3])
            for item in found
            if item["impact"] in ("serious", "critical")
        ] == []


def test_a_request_of_the_page_would_be_noticed(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<img src="https://example.invalid/x.png"><script>console.error("no"); thrown</script>')
    with opened(browser, page, LIGHT) as seen:
        assert seen.requests == ["https://example.invalid/x.png"]
        assert any("no" in line for line in seen.console) and any("thrown" in line for line in seen.console)


def test_the_pages_policy_stops_scripts_and_pictures(browser: Browser, pages: dict[str, Path], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    text = pages["report"].read_text(encoding="utf-8")
    page.write_text(text.replace("</main>", '<script>document.title = "run"</script><img src="x.png"></main>'))
    with opened(browser, page, LIGHT) as seen:
        assert seen.requests == [] and seen.page.title() != "run"
        assert len(seen.console) == 2  # both are refused, and said so


def test_the_first_tab_stop_skips_to_the_content_and_details_open_by_key(
    browser: Browser, pages: dict[str, Path]
) -> None:
    with opened(browser, pages["report"], LIGHT) as seen:
        seen.page.keyboard.press("Tab")
        skip = seen.page.locator(".skip")
        assert skip.evaluate("link => link === document.activeElement")
        assert (
            skip.evaluate("link => link.getBoundingClientRect().top >= 0 && getComputedStyle(link).outlineWidth")
            == "3px"
        )
        seen.page.keyboard.press("Enter")
        assert seen.page.evaluate("document.activeElement.id") == "main"
        details = seen.page.locator("details").first
        details.locator("summary").first.focus()
        seen.page.keyboard.press("Enter")
        assert details.evaluate("details => details.open")


def test_figures_take_the_schemes_colours(browser: Browser, pages: dict[str, Path]) -> None:
    ink = []
    for look in (LIGHT, DARK):
        with opened(browser, pages["report"], look) as seen:
            ink.append(seen.page.locator("svg text").first.evaluate("text => getComputedStyle(text).fill"))
    assert ink == ["rgb(28, 32, 36)", "rgb(228, 231, 234)"]


def test_a_hostile_text_stays_in_its_place(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["report"], PHONE) as seen:
        assert seen.page.locator("body > *").count() == 4  # skip link, header, contents, main
        assert seen.page.evaluate("document.styleSheets.length") == 1
        assert "<script>alert" in seen.page.locator("#patterns").inner_text()
        assert seen.page.locator("footer, h1").count() == 1


def test_a_printed_report_is_on_white_paper_as_wide_as_it_with_the_settings_unfolded(
    browser: Browser, pages: dict[str, Path]
) -> None:
    with opened(browser, pages["report"], Look(720, 1000, "dark")) as seen:
        settings = seen.page.locator("#setup pre")
        visible = "element => element.checkVisibility({contentVisibilityAuto: true})"
        assert not settings.evaluate(visible)
        seen.page.emulate_media(media="print")
        assert settings.evaluate(visible)
        assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert not seen.page.locator("nav").is_visible()
        assert seen.wide_as_its_window()
        assert seen.page.pdf(format="A4").startswith(b"%PDF-")


def test_paper_shows_the_keys_colours_the_totals_once_and_the_first_samples_and_items(
    browser: Browser, pages: dict[str, Path]
) -> None:
    visible = "element => element.checkVisibility({contentVisibilityAuto: true})"
    with opened(browser, pages["report"], Look(720, 1000)) as seen:
        folded = [seen.page.locator(f"#{name} dl").first for name in ("samples", "flips")]
        folded.append(seen.page.locator("#flips details[class] > details dl").first)
        folded.append(seen.page.locator("#batches .pair").last)
        assert not seen.page.locator(".paper").is_visible()
        seen.page.emulate_media(media="print")
        assert [element.evaluate(visible) for element in folded] == [True, False, True, False]
        assert seen.page.locator(".paper").is_visible()
        assert seen.page.locator(".key").first.evaluate("key => getComputedStyle(key).printColorAdjust") == "exact"
        assert seen.page.locator("tfoot").first.evaluate("foot => getComputedStyle(foot).display") == "table-row-group"
        assert seen.page.locator(".side").first.evaluate("side => getComputedStyle(side).display") == "block"


@pytest.mark.parametrize("width", [1200, 1600])
def test_no_table_is_cut_off_on_a_desk(browser: Browser, pages: dict[str, Path], width: int) -> None:
    wide = "boxes => boxes.filter(box => box.scrollWidth > box.clientWidth + 1).map(box => box.ariaLabel)"
    with opened(browser, pages["report"], Look(width, 1000)) as seen:
        assert seen.page.locator("#patterns .scroll").evaluate_all(wide) == []


def test_only_the_last_rounds_patterns_are_unfolded(browser: Browser, pages: dict[str, Path]) -> None:
    with opened(browser, pages["report"], PHONE) as seen:
        tables = seen.page.locator("#patterns [aria-label^='Patterns of round']")
        assert [table.is_visible() for table in tables.all()] == [False, True]
        for section in ("accounting", "batches", "flips"):
            assert seen.page.locator(f"#{section} .scroll").first.evaluate("box => box.scrollWidth <= box.clientWidth")


def test_the_readmes_pictures_are_small_and_there() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in PICTURED:
        assert f"docs/{name}" in readme
        assert (ROOT / "docs" / name).stat().st_size < 300_000
