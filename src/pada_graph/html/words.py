"""How numbers and long texts are written on a page."""

LONGEST = 1500  # characters shown of one text


def percent(share: float) -> str:
    """0.607 -> "60.7 %"."""
    return f"{100 * share:.1f} %"


def points(share: float) -> str:
    """0.133 -> "+13.3", in percentage points."""
    return f"{100 * share:+.1f}"


def duration(seconds: float) -> str:
    """431.2 -> "7 min 11 s"."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


def clip(text: str, longest: int = LONGEST) -> str:
    """The text, or its beginning and how much is left out."""
    return text if len(text) <= longest else f"{text[:longest]} … ({len(text) - longest:,} more characters)"
