"""How texts of data and models are cut and keyed for a page."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pada_graph.html.words import LONGEST, clip


def fields(row: Mapping[str, Any] | None, longest: int = LONGEST) -> list[tuple[str, str]]:
    """A row's fields as text of at most `longest` characters; values that are no strings as JSON."""
    return [
        (name, clip(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), longest))
        for name, value in (row or {}).items()
        if name != "id"
    ]


def spread(items: Sequence[Any], limit: int) -> list[Any]:
    """At most `limit` items, evenly spaced."""
    step = max(1.0, len(items) / limit)
    return [items[int(place * step)] for place in range(min(limit, len(items)))]


def letters(number: int) -> str:
    """0 -> A, 25 -> Z, 26 -> AA."""
    return (letters(number // 26 - 1) if number >= 26 else "") + chr(65 + number % 26)
