"""Makes the README's pictures of a report: python -m tests.browser.screenshots RUN_DIR OUT."""

import sys
from dataclasses import replace
from pathlib import Path

from pada_graph.report import build_report
from tests.browser.looks import DARK, LIGHT, PHONE, find_chromium, launched, opened

PICTURES = {  # file -> look, and the section at its top
    "report.png": (replace(LIGHT, height=1160), None),
    "report-dark.png": (replace(DARK, height=1160), "clusters"),
    "report-phone.png": (replace(PHONE, scale=1.5), "patterns"),
}


def main(run_dir: Path, out: Path) -> None:
    """Build the report of a run and take its pictures."""
    file = build_report(run_dir)
    executable = find_chromium()
    if executable is None:
        sys.exit("No Chromium was found. Debian: apt-get install chromium.")
    with launched(executable) as browser:
        for name, (look, section) in PICTURES.items():
            with opened(browser, file, look) as seen:
                if section:
                    seen.page.locator(f"#{section}").evaluate("section => section.scrollIntoView()")
                seen.page.screenshot(path=out / name)
                print(out / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
