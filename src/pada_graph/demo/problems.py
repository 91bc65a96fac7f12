"""The demo's word problems: six kinds of short questions with an integer answer, written and read back by rule.

Each kind takes two numbers, in the order in which its question names them, and has one short way to the answer. The
kinds share words on purpose: a student that has seen one of them rarely treats it like a frequent one.
"""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass

NAMES = (
    "Ann",
    "Ben",
    "Dan",
    "Eva",
    "Ian",
    "Jack",
    "Kate",
    "Leo",
    "Max",
    "Mia",
    "Nina",
    "Paul",
    "Rosa",
    "Sam",
    "Tom",
    "Zoe",
)
THINGS = (
    "apples",
    "balls",
    "books",
    "cards",
    "coins",
    "cups",
    "eggs",
    "flowers",
    "hats",
    "keys",
    "maps",
    "pens",
    "plates",
)

_SLOTS = {"who": "[A-Z][a-z]+", "other": "[A-Z][a-z]+", "things": "[a-z]+", "x": "[0-9]+", "y": "[0-9]+"}


@dataclass(frozen=True)
class Kind:
    """One kind of problem on two numbers, x and y."""

    name: str
    phrasings: tuple[str, ...]
    draw: Callable[[random.Random], tuple[int, int]]
    solve: Callable[[int, int], tuple[str, int]]  # the rationale and the answer


@dataclass(frozen=True)
class Problem:
    """A question that was recognised."""

    kind: str
    numbers: tuple[int, int]
    things: str
    rationale: str
    result: int

    @property
    def answer(self) -> str:
        """The right answer, as in the data: the rationale, then "#### n" on a line of its own."""
        return f"{self.rationale}\n#### {self.result}"


def make_problem(kind: str, rng: random.Random) -> dict[str, str]:
    """Write a new problem of one kind: {"question", "answer"}. The same state of `rng` gives the same problem."""
    chosen = KINDS[kind]
    who, other = rng.sample(NAMES, 2)
    x, y = chosen.draw(rng)
    things = rng.choice(THINGS)
    question = rng.choice(chosen.phrasings).format(who=who, other=other, things=things, x=x, y=y)
    rationale, result = chosen.solve(x, y)
    return {"question": question, "answer": f"{rationale}\n#### {result}"}


def recognise(question: str) -> Problem | None:
    """Read a question back: its kind, its numbers and its right answer; None if it is none of these problems."""
    for kind, pattern in _PATTERNS:
        if found := pattern.fullmatch(question.strip()):
            x, y = int(found["x"]), int(found["y"])
            rationale, result = kind.solve(x, y)
            return Problem(kind.name, (x, y), found["things"], rationale, result)
    return None


def _sums(rng: random.Random) -> tuple[int, int]:
    return rng.randint(2, 10), rng.randint(2, 10)


def _differences(rng: random.Random) -> tuple[int, int]:
    smaller = rng.randint(2, 7)
    return smaller + rng.randint(2, 8), smaller


_ALL = (
    Kind(
        "total",
        (
            "{who} has {x} {things} and {other} has {y}. How many {things} do they have together?",
            "{who} found {x} {things} and {other} found {y}. How many {things} did they find?",
            "{who} has {x} {things} and buys {y} more. How many {things} does {who} have then?",
        ),
        _sums,
        lambda x, y: (f"{x} + {y} = {x + y}", x + y),
    ),
    Kind(
        "left",
        (
            "{who} had {x} {things} and gave {y} to {other}. How many {things} are left?",
            "{who} had {x} {things} and lost {y}. How many {things} are left?",
            "There were {x} {things} and {who} took {y}. How many {things} are left?",
        ),
        _differences,
        lambda x, y: (f"{x} - {y} = {x - y}", x - y),
    ),
    Kind(
        "before",
        (
            "{who} gave {x} {things} to {other} and has {y} left. How many {things} were there before?",
            "{who} lost {x} {things} and has {y} left. How many {things} were there before?",
            "{who} took {x} {things} and {y} are left. How many {things} were there before?",
        ),
        _sums,
        lambda x, y: (f"{x} + {y} = {x + y}", x + y),
    ),
    Kind(
        "fewer",
        (
            "{who} has {x} {things}, {y} more than {other}. How many {things} does {other} have?",
            "{who} found {x} {things}, {y} more than {other}. How many {things} did {other} find?",
            "{who} buys {x} {things}, {y} more than {other}. How many {things} does {other} buy?",
        ),
        _differences,
        lambda x, y: (f"{x} - {y} = {x - y}", x - y),
    ),
    Kind(
        "double",
        (
            "{who} doubles {x} {things} and gives {y} to {other}. How many {things} are left?",
            "{who} doubles {x} {things} and loses {y}. How many {things} are left?",
            "{who} has {x} {things}, doubles them and sells {y}. How many {things} are left?",
        ),
        lambda rng: (rng.randint(3, 9), rng.randint(2, 5)),
        lambda x, y: (f"{x} + {x} = {2 * x}, {2 * x} - {y} = {2 * x - y}", 2 * x - y),
    ),
    Kind(
        "both",
        (
            "{who} has {x} {things}, {other} has {y} more than {who}. How many {things} do both have?",
            "{who} found {x} {things}, {other} found {y} more than {who}. How many {things} did both find?",
            "{who} buys {x} {things}, {other} buys {y} more than {who}. How many {things} do both buy?",
        ),
        lambda rng: (rng.randint(2, 9), rng.randint(2, 6)),
        lambda x, y: (f"{x} + {y} = {x + y}, {x} + {x + y} = {2 * x + y}", 2 * x + y),
    ),
)
KINDS = {kind.name: kind for kind in _ALL}


def _pattern(phrasing: str) -> re.Pattern[str]:
    """The phrasing as a pattern: a slot's first mention captures, a later one must repeat it."""
    parts: list[str] = []
    seen: list[str] = []
    for part in re.split(r"(\{[a-z]+\})", phrasing):
        slot = part.strip("{}")
        if not part.startswith("{"):
            parts.append(re.escape(part))
        elif slot in seen:
            parts.append(f"(?P={slot})")
        else:
            seen.append(slot)
            parts.append(f"(?P<{slot}>{_SLOTS[slot]})")
    return re.compile("".join(parts))


_PATTERNS = tuple((kind, _pattern(phrasing)) for kind in _ALL for phrasing in kind.phrasings)
