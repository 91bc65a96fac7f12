"""What a cell costs: teacher calls, tokens and dollars, samples, and what a point of accuracy gained costs."""

from collections.abc import Mapping, Sequence
from statistics import mean
from typing import Any

from typing_extensions import TypedDict

from pada_graph.teacher.prices import total


class Cost(TypedDict):
    """What a cell costs, mean over seeds."""

    requested: float  # synthetic samples
    accepted: float
    calls: float  # of the teacher
    tokens: float
    usd: float | None  # None: unknown
    gain: float | None  # over the reference with the same seeds, in points; None: it is the reference, or not there
    usd_per_point: float | None  # None: no gain, or dollars unknown
    calls_per_point: float | None


def cost(runs: Sequence[Mapping[str, Any]], gain: float | None) -> Cost:
    """The cost of a variant.

    Args:
        runs: metrics.json of each seed.
        gain: Over the reference, in points, mean over the seeds that both have; None: there is no reference.
    """
    roles = [list(metrics["teacher"].values()) for metrics in runs]
    usd = total([total([role["usd"] for role in used]) for used in roles])
    each = None if usd is None else usd / len(runs)
    calls = mean(sum(role["calls"] for role in used) for used in roles)
    gained = gain if gain is not None and gain > 0 else None
    return {
        "requested": mean(metrics["accounting"]["requested"] for metrics in runs),
        "accepted": mean(metrics["accounting"]["accepted"] for metrics in runs),
        "calls": calls,
        "tokens": mean(sum(role["input_tokens"] + role["output_tokens"] for role in used) for used in roles),
        "usd": each,
        "gain": gain,
        "usd_per_point": each / gained if each is not None and gained else None,
        "calls_per_point": calls / gained if gained else None,
    }
