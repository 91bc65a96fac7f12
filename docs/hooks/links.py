"""Links to files outside of docs/ (examples, prompts): the site has no page for them; the name stays, the link goes."""

import re
from typing import Any

OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./[^)]+\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Turn `[text](../file)` into `text`, as code."""
    return OUTSIDE.sub(r"`\1`", markdown)
