"""The rule-based generator: new problems of the wanted kind, and on purpose some bad batches."""

import random
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

from pada_graph.demo import draw
from pada_graph.demo.problems import KINDS, NAMES, make_problem, recognise
from pada_graph.demo.words import titles_in

CARELESS_BATCHES = 0.4  # share of the first attempts that a careless generator spoils
CARELESS_SAMPLES = 0.6  # share of the samples in such a batch, at least

_OPENINGS = (
    "Read this carefully and calculate.",
    "Here is something to work out.",
    "Can you solve the following?",
    "Think about this small story.",
    "Please find the right number.",
    "Now try this short problem.",
)

Pair = tuple[str, Mapping[str, Any]]


def write(
    pairs: Sequence[Pair], strategy: Mapping[str, Any] | None, *, seed: str, careful: bool
) -> list[dict[str, str]]:
    """Write one sample for each (example id, example).

    Args:
        pairs: the train rows to start from, one for each sample, with the ids the prompt gives them.
        strategy: names the kinds to write; None, or one that names no kind: the example's own.
        seed: settles every choice.
        careful: make no mistakes, as after feedback. Otherwise some whole batches come out flawed: wrong results,
            answers without a calculation, examples with no more than the names changed.
    """
    kinds = titles_in(" ".join(str(value) for value in strategy.values())) if strategy else []
    spoiled = set() if careful else _spoiled([id_ for id_, _ in pairs], seed)
    samples = []
    for number, (id_, example) in enumerate(pairs):
        rng = draw.generator(seed, id_)
        known = recognise(str(example["question"]))
        own = [known.kind] if known else list(KINDS)
        kind = kinds[number % len(kinds)] if kinds else rng.choice(own)
        sample = make_problem(kind, rng)
        if id_ in spoiled:
            sample = _spoil(sample, example, rng)
        samples.append({"based_on_example": id_, **sample})
    return samples


def reword(question: str, ids: list[str], *, seed: str) -> dict[str, str]:
    """One rewording of a problem for each id: other people, and another opening."""
    return {
        id_: f"{opening} {_renamed(question, draw.generator(seed, id_))}"
        for id_, opening in zip(ids, cycle(_OPENINGS), strict=False)
    }


def _spoiled(ids: list[str], seed: str) -> set[str]:
    rng = draw.generator(seed, "careless")
    if rng.random() >= CARELESS_BATCHES:
        return set()
    return set(rng.sample(ids, -int(-CARELESS_SAMPLES * len(ids) // 1)))


def _spoil(sample: dict[str, str], example: Mapping[str, Any], rng: random.Random) -> dict[str, str]:
    flaw = rng.choice(("result", "rationale", "copy"))
    rationale, _, result = sample["answer"].partition("\n#### ")
    if flaw == "rationale":
        return {**sample, "answer": f"#### {result}"}
    if flaw == "copy":
        return {"question": _renamed(str(example["question"]), rng), "answer": str(example["answer"])}
    wrong = str(int(result) + rng.choice((-1, 1, 2)))
    return {**sample, "answer": f"{rationale.rpartition(' ')[0]} {wrong}\n#### {wrong}"}


def _renamed(question: str, rng: random.Random) -> str:
    """The same question about other people."""
    present = [name for name in NAMES if name in question]
    others = rng.sample([name for name in NAMES if name not in present], len(present))
    for old, new in zip(present, others, strict=True):
        question = question.replace(old, new)
    return question
