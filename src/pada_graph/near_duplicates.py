"""Whether two questions are the same but for a few words; fast enough for ten thousand of them.

Two texts are near-duplicates if their numbers are equal and their words agree in order to 90 %: twice the longest
common subsequence over the sum of the lengths, rapidfuzz' Indel similarity on words. In ARC, GSM8K, HellaSwag and
SQuAD this finds what a reader calls the same question and no two that merely share a form; docs/evaluation.md has the
counts.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from rapidfuzz.distance import Indel

SIMILARITY = 0.9  # from here on two texts are near-duplicates


def normalise(text: str) -> str:
    """The text in small letters, with single spaces for whitespace and punctuation, except what calculates (- * / %).

    Accents and vowel signs count, so that this holds for any script.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(folded.translate(_BLANKS).split()) or text


class _Blanks(dict[int, int]):
    """Translation table: punctuation, separators and control characters become blanks."""

    def __missing__(self, code: int) -> int:
        blank = unicodedata.category(chr(code))[0] in "PZC" and chr(code) not in "-*/%"
        self[code] = ord(" ") if blank else code
        return self[code]


_BLANKS = _Blanks()

_UNITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_ORDINALS = ["second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]
_VALUES = {
    **{word: value for value, word in enumerate([*_UNITS, *_TEENS])},
    **{word: value for value, word in enumerate(_ORDINALS, start=2)},
    **{word: 10 * value for value, word in enumerate(_TENS, start=2)},
}
_TENS_AND_UNIT = re.compile(rf"\b({'|'.join(_TENS)})[- ]({'|'.join(_UNITS[1:])})\b")
_NUMBER = re.compile(rf"\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?|\d+(?:\.\d+)?|\b(?:{'|'.join(_VALUES)})\b")


def numbers(text: str) -> tuple[str, ...]:
    """The numbers that a text names, each once, sorted: digits, English words and ordinals up to 99; without 1 and 0.

    "One" and "first" are as often a pronoun and an adverb. Larger numbers in words are read in parts ("two hundred" is
    2), in every text alike.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    folded = _TENS_AND_UNIT.sub(lambda found: str(_VALUES[found[1]] + _VALUES[found[2]]), folded)
    return tuple(sorted(set(map(_plain, _NUMBER.findall(folded))) - {"", "1"}))


@lru_cache(10_000)
def _plain(number: str) -> str:
    if number in _VALUES:
        return str(_VALUES[number] or "")
    whole, point, fraction = number.replace(",", "").partition(".")
    return f"{whole.lstrip('0')}{point}{fraction}".rstrip("0").rstrip(".") if point else whole.lstrip("0")


class Template:
    """What most rows of a data set say alike, an instruction or worked examples: it makes no row this row."""

    def __init__(self, texts: Iterable[str]):
        """Learn it from the rows' `texts`: runs of `_TEMPLATE_RUN` words that more than half of them share."""
        rows = [text.split() for text in texts]
        counts = Counter(run for words in rows for run in set(_runs(words)))
        self._shared = {run for run, count in counts.items() if count > max(2, len(rows) / 2)}

    def without(self, text: str) -> str:
        """The text's own words; the whole text where it has none."""
        words = text.split()
        shared = [False] * len(words)
        for start, run in enumerate(_runs(words) if self._shared else ()):
            if run in self._shared:
                shared[start : start + _TEMPLATE_RUN] = [True] * _TEMPLATE_RUN
        return " ".join(word for word, same in zip(words, shared, strict=True) if not same) or text


_TEMPLATE_RUN = 8  # words


def _runs(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return (tuple(words[i : i + _TEMPLATE_RUN]) for i in range(len(words) - _TEMPLATE_RUN + 1))


@dataclass(frozen=True)
class Match:
    """A text known before that another one repeats."""

    id: str
    similarity: float  # 1 = the same words


_Words = list[str]
_Trigram = tuple[str, ...]


@lru_cache(maxsize=8)  # a text is looked up in several indexes before the next one comes
def _parts(text: str) -> tuple[str, _Words, tuple[str, ...], list[_Trigram]]:
    """The normalised text, its words, its numbers, and its word trigrams, each once."""
    whole = normalise(text)
    words = whole.split()
    return whole, words, numbers(text), list(dict.fromkeys(zip(words, words[1:], words[2:], strict=False)))


class NearDuplicates:
    """Finds near-duplicates of texts that were added before.

    Texts with other numbers never match, so rows are kept apart by their numbers. Within them, a text shares word
    trigrams with its near-duplicates: all but `_lost(length)` of its own at least. One more than that are looked up,
    the rarest first, so that none is overlooked (the prefix filter of set-similarity joins, Chaudhuri et al., 2006).
    """

    def __init__(self, texts: Iterable[tuple[str, str]] = ()):
        """Add `texts`, pairs of id and text."""
        self._rows: list[tuple[str, _Words]] = []
        self._whole: dict[str, str] = {}
        self._grams: dict[tuple[str, ...], dict[_Trigram, list[int]]] = {}
        for id_, text in texts:
            self.add(id_, text)

    def add(self, id_: str, text: str) -> None:
        """Know one more text."""
        whole, words, values, trigrams = _parts(text)
        self._whole.setdefault(whole, id_)
        grams = self._grams.setdefault(values, {})
        for gram in trigrams:
            grams.setdefault(gram, []).append(len(self._rows))
        self._rows.append((id_, words))

    def find(self, text: str) -> Match | None:
        """A text added before that this one repeats, the same words first; None if there is none."""
        whole, words, values, trigrams = _parts(text)
        if (id_ := self._whole.get(whole)) is not None:
            return Match(id_, 1.0)
        postings = self._grams.get(values, {})
        rarest = sorted((postings.get(gram, []) for gram in trigrams), key=len)
        tried: set[int] = set()
        for rows in rarest[: _lost(len(words)) + 1]:
            for row in rows:
                if row in tried:
                    continue
                tried.add(row)
                known_id, known = self._rows[row]
                similarity = Indel.normalized_similarity(words, known, score_cutoff=SIMILARITY)
                if similarity >= SIMILARITY:
                    return Match(known_id, round(similarity, 3))
        return None


def _lost(length: int) -> int:
    """How many of its trigrams a text may lack in a near-duplicate.

    A word that only this text has costs three trigrams, one that only the other has costs two. From 2c >= S (a + b)
    for a and b words, c of them common, follows that c is at least a S / (2 - S); the worst case lacks a - c words.
    """
    return int(3 * length * (1 - SIMILARITY / (2 - SIMILARITY)) + 1e-9)
