"""One model on one split: accuracy, its interval, and what makes an accuracy suspicious."""

from collections import Counter
from collections.abc import Iterable, Sequence

from typing_extensions import TypedDict

from pada_graph.state import Prediction, Score

LEVEL = 0.95
DEPENDENT = (
    "The interval takes answers as independent; those to items of one group (SQuAD: on one article) are not, so it is "
    "too narrow here."
)


class Described(TypedDict):
    """What stands beside a Score. Shares are fractions, not percentages."""

    chance: float | None  # accuracy of guessing; None: guessing is hopeless
    above_chance: float | None  # (accuracy - chance) / (1 - chance): 0 is guessing, 1 is all right
    answers: dict[str, int]  # answer letter -> outputs that give it; empty where answers are no letters
    majority_share: float | None  # of the commonest letter among all outputs: near 1 in a collapsed model
    measures: dict[str, float]  # see `measures`
    grouped: bool  # some items share a group (SQuAD: an article): `DEPENDENT` holds


def score(predictions: Sequence[Prediction]) -> Score:
    """Accuracy with its Wilson 95 % interval; without predictions accuracy is 0 and the interval is all of 0 to 1.

    It takes the items as independent, and is too narrow where they come in groups (`DEPENDENT`).
    Wilson's interval keeps its level for small n and near 0 and 1, where the normal one fails (Brown, Cai and
    DasGupta, "Interval Estimation for a Binomial Proportion", 2001). SciPy's is exactly 0 and 1 at the ends.
    """
    from scipy.stats import binomtest

    n = len(predictions)
    correct = sum(prediction["correct"] for prediction in predictions)
    low, high = binomtest(correct, n).proportion_ci(LEVEL, method="wilson") if n else (0.0, 1.0)
    return {
        "n": n,
        "correct": correct,
        "accuracy": correct / n if n else 0.0,
        "low": float(low),
        "high": float(high),
        "unparsed": sum(prediction["parsed"] is None for prediction in predictions),
        "truncated": sum(prediction["truncated"] for prediction in predictions),
    }


def measures(predictions: Sequence[Prediction]) -> dict[str, float]:
    """Means of the task's further measures over all outputs: one without the measure (nothing readable) counts 0."""
    n = len(predictions)
    names = dict.fromkeys(name for prediction in predictions for name in prediction["measures"])
    return {name: sum(prediction["measures"].get(name, 0.0) for prediction in predictions) / n for name in names}


def describe(predictions: Sequence[Prediction], chance: float | None) -> Described:
    """What accuracy alone hides: chance level, answer letters, further measures.

    Args:
        predictions: Of one model on one split; at least one.
        chance: Task.chance.
    """
    n = len(predictions)
    accuracy = sum(prediction["correct"] for prediction in predictions) / n
    parsed = Counter(prediction["parsed"] for prediction in predictions if prediction["parsed"] is not None)
    letters = parsed if all(len(answer) == 1 and "A" <= answer <= "Z" for answer in parsed) else Counter[str]()
    return {
        "chance": chance,
        "above_chance": None if chance is None else (accuracy - chance) / (1 - chance),
        "answers": dict(sorted(letters.items())),
        "majority_share": max(letters.values()) / n if letters else None,
        "measures": measures(predictions),
        "grouped": share_groups(prediction["group"] for prediction in predictions),
    }


def share_groups(groups: Iterable[str | None]) -> bool:
    """Whether some of the items share a group, so that `DEPENDENT` holds; None is an item of no group."""
    named = [group for group in groups if group is not None]
    return len(set(named)) < len(named)
