"""The leakage guard: finds held-out rows in what a teacher wrote, repeated or rephrased.

Two rules, and a text that meets either is dropped. "ngram": it shares N words in a row with a held-out row, the rule of
GPT-3's appendix C and lm-evaluation-harness' decontamination; N follows the rows' length (5th percentile, 8 to 12),
shorter rows are compared whole, and n-grams that also stand in D_train are phrases of the task. "embedding": its
sentence embedding is close to a held-out row's, which finds the rephrased copies that n-grams miss (Yang et al., 2023;
arXiv 2311.04850).

Both ask whether the numbers agree: a word problem with other numbers has another answer and is a new row, however alike
the words are. Not found: a copy that changes the numbers, and texts in another language than the embedder's.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from pada_graph.clustering import require_finite
from pada_graph.near_duplicates import normalise, numbers

if TYPE_CHECKING:
    import numpy as np

COSINE = 0.85  # from here on an embedding is a rephrased copy's; benchmarks/leakage_guard.py has the sweep
SHORTEST, LONGEST = 8, 12  # words in a row that count as a quotation
Embed = Callable[[Sequence[str]], "np.ndarray"]


@dataclass(frozen=True)
class Hit:
    """A held-out row that a text gives away. For the books only: neither it nor its row may reach a generator."""

    kind: Literal["ngram", "embedding"]
    id: str  # of the held-out row
    similarity: float  # cosine; 1 for words shared in a row


class LeakageGuard:
    """Compares texts with all validation and test questions."""

    def __init__(self, held_out: Mapping[str, str], common: Iterable[str], embed: Embed):
        """Index `held_out` (id -> question); n-grams of the `common` texts do not count.

        Args:
            held_out: the questions of validation and test.
            common: the questions of D_train.
            embed: returns unit vectors, shape (texts, dimension). Called once here, and at most once for each `check`.

        Raises:
            InputError: a vector is not finite.
        """
        self.words = OverlapIndex(held_out, common)
        alike: dict[tuple[str, ...], list[str]] = {}  # rows, by their numbers
        for id_, values in self.words.numbers.items():
            alike.setdefault(values, []).append(id_)
        self._ids = [id_ for ids in alike.values() for id_ in ids]
        ends = accumulate(map(len, alike.values()))
        self._rows = {values: slice(end - len(alike[values]), end) for values, end in zip(alike, ends, strict=True)}
        self._embed = embed
        self._vectors = require_finite(embed([held_out[id_] for id_ in self._ids]))

    def check(self, questions: Sequence[str]) -> list[Hit | None]:
        """Find the held-out row that each question repeats or rephrases, if any."""
        hits = [self._repeated(question) for question in questions]
        return [hit or near for hit, near in zip(hits, self._rephrased(questions), strict=True)]

    def check_prose(self, text: str) -> Hit | None:
        """Find a held-out question inside a longer text: quoted, or rephrased by one to four of its sentences."""
        if (id_ := self.words.find_quoted(text)) is not None:
            return Hit("ngram", id_, 1.0)
        return next(filter(None, self._rephrased(list(_passages(text)))), None)

    def _repeated(self, question: str) -> Hit | None:
        id_ = self.words.find(question)
        return None if id_ is None else Hit("ngram", id_, 1.0)

    def _rephrased(self, texts: Sequence[str]) -> list[Hit | None]:
        """For each text, the closest held-out row whose numbers agree, if it is close enough."""
        import numpy as np

        hits: list[Hit | None] = [None] * len(texts)
        rivals = list(self._rivals(texts))
        asked = sorted({place for places, _ in rivals for place in places})
        if not asked:
            return hits
        vectors = np.zeros((len(texts), self._vectors.shape[1]), dtype=self._vectors.dtype)
        vectors[asked] = require_finite(self._embed([texts[place] for place in asked]))
        closest = np.full(len(texts), -1.0)
        for places, rows in rivals:
            cosines = vectors[places] @ self._vectors[rows].T
            for place, best, cosine in zip(places, cosines.argmax(axis=1), cosines.max(axis=1), strict=True):
                if cosine >= COSINE and cosine > closest[place]:
                    closest[place] = cosine
                    hits[place] = Hit("embedding", self._ids[rows.start + int(best)], round(float(cosine), 3))
        return hits

    def _rivals(self, texts: Sequence[str]) -> Iterator[tuple[list[int], slice]]:
        """Places of texts, and rows that each of them may rephrase: with its numbers, or with none.

        A number that a copy adds to a row without one changes nothing.
        """
        alike: dict[tuple[str, ...], list[int]] = {}
        for place, text in enumerate(texts):
            alike.setdefault(numbers(text), []).append(place)
        yield from ((places, self._rows[values]) for values, places in alike.items() if values and values in self._rows)
        if () in self._rows:
            yield list(range(len(texts))), self._rows[()]


class OverlapIndex:
    """Finds held-out rows that a text repeats word for word."""

    def __init__(self, held_out: Mapping[str, str], common: Iterable[str], n: int | None = None):
        """Index `held_out` (id -> text); n-grams of the `common` texts do not count. `n` None: by the texts' length."""
        words = {id_: normalise(text).split() for id_, text in held_out.items()}
        self.n = n or _ngram_length([len(w) for w in words.values()])
        known = {gram for text in common for gram in self._grams(normalise(text).split())}
        self.numbers = {id_: numbers(text) for id_, text in held_out.items()}
        self._whole = {" ".join(w): id_ for id_, w in words.items()}
        self._index: dict[str, list[str]] = {}
        for id_, w in words.items():
            for gram in self._grams(w):
                if gram not in known:
                    self._index.setdefault(gram, []).append(id_)

    def find(self, text: str) -> str | None:
        """Id of a held-out row that `text` repeats, or None.

        Words in a row count if figures are among them, or if the numbers of one text are among the other's.
        """
        own = set(numbers(text))
        for gram, id_ in self._shared(text):
            other = set(self.numbers[id_])
            if re.search(r"\d", gram) or own <= other or other <= own:
                return id_
        return None

    def find_quoted(self, text: str) -> str | None:
        """As `find` for prose: whatever its numbers, and rows too short for an n-gram are found inside it (4 words)."""
        words = f" {normalise(text)} "
        quoted = (id_ for row, id_ in self._whole.items() if row.count(" ") >= 3 and f" {row} " in words)
        return next((id_ for _, id_ in self._shared(text)), None) or next(quoted, None)

    def find_run(self, text: str) -> str | None:
        """Id of a held-out row with which `text` shares N words in a row, whatever its numbers, or None."""
        grams = self._grams(normalise(text).split())
        return next((self._index[gram][0] for gram in grams if gram in self._index), None)

    def _shared(self, text: str) -> Iterator[tuple[str, str]]:
        """What `text` shares with held-out rows: the whole row, or N words in a row, and the row's id."""
        words = normalise(text).split()
        if (id_ := self._whole.get(" ".join(words))) is not None:
            yield " ".join(words), id_
        for gram in self._grams(words):
            yield from ((gram, id_) for id_ in self._index.get(gram, ()))

    def _grams(self, words: Sequence[str]) -> Iterable[str]:
        return (" ".join(words[i : i + self.n]) for i in range(len(words) - self.n + 1))


def _ngram_length(lengths: list[int]) -> int:
    fifth_percentile = sorted(lengths)[len(lengths) // 20] if lengths else LONGEST
    return min(LONGEST, max(SHORTEST, fifth_percentile))


def _passages(text: str) -> Iterator[str]:
    """Every run of one to four sentences of a line that has at least four words."""
    for line in text.splitlines():
        sentences = re.split(r"(?<=[.!?:;])\s+", line)
        for start in range(len(sentences)):
            for end in range(start + 1, min(start + 4, len(sentences)) + 1):
                passage = " ".join(sentences[start:end])
                if len(passage.split()) >= 4:
                    yield passage
