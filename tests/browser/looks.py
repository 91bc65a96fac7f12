"""How a page is looked at: a browser without network, in light and dark, on a desk and on a phone."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, ConsoleMessage, Page, Route, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Look:
    """A window and the reader's preference."""

    width: int
    height: int
    scheme: str = "light"
    scale: float = 1.0  # device pixels to one of CSS


LIGHT = Look(1200, 1000)
DARK = Look(1200, 1000, "dark")
PHONE = Look(390, 844)
LOOKS = {"light": LIGHT, "dark": DARK, "phone": PHONE}


@dataclass
class Seen:
    """An open page and what it did."""

    page: Page
    console: list[str] = field(default_factory=list)  # messages of error level, and exceptions
    requests: list[str] = field(default_factory=list)  # addresses beside the page's own

    def wide_as_its_window(self) -> bool:
        """Whether nothing makes the page scroll sideways."""
        width: int = self.page.evaluate("document.documentElement.scrollWidth")
        assert self.page.viewport_size
        return width <= self.page.viewport_size["width"]

    def open_all(self) -> None:
        """Open everything that can be folded."""
        self.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")


def find_chromium() -> str | None:
    """The system's Chromium; no browser is downloaded."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


@contextmanager
def launched(executable: str) -> Iterator[Browser]:
    """The browser, headless."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, file: Path, look: Look) -> Iterator[Seen]:
    """A page from a file; every request but that for the page itself is refused and remembered."""
    context = browser.new_context(
        viewport={"width": look.width, "height": look.height},
        color_scheme="dark" if look.scheme == "dark" else "light",
        device_scale_factor=look.scale,
    )
    seen, address = Seen(context.new_page()), file.resolve().as_uri()

    def refuse(route: Route) -> None:
        if route.request.url.partition("#")[0] == address:
            route.continue_()
        else:
            seen.requests.append(route.request.url)
            route.abort()

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            seen.console.append(message.text)

    seen.page.route("**/*", refuse)
    seen.page.on("console", note)
    seen.page.on("pageerror", lambda error: seen.console.append(str(error)))
    seen.page.goto(address)
    yield seen
    context.close()
