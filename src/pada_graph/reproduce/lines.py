"""Texts of errors on one line: they may hold words of data and models."""

import re


def one_line(text: str) -> str:
    """The text on one line; a control character or half a surrogate pair is shown as the replacement character."""
    line = re.sub(r"\s+", " ", text).rstrip()
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)
