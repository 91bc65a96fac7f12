"""Word-for-word overlap between synthetic text and held-out rows.

The rule of GPT-3's appendix C and lm-evaluation-harness' decontamination: two texts overlap if they share N words in a
row; N follows the rows' length (5th percentile, 8 to 13), shorter rows are compared whole. N-grams that also stand in
D_train are phrases of the task, not leaks.
"""

import unicodedata
from collections.abc import Iterable, Sequence


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


class OverlapIndex:
    """Finds held-out rows that a text repeats."""

    def __init__(self, held_out: dict[str, str], common: Iterable[str]):
        """Index `held_out` (id -> text); n-grams of the `common` texts do not count."""
        words = {id_: normalise(text).split() for id_, text in held_out.items()}
        self.n = _ngram_length([len(w) for w in words.values()])
        known = {gram for text in common for gram in self._grams(normalise(text).split())}
        self._whole = {" ".join(w): id_ for id_, w in words.items()}
        self._index = {gram: id_ for id_, w in words.items() for gram in self._grams(w) if gram not in known}

    def find(self, text: str) -> str | None:
        """Id of a held-out row that `text` repeats, or None."""
        words = normalise(text).split()
        if (whole := self._whole.get(" ".join(words))) is not None:
            return whole
        return next((self._index[gram] for gram in self._grams(words) if gram in self._index), None)

    def find_quoted(self, text: str) -> str | None:
        """As `find`, and rows too short for an n-gram are found inside a longer text too (four words or more)."""
        words = f" {normalise(text)} "
        quoted = (id_ for row, id_ in self._whole.items() if row.count(" ") >= 3 and f" {row} " in words)
        return self.find(text) or next(quoted, None)

    def _grams(self, words: Sequence[str]) -> Iterable[str]:
        return (" ".join(words[i : i + self.n]) for i in range(len(words) - self.n + 1))


def _ngram_length(lengths: list[int]) -> int:
    fifth_percentile = sorted(lengths)[len(lengths) // 20] if lengths else 13
    return min(13, max(8, fifth_percentile))
