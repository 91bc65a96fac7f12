"""The bootstrap that all intervals on differences come from: whole groups of items, drawn with replacement."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

DRAWS = 10_000
SEED = 20_240_601  # the same predictions always give the same interval


def group_totals(values: "np.ndarray", groups: Sequence[str]) -> "np.ndarray":
    """Sum items to the units that are drawn.

    Args:
        values: Shape (m, n): m quantities of the same n items.
        groups: The group of each item; an item in a group of its own is independent of all others.

    Returns:
        Shape (m + 1, number of groups): the sums, and in the last row the number of items.
    """
    import numpy as np

    names, place = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    rows = [*values, np.ones(len(groups))]
    return np.array([np.bincount(place, weights=row, minlength=len(names)) for row in rows])


def bootstrap_means(totals: "np.ndarray") -> "np.ndarray":
    """Means over items of DRAWS resamples of the groups.

    Groups with equal totals are interchangeable, so that a resample is one multinomial draw over the distinct ones.

    Args:
        totals: As `group_totals` returns, shape (m + 1, groups).

    Returns:
        Shape (DRAWS, m). The m quantities share their resamples, since they share the items.
    """
    import numpy as np

    distinct, counts = np.unique(totals, axis=1, return_counts=True)
    drawn = np.random.default_rng(SEED).multinomial(counts.sum(), counts / counts.sum(), size=DRAWS) @ distinct.T
    means: np.ndarray = drawn[:, :-1] / drawn[:, -1:]
    return means


def percentile_interval(values: "np.ndarray", level: float) -> tuple[float, float]:
    """The middle `level` of resampled values."""
    import numpy as np

    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
