"""Two models on the same items, compared item by item (Miller, "Adding Error Bars to Evals", arXiv 2411.00640).

What is not covered: the noise of training. An interval over test items holds none of it; see seeds.py.
"""

from collections.abc import Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

from typing_extensions import TypedDict

from pada_graph.state import Prediction
from pada_graph.stats.accuracy import LEVEL
from pada_graph.stats.bootstrap import bootstrap_means, group_totals, percentile_interval

if TYPE_CHECKING:
    import numpy as np

POWER = 0.8
DISCORDANT = 0.2  # assumed share of items on which two models differ

Verdict = Literal["better", "worse", "no detectable difference"]


class Paired(TypedDict):
    """Two models on the same items. Accuracies and differences are fractions, not percentages."""

    n: int
    fixed: int  # b: wrong before, right after
    broken: int  # c: right before, wrong after
    difference: float  # accuracy after minus accuracy before
    error: float  # its standard error; without groups sqrt((b + c) - (b - c)^2 / n) / n
    low: float  # paired bootstrap percentile interval, 95 %, whole groups drawn
    high: float
    p_value: float  # exact McNemar test, two-sided
    groups: int | None  # groups of dependent items (SQuAD: articles); None: items are independent
    group_p_value: float | None  # the same test on groups: both models are swapped in a whole group
    verdict: Verdict


def paired(before: Sequence[Prediction], after: Sequence[Prediction]) -> Paired:
    """Compare two models on the same items, matched by id in any order; at least one item.

    "better" and "worse" need both: an interval without 0 and p < 0.05. The interval alone claims too much where few
    items differ (4 fixed and 0 broken of 32: above 0, but a fair coin does that in 1 of 8 cases, p = 0.125) and where
    groups are few; McNemar's test alone takes the answers on one article for independent. The p-value that counts is
    McNemar's, or with groups that of the sign-flip test on group sums, which is McNemar's test where every group is
    one item and is exact for any number of groups.

    Raises:
        ValueError: the ids differ, or one occurs twice.
    """
    import numpy as np
    from statsmodels.stats.contingency_tables import mcnemar

    first, second = _by_id(before), _by_id(after)
    if different := first.keys() ^ second.keys():
        raise ValueError(f"the predictions are of different items: {len(different)} ids, e.g. {min(different)!r}")
    n = len(first)
    differences = np.array([float(second[item]["correct"]) - first[item]["correct"] for item in first])
    fixed, broken = int((differences > 0).sum()), int((differences < 0).sum())
    grouped = any(prediction["group"] is not None for prediction in before)
    totals = group_totals(differences[None, :], group_names(before))
    difference = (fixed - broken) / n
    low, high = percentile_interval(bootstrap_means(totals)[:, 0], LEVEL)
    p_value = float(mcnemar([[0, fixed], [broken, 0]], exact=True).pvalue)
    group_p_value = _sign_flip(totals[0]) if grouped else None
    return {
        "n": n,
        "fixed": fixed,
        "broken": broken,
        "difference": difference,
        "error": float(np.sqrt(((totals[0] - difference * totals[1]) ** 2).sum())) / n,
        "low": low,
        "high": high,
        "p_value": p_value,
        "groups": totals.shape[1] if grouped else None,
        "group_p_value": group_p_value,
        "verdict": verdict(low, high, p_value if group_p_value is None else group_p_value),
    }


def verdict(low: float, high: float, p_value: float) -> Verdict:
    """What may be said of a difference, from its 95 % interval and its p-value."""
    if low <= 0 <= high or p_value >= 1 - LEVEL:
        return "no detectable difference"
    return "better" if low > 0 else "worse"


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjustment of the p-values of several comparisons, in their order; none may be given."""
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(p_values, method="holm")[1]] if p_values else []


def detectable_gain(n: int, discordant: float = DISCORDANT) -> float:
    """Smallest true difference in accuracy that n independent paired items show with 80 % power, as a fraction.

    Normal approximation of McNemar's test at 5 %, two-sided (power analysis of arXiv 2411.00640): (z + z') sqrt(d / n).
    Dependent items (SQuAD's articles) show less than that.

    Args:
        n: Items.
        discordant: d, the share of items on which the two models differ.

    Raises:
        ValueError: n is not positive.
    """
    if n < 1:
        raise ValueError(f"n is {n}; it must be at least 1")
    quantile = NormalDist().inv_cdf
    return min(1.0, (quantile((1 + LEVEL) / 2) + quantile(POWER)) * float((discordant / n) ** 0.5))


def detectable_words(n: int, grouped: bool = False) -> str:
    """What a test of n items can show, to be read before a run and beside its result.

    Args:
        n: Items.
        grouped: Some of them share a group.
    """
    dependent = " Items of one group depend on each other, so that larger gains may go undetected too."
    return (
        f"With {n} test items a true gain below about {100 * detectable_gain(n):.1f} points usually goes undetected "
        f"({POWER:.0%} power, two models that differ on {DISCORDANT:.0%} of the items).{dependent * grouped}"
    )


def group_names(predictions: Sequence[Prediction]) -> list[str]:
    """The group of each prediction; an item that names none is its own."""
    return [prediction["group"] or prediction["id"] for prediction in predictions]


def _sign_flip(sums: "np.ndarray") -> float:
    """Chance that the sum is as far from 0 as it is if each group's sign is a fair coin; exact, two-sided."""
    import numpy as np

    chances = np.ones(1)  # of the sums -reach, ..., reach
    for size in np.abs(sums).astype(int):
        coin = np.zeros(2 * size + 1)
        coin[0] += 0.5
        coin[-1] += 0.5
        chances = np.convolve(chances, coin)
    reach = len(chances) // 2
    return min(1.0, float(chances[np.abs(np.arange(-reach, reach + 1)) >= abs(sums.sum())].sum()))


def _by_id(predictions: Sequence[Prediction]) -> dict[str, Prediction]:
    by_id = {prediction["id"]: prediction for prediction in predictions}
    if len(by_id) < len(predictions):
        raise ValueError(f"{len(predictions) - len(by_id)} predictions have an id that occurs twice")
    return by_id
