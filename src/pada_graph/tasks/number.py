"""Numbers: reading the final number of an answer and comparing it exactly. Shared by GSM8K and jsonl.

The order of statements follows GSM8K's own `extract_answer` (openai/grade-school-math), which takes the first "#### N",
and adds what MATH and lm-evaluation-harness' flexible filter read: a boxed number, "answer is N", the last number.
Numbers are compared as `Decimal`: "18.00", "$18" and "18" are equal, which the string equality of both calls different.
A fraction n/m is never read as n: a statement "#### n/m" is unreadable. Not covered: scientific notation, times, units.
"""

import re
from decimal import Decimal

from pada_graph.tasks.base import Verdict
from pada_graph.tasks.choice import before_run_on

# 1,234 or 1,00,000 or 1234, with decimals; or .5
_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{2,3})*,[0-9]{3}(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+"
# A sign right after a word or bracket is a minus between two numbers. n/m and "1 n/m" are one match, with `fraction`.
_NUMBER = (
    rf"(?<![0-9.])(?P<number>(?:(?<![\w)\]])[-+])?(?:\$ ?[-+]?)?(?:{_DIGITS}))"
    r"(?P<fraction>(?: [0-9]+)?(?: ?/ ?\$?[0-9]+)+)?"
)
_ANYWHERE = re.compile(_NUMBER, re.ASCII)
_HASHES = re.compile(rf"####[\s:]*{_NUMBER}", re.ASCII)
_ANSWER = re.compile(rf"\banswer(?: is ?:?| ?[:=]) ?{_NUMBER}", re.ASCII | re.IGNORECASE)
_BOXED = re.compile(r"\\(?:boxed|fbox) ?\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
_WRAPPER = re.compile(r"\\(?:boxed|fbox|text|mathrm|textbf|mathbf) ?\{([^{}]*)\}")


def read_number(output: str) -> str | None:
    r"""Read the number that an output gives as its answer.

    In this order, in the text before a run-on "Question:": the first "#### N", the last \boxed{N}, the last
    "answer is N", the last number.

    Returns:
        The number without $ and commas, as `Decimal` takes it, or None if none is readable.
    """
    raw = before_run_on(output)
    text = _plain(raw)
    if hashes := _HASHES.search(text):
        return _value(hashes)
    if boxes := _BOXED.findall(raw):
        return _boxed(_plain(boxes[-1]))
    if answers := list(_ANSWER.finditer(text)):
        return _value(answers[-1])
    numbers = [found for found in _ANYWHERE.finditer(text) if not found["fraction"]]
    return _value(numbers[-1]) if numbers else None


def exact_number(text: str) -> str | None:
    """Return a text that is one number and nothing else ("$1,200." is 1200), or None."""
    found = _ANYWHERE.fullmatch(_plain(text).strip().removesuffix("."))
    return _value(found) if found else None


def judge_number(output: str, answer: str) -> Verdict:
    """The verdict on an output whose answer is the number `answer`."""
    number = read_number(output)
    if number is None:
        return Verdict(False, None, "format error: no final number can be read")
    correct = Decimal(number) == Decimal(answer)
    return Verdict(correct, number, "" if correct else f"final answer {number}, but the correct answer is {answer}")


def _plain(text: str) -> str:
    """Take off markdown bold and LaTeX wrapping, so that a number stands bare."""
    text = text.replace("\u2212", "-").replace("**", "").replace("\\$", "$").replace("{,}", ",")
    text = re.sub(r"\\[,!;: ]", "", text)
    return re.sub(r"[^\S\n]+", " ", _WRAPPER.sub(r"\1", text))


def _boxed(content: str) -> str | None:
    numbers = list(_ANYWHERE.finditer(content))
    return _value(numbers[0]) if len(numbers) == 1 and "\\" not in content else None


def _value(found: re.Match[str]) -> str | None:
    return None if found["fraction"] else re.sub(r"[^0-9.-]", "", found["number"])
