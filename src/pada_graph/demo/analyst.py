"""The rule-based analyst: names the kind of a failed problem and the mistake, a cluster's kinds, and a strategy."""

import re
from collections import Counter
from typing import Any

from pada_graph.demo.draw import pick
from pada_graph.demo.problems import recognise
from pada_graph.demo.words import NO_NUMBER, SLIP, WORDS, titles_in

_SHARE = 0.4  # of a cluster: a kind as frequent as this belongs to its pattern


def analyse(samples: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Root cause and scenario of each failure (Figure 2), in words that hold none of its names and numbers."""
    return [{"sample_id": sample["sample_id"], **_analyse(sample)} for sample in samples]


def _analyse(sample: dict[str, Any]) -> dict[str, str]:
    query, response, truth = (str(sample[key]) for key in ("USER_QUERY", "MODEL_RESPONSE", "GROUND_TRUTH"))
    problem = recognise(query)
    if problem is None:
        return {"error_cause": "The response misreads the task.", "scenario_category": "Unfamiliar Task"}
    words = WORDS[problem.kind]
    cause = pick(words.causes, query, response)
    if not re.search("[0-9]", response):
        cause += NO_NUMBER
    elif _operations(response) == _operations(truth):
        cause += SLIP
    return {"error_cause": cause, "scenario_category": pick(words.scenarios, response, query)}


def _operations(answer: str) -> list[str]:
    """The signs between numbers, in order: what was calculated, whatever came out."""
    return re.findall(r"(?<=[0-9]) ?([-+*/]) ?(?=[0-9])", answer.partition("####")[0])


def categorise(analyses: list[dict[str, str]]) -> dict[str, Any]:
    """Name the kinds that make up a cluster (Figure 3)."""
    kinds = [_kind(analysis["scenario_category"]) for analysis in analyses]
    counts = Counter(kind for kind in kinds if kind)
    main = [kind for kind, count in counts.most_common() if count >= _SHARE * len(analyses)]
    typical = [a["sample_id"] for a, kind in zip(analyses, kinds, strict=True) if not main or kind == main[0]]
    return {
        "category_name": " and ".join(WORDS[kind].title for kind in main) or "Unfamiliar Tasks",
        "error_pattern": " ".join(WORDS[kind].causes[0] for kind in main) or "The responses misread the task.",
        "representative_samples": typical[:2],
    }


def _kind(scenario: str) -> str | None:
    return next((kind for kind, words in WORDS.items() if scenario in words.scenarios), None)


def draft_strategies(categories: list[dict[str, str]]) -> list[dict[str, Any]]:
    """One strategy per category (Figure 4), for the kinds that the category's name holds."""
    return [_draft_strategy(category["category_name"]) for category in categories]


def _draft_strategy(category: str) -> dict[str, Any]:
    kinds = titles_in(category)
    approach = " ".join(WORDS[kind].approach for kind in kinds) or "Write problems of the same kind as the example."
    elements = [element for kind in kinds for element in WORDS[kind].elements]
    return {
        "category_name": category,
        "strategy_name": f"Practice of {category}",
        "generation_approach": f"{approach} Keep the numbers small and vary names, things and wording.",
        "key_elements": list(dict.fromkeys([*elements, "a calculation before the final number"])),
    }
