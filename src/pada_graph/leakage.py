"""Word-for-word overlap between synthetic text and held-out rows.

The rule of GPT-3's appendix C and lm-evaluation-harness' decontamination: two texts overlap if they share N words in a
row; N follows the rows' length (5th percentile, 8 to 13), shorter rows are compared whole. N-grams that also stand in
D_train are phrases of the task, not leaks.
"""

import re
from collections.abc import Iterable, Sequence

_WORD = re.compile(r"\w+")


def normalise(text: str) -> str:
    """Lower-case words, single spaces, no punctuation: equal for texts that differ in form alone."""
    return " ".join(_WORD.findall(text.casefold()))


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

    def _grams(self, words: Sequence[str]) -> Iterable[str]:
        return (" ".join(words[i : i + self.n]) for i in range(len(words) - self.n + 1))


def _ngram_length(lengths: list[int]) -> int:
    fifth_percentile = sorted(lengths)[len(lengths) // 20] if lengths else 13
    return min(13, max(8, fifth_percentile))
