"""Texts of data and models on a terminal."""


def clip(text: str, longest: int) -> str:
    """The beginning and the end of a long text: a prompt's instructions stand at its end."""
    if len(text) <= longest:
        return text
    left_out = f"[... {len(text) - longest:,} characters, shown by --full ...]"
    return f"{text[: longest // 2]}\n{left_out}\n{text[-(longest // 2) :]}"


def printable(text: str) -> str:
    """The text without what a terminal would obey."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
