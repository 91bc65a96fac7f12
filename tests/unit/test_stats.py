"""Intervals and paired tests against closed forms and scipy."""

import math
import random

import pytest
from scipy.stats import binomtest, norm

from pada_graph.state import Prediction
from pada_graph.stats import detectable_gain, paired, score


def predictions(verdicts: list[bool], **fields: object) -> list[Prediction]:
    base = {"prompt": "", "target": "", "output": "", "parsed": "x", "reason": "", "truncated": False, "measures": {}, "group": None} | fields
    return [{**base, "id": f"item-{index}", "correct": verdict} for index, verdict in enumerate(verdicts)]  # type: ignore[typeddict-item]


@pytest.mark.parametrize(("correct", "n"), [(0, 32), (4, 32), (32, 32), (121, 500), (700, 1319)])
def test_interval_is_wilsons_closed_form(correct: int, n: int) -> None:
    found = score(predictions([True] * correct + [False] * (n - correct)))
    z, p = norm.ppf(0.975), correct / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert found["low"] == pytest.approx(centre - half, abs=1e-9)
    assert found["high"] == pytest.approx(centre + half, abs=1e-9)
    assert (found["n"], found["correct"], found["accuracy"]) == (n, correct, p)


def test_unparsed_and_truncated_outputs_are_counted() -> None:
    items = [
        *predictions([False, False], parsed=None, truncated=True),
        *predictions([True], truncated=True),
        *predictions([True]),
    ]
    found = score(items)
    assert (found["unparsed"], found["truncated"], found["correct"]) == (2, 3, 2)


def test_without_predictions_nothing_is_known() -> None:
    found = score([])
    assert (found["n"], found["accuracy"], found["low"], found["high"]) == (0, 0.0, 0.0, 1.0)
    compared = paired([], [])
    assert (compared["n"], compared["p_value"], compared["verdict"]) == (0, 1.0, "no detectable difference")


def test_paired_counts_and_mcnemar_test_agree_with_scipy() -> None:
    before = predictions([False] * 30 + [True] * 8 + [True] * 62)
    after = predictions([True] * 30 + [False] * 8 + [True] * 62)
    found = paired(before, after)
    assert (found["n"], found["fixed"], found["broken"]) == (100, 30, 8)
    assert found["difference"] == pytest.approx(0.22)
    assert found["p_value"] == pytest.approx(binomtest(30, 38).pvalue)
    assert found["verdict"] == "better"


def test_bootstrap_interval_has_the_width_of_the_paired_standard_error() -> None:
    """Closed form: sqrt((b + c) - (b - c)^2 / n) / n."""
    before = predictions([False] * 150 + [True] * 100 + [True] * 1069)
    after = predictions([True] * 150 + [False] * 100 + [True] * 1069)
    found = paired(before, after)
    error = math.sqrt(250 - 50**2 / 1319) / 1319
    assert found["low"] == pytest.approx(50 / 1319 - 1.96 * error, abs=0.05 * error + 1 / 1319)
    assert found["high"] == pytest.approx(50 / 1319 + 1.96 * error, abs=0.05 * error + 1 / 1319)


def test_swapping_the_models_mirrors_the_verdict() -> None:
    before = predictions([False] * 40 + [True] * 5 + [True] * 100)
    after = predictions([True] * 40 + [False] * 5 + [True] * 100)
    forth, back = paired(before, after), paired(after, before)
    assert (forth["verdict"], back["verdict"]) == ("better", "worse")
    assert back["difference"] == -forth["difference"]
    assert back["p_value"] == forth["p_value"]
    assert back["high"] < 0 < forth["low"]


@pytest.mark.parametrize(("fixed", "broken"), [(0, 0), (3, 0), (12, 9), (9, 12)])
def test_no_claim_where_the_interval_holds_zero(fixed: int, broken: int) -> None:
    rest = 60 - fixed - broken
    before = predictions([False] * fixed + [True] * broken + [True] * rest)
    after = predictions([True] * fixed + [False] * broken + [True] * rest)
    found = paired(before, after)
    assert found["low"] <= 0 <= found["high"]
    assert found["verdict"] == "no detectable difference"


def test_items_are_matched_by_id_and_results_repeat() -> None:
    rng = random.Random(3)
    before = predictions([rng.random() < 0.5 for _ in range(80)])
    after = predictions([rng.random() < 0.7 for _ in range(80)])
    shuffled = rng.sample(after, len(after))
    assert paired(before, after) == paired(before, shuffled)


def test_different_items_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="item-3"):
        paired(predictions([True] * 3), predictions([True] * 4))
    twice = predictions([True, False])
    twice[1]["id"] = twice[0]["id"]
    with pytest.raises(ValueError, match="twice"):
        paired(twice, predictions([True]))


@pytest.mark.parametrize(("n", "points"), [(32, 22.1), (100, 12.5), (500, 5.6), (1319, 3.4)])
def test_detectable_gain_is_the_normal_approximation(n: int, points: float) -> None:
    expected = (norm.ppf(0.975) + norm.ppf(0.8)) * math.sqrt(0.2 / n)
    assert detectable_gain(n) == pytest.approx(expected, rel=1e-5)
    assert 100 * detectable_gain(n) == pytest.approx(points, abs=0.1)
    with pytest.raises(ValueError, match="at least 1"):
        detectable_gain(0)
