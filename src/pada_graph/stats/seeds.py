"""One training under several seeds: the noise of training, which no interval over test items holds.

Seeds change both the mean and single items noticeably ("Assessing the Macro and Micro Effects of Random Seeds on
Fine-Tuning Large Language Models", arXiv 2503.07329).
"""

from collections.abc import Sequence

from typing_extensions import TypedDict

from pada_graph.stats.accuracy import LEVEL
from pada_graph.stats.bootstrap import DRAWS, SEED, bootstrap_means, group_totals, percentile_interval
from pada_graph.stats.pairs import Verdict

FEWEST = 3  # seeds that an interval over seeds is given for


class OverSeeds(TypedDict):
    """A mean over seeds with two intervals, as fractions; None with fewer than three seeds."""

    per_seed: list[float]
    mean: float
    t_interval: tuple[float, float] | None  # Student's t over the seeds' means: other seeds, these test items
    interval: tuple[float, float] | None  # bootstrap over seeds, then items: other seeds, other test items


def over_seeds(values: Sequence[Sequence[float]], groups: Sequence[str]) -> OverSeeds:
    """Mean over seeds and items, and how far other seeds and other items might move it.

    Every draw takes seeds with replacement and, for all of them, the same resample of items: seeds share the test
    items, so that their noise does not average out over seeds. With few seeds the bootstrap is too narrow (three
    drawn from three hold two thirds of the variance), which is why the t interval stands beside it.

    Args:
        values: Per seed the values of the same items: 0 or 1 for accuracy, -1, 0 or 1 for a difference.
        groups: The group of each item, as `group_names` gives it.
    """
    import numpy as np
    from statsmodels.stats.weightstats import DescrStatsW

    matrix = np.array(values, dtype=float)
    means = matrix.mean(axis=1)
    result: OverSeeds = {
        "per_seed": [float(value) for value in means],
        "mean": float(means.mean()),
        "t_interval": None,
        "interval": None,
    }
    if len(means) < FEWEST:
        return result
    t_low, t_high = DescrStatsW(means).tconfint_mean(alpha=1 - LEVEL)
    drawn = bootstrap_means(group_totals(matrix, groups))
    seeds = np.random.default_rng(SEED + 1).integers(len(means), size=(DRAWS, len(means)))
    both = np.take_along_axis(drawn, seeds, axis=1).mean(axis=1)
    return {**result, "t_interval": (float(t_low), float(t_high)), "interval": percentile_interval(both, LEVEL)}


def seeds_verdict(difference: OverSeeds) -> Verdict | None:
    """What may be said of a difference over seeds: both intervals must leave 0 out; None where there are none."""
    over, both = difference["t_interval"], difference["interval"]
    if over is None or both is None:
        return None
    if over[0] > 0 and both[0] > 0:
        return "better"
    if over[1] < 0 and both[1] < 0:
        return "worse"
    return "no detectable difference"
