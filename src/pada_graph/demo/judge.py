"""The rule-based judge: recomputes every synthetic sample and says what is wrong with it."""

from collections.abc import Mapping
from typing import Any

from pada_graph.demo.problems import recognise
from pada_graph.demo.words import WORDS, titles_in

GOOD = 9


def rate(pairs: list[Mapping[str, Any]], strategies: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rate each original-synthetic pair (Figure 7); adherence only where there is a strategy to adhere to."""
    wanted = titles_in(" ".join(str(value) for strategy in strategies for value in strategy.values()))
    ratings = []
    for pair in pairs:
        ratings.append({"sample_id": pair["sample_id"], **_rate(pair["original"], pair["synthetic"], wanted)})
        if not strategies:
            del ratings[-1]["adherence"]
    return ratings


def _rate(original: Mapping[str, Any], synthetic: Mapping[str, Any], wanted: list[str]) -> dict[str, Any]:
    source, problem = recognise(str(original["question"])), recognise(str(synthetic["question"]))
    if problem is None:
        return _rating(2, 2, 2, "The question is not a clear problem of the wanted form; state both numbers plainly.")
    kinds = wanted or ([source.kind] if source else [problem.kind])
    if source and (problem.kind, problem.numbers, problem.things) == (source.kind, source.numbers, source.things):
        return _rating(3, 3, 3, "It copies the original with other names; write a new problem with other numbers.")
    if problem.kind not in kinds:
        titles = " or ".join(WORDS[kind].title for kind in kinds)
        return _rating(2, 4, 5, f"It is another kind of problem than {titles}; follow the wanted kind.")
    rationale, _, result = str(synthetic["answer"]).rpartition("#### ")
    if result.strip() != str(problem.result):
        return _rating(4, 1, 3, "The answer is wrong; calculate it again and check the result.")
    if rationale.strip() != problem.rationale:
        return _rating(4, 3, 3, "The calculation before the final number is missing or wrong; show each step.")
    return _rating(GOOD, GOOD, GOOD, "Right answer, clear calculation, a new problem of the wanted kind.")


def _rating(adherence: int, utility: int, relevance: int, feedback: str) -> dict[str, Any]:
    return {"adherence": adherence, "utility": utility, "relevance": relevance, "feedback": feedback}
