"""Pages of one file, without script or network: shared layout, style, macros, words and figures.

Texts of data and models are hostile input: every value is escaped but our own figures (`svg.py`), and the page's
content security policy allows no script and no request at all.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from pada_graph.html.words import clip, duration, percent, points

if TYPE_CHECKING:
    from jinja2 import Environment


def page_templates(folder: Path) -> "Environment":
    """The templates of a folder beside the shared ones; a value that is missing is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent / "templates"]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, points=points, duration=duration, clip=clip)
    return environment


def encodable(page: str) -> str:
    """The page without lone surrogates: JSON can carry them, UTF-8 has no place for them."""
    return page.encode("utf-8", "replace").decode("utf-8")
