"""Chance that depends on text alone: the same in every process and on every machine."""

import hashlib
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


def generator(*texts: str) -> random.Random:
    """A random generator seeded by texts."""
    return random.Random(hashlib.sha256("\x00".join(texts).encode()).hexdigest())


def pick(choices: Sequence[T], *texts: str) -> T:
    """One of the choices, settled by texts."""
    return generator(*texts).choice(choices)
