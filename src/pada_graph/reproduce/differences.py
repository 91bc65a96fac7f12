"""Accuracies and differences of cells, over one seed or several: what each interval and p-value holds.

One seed: the noise of the test items alone. Two seeds: the same, for the mean over these two; nothing can be said of
other seeds. Three or more: other seeds too. docs/evaluation.md gives the reasons.
"""

import math
from collections.abc import Sequence

from typing_extensions import TypedDict

from pada_graph.state import Prediction
from pada_graph.stats import OverSeeds, over_seeds, paired, score
from pada_graph.stats.accuracy import LEVEL
from pada_graph.stats.bootstrap import bootstrap_means, group_totals, percentile_interval
from pada_graph.stats.pairs import group_names
from pada_graph.stats.seeds import FEWEST

Answers = Sequence[Prediction]  # of one model, with one seed, on the test split


class Mean(TypedDict):
    """Accuracy, mean over seeds, with its 95 % interval; fractions."""

    per_seed: list[float]
    accuracy: float
    low: float
    high: float


class Tested(TypedDict):
    """A difference in accuracy, mean over seeds, with its 95 % interval and p-value; fractions."""

    fixed: int  # items that are wrong before and right after, over all seeds
    broken: int
    difference: float
    low: float
    high: float
    p_value: float


def mean_accuracy(seeds: Sequence[Answers]) -> Mean:
    """Accuracy over the seeds, which answered the same items.

    The interval is Wilson's for that mean and that many items. With two seeds it is widened to the ends of a bootstrap
    of the items, with three or more to those of `over_seeds`' two intervals; all are cut off at 0 and 1. Alone these
    would have no width where every answer is right, or wrong.
    """
    from statsmodels.stats.proportion import proportion_confint

    first = score(seeds[0])
    if len(seeds) == 1:
        accuracy = first["accuracy"]
        return {"per_seed": [accuracy], "accuracy": accuracy, "low": first["low"], "high": first["high"]}
    means = [score(answers)["accuracy"] for answers in seeds]
    accuracy = sum(means) / len(means)
    low, high = map(float, proportion_confint(accuracy * first["n"], first["n"], 1 - LEVEL, method="wilson"))
    values = [[float(answer["correct"]) for answer in _ordered(answers)] for answers in seeds]
    ends = _interval(values, group_names(_ordered(seeds[0])))
    low, high = max(0.0, min(low, ends[0])), min(1.0, max(high, ends[1]))
    return {"per_seed": means, "accuracy": accuracy, "low": low, "high": high}


def compare_seeds(before: Sequence[Answers], after: Sequence[Answers]) -> Tested:
    """Compare two models seed by seed on the same items, as `paired` does for one seed.

    With several seeds an item's answers belong together: both models are swapped in a whole item (or SQuAD article)
    with all its seeds. With three or more, the p-value is the larger one of that and of Student's t test of the seeds'
    differences, and the interval has the wider ends of `over_seeds`' two: a claim needs both.

    Raises:
        ValueError: the items differ.
    """
    found = paired(before[0], after[0]) if len(before) == 1 else paired(_pooled(before), _pooled(after))
    p_value = found["p_value"] if found["group_p_value"] is None else found["group_p_value"]
    low, high = found["low"], found["high"]
    if len(before) >= FEWEST:
        changes = [
            [float(b["correct"]) - a["correct"] for a, b in zip(_ordered(one), _ordered(two), strict=True)]
            for one, two in zip(before, after, strict=True)
        ]
        low, high = _interval(changes, group_names(_ordered(before[0])))
        p_value = max(p_value, _t_test([sum(change) / len(change) for change in changes]))
    return {
        "fixed": found["fixed"],
        "broken": found["broken"],
        "difference": found["difference"],
        "low": low,
        "high": high,
        "p_value": p_value,
    }


def _ordered(answers: Answers) -> list[Prediction]:
    return sorted(answers, key=lambda answer: answer["id"])


def _pooled(seeds: Sequence[Answers]) -> list[Prediction]:
    """The answers of all seeds; those to one item, or to one group of items, are a group."""
    return [
        {**answer, "id": f"{seed}/{answer['id']}", "group": answer["group"] or answer["id"]}
        for seed, answers in enumerate(seeds)
        for answer in answers
    ]


def _interval(values: Sequence[Sequence[float]], groups: Sequence[str]) -> tuple[float, float]:
    import numpy as np

    if len(values) < FEWEST:
        over_items = np.array(values).mean(axis=0, keepdims=True)
        return percentile_interval(bootstrap_means(group_totals(over_items, groups))[:, 0], LEVEL)
    found: OverSeeds = over_seeds(values, groups)
    assert found["t_interval"] and found["interval"]
    return min(found["t_interval"][0], found["interval"][0]), max(found["t_interval"][1], found["interval"][1])


def _t_test(means: Sequence[float]) -> float:
    """Two-sided p-value of the hypothesis that the mean is 0; 1 where all are 0, 0 where all are equal and not 0."""
    from scipy.stats import ttest_1samp

    if max(means) == min(means):
        return float(means[0] == 0)
    p_value = float(ttest_1samp(means, 0.0).pvalue)
    assert math.isfinite(p_value)
    return p_value
