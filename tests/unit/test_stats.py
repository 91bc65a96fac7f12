"""Intervals and tests against closed forms and scipy; error rates and power against their promise."""

import math
import random
from functools import cache

import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm, permutation_test, t
from statsmodels.stats.proportion import proportion_confint

from pada_graph.state import Prediction
from pada_graph.stats import describe, detectable_gain, detectable_words, holm, over_seeds, paired, score
from pada_graph.stats.bootstrap import bootstrap_means, group_totals
from pada_graph.stats.seeds import seeds_verdict

BASE = {"prompt": "", "target": "", "output": "", "reason": "", "truncated": False, "measures": {}, "group": None}


def predictions(verdicts, parsed="x", **fields) -> list[Prediction]:
    rows = [{**BASE, "id": f"item-{k}", "parsed": parsed, "correct": bool(v), **fields} for k, v in enumerate(verdicts)]
    return rows  # type: ignore[return-value]


def flipped(fixed: int, broken: int, n: int) -> tuple[list[Prediction], list[Prediction]]:
    """Two models of n items that differ on fixed + broken."""
    before = [False] * fixed + [True] * broken + [True] * (n - fixed - broken)
    after = [True] * fixed + [False] * broken + [True] * (n - fixed - broken)
    return predictions(before), predictions(after)


def in_groups(differences: list[list[int]]) -> tuple[list[Prediction], list[Prediction]]:
    """Two models whose items, group by group, differ by 1 (fixed), -1 (broken) or 0."""
    flat = [(f"g{number}", d) for number, group in enumerate(differences) for d in group]
    before = predictions([d < 0 for _, d in flat])
    after = predictions([d > 0 for _, d in flat])
    for rows in (before, after):
        for row, (group, _) in zip(rows, flat, strict=True):
            row["group"] = group
    return before, after


@pytest.mark.parametrize(("correct", "n"), [(0, 32), (4, 32), (32, 32), (121, 500), (700, 1319)])
def test_interval_is_wilsons_closed_form(correct: int, n: int) -> None:
    found = score(predictions([True] * correct + [False] * (n - correct)))
    z, p = norm.ppf(0.975), correct / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert found["low"] == pytest.approx(centre - half, abs=1e-9)
    assert found["high"] == pytest.approx(centre + half, abs=1e-9)
    assert (found["n"], found["correct"], found["accuracy"]) == (n, correct, p)


def test_interval_agrees_with_statsmodels_and_holds_the_accuracy():
    for n in (1, 7, 12, 49):
        for correct in range(n + 1):
            found = score(predictions([True] * correct + [False] * (n - correct)))
            expected = proportion_confint(correct, n, method="wilson")
            assert (found["low"], found["high"]) == pytest.approx(expected, abs=1e-9)
            assert 0 <= found["low"] <= found["accuracy"] <= found["high"] <= 1


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


def test_a_model_that_always_says_b_is_at_chance_and_visible():
    rows = predictions([True] * 50 + [False] * 150, parsed="B")
    rows[-1]["parsed"] = None
    found = describe(rows, chance=0.25)
    assert score(rows)["accuracy"] == 0.25 and score(rows)["unparsed"] == 1
    assert found["answers"] == {"B": 199} and found["majority_share"] == 199 / 200
    assert found["above_chance"] == 0.0


@pytest.mark.parametrize(("accuracy", "chance", "above"), [(1.0, 0.25, 1.0), (0.0, 0.25, -1 / 3), (0.5, 0.2, 0.375)])
def test_accuracy_above_chance_is_zero_at_chance_and_one_at_all_right(accuracy, chance, above):
    rows = predictions([True] * int(40 * accuracy) + [False] * int(40 * (1 - accuracy)))
    assert describe(rows, chance)["above_chance"] == pytest.approx(above)


def test_answers_that_are_no_letters_have_no_histogram():
    found = describe([*predictions([True], parsed="A"), *predictions([False], parsed="12")], chance=None)
    assert found["answers"] == {} and found["majority_share"] is None and found["above_chance"] is None


def test_measures_are_means_over_all_outputs():
    rows = [*predictions([True], measures={"f1": 1.0}), *predictions([False], measures={"f1": 0.5})]
    rows += predictions([False, False], parsed=None)
    assert describe(rows, None)["measures"] == {"f1": 0.375}


@pytest.mark.parametrize(("groups", "grouped"), [([None, None], False), (["a", "b"], False), (["a", "a"], True)])
def test_items_that_share_a_group_are_told(groups, grouped):
    rows = [{**row, "group": group} for row, group in zip(predictions([True, False]), groups, strict=True)]
    assert describe(rows, None)["grouped"] is grouped


def test_paired_counts_and_mcnemar_test_agree_with_scipy() -> None:
    found = paired(*flipped(30, 8, 100))
    assert (found["n"], found["fixed"], found["broken"]) == (100, 30, 8)
    assert found["difference"] == pytest.approx(0.22)
    assert found["p_value"] == pytest.approx(binomtest(30, 38).pvalue)
    assert found["verdict"] == "better"


@pytest.mark.parametrize(("fixed", "broken", "n"), [(150, 100, 1319), (30, 8, 100), (60, 50, 500)])
def test_standard_error_and_interval_are_the_paired_closed_form(fixed, broken, n):
    found = paired(*flipped(fixed, broken, n))
    error = math.sqrt((fixed + broken) - (fixed - broken) ** 2 / n) / n
    assert found["error"] == pytest.approx(error, rel=1e-12)
    assert found["low"] == pytest.approx(found["difference"] - 1.96 * error, abs=0.05 * error + 1 / n)
    assert found["high"] == pytest.approx(found["difference"] + 1.96 * error, abs=0.05 * error + 1 / n)


def test_swapping_the_models_mirrors_the_verdict():
    before, after = flipped(40, 5, 145)
    forth, back = paired(before, after), paired(after, before)
    assert (forth["verdict"], back["verdict"]) == ("better", "worse")
    assert back["difference"] == -forth["difference"]
    assert back["p_value"] == forth["p_value"]
    assert back["high"] < 0 < forth["low"]


@pytest.mark.parametrize(("fixed", "broken"), [(0, 0), (3, 0), (12, 9), (9, 12)])
def test_no_claim_where_the_interval_holds_zero(fixed, broken):
    found = paired(*flipped(fixed, broken, 60))
    assert found["low"] <= 0 <= found["high"]
    assert found["verdict"] == "no detectable difference"


def test_an_interval_above_zero_is_not_enough_where_few_items_differ():
    found = paired(*flipped(4, 0, 32))
    assert found["low"] > 0 and found["p_value"] == 0.125
    assert found["verdict"] == "no detectable difference"
    assert paired(*flipped(6, 0, 32))["verdict"] == "better"


@pytest.mark.parametrize("n", [20, 32, 100])
def test_equally_good_models_are_told_apart_in_5_percent_at_most(n):
    """Exact, given any number of items on which they differ: each is fixed or broken with probability 1/2."""
    verdicts = cache(lambda fixed, broken: paired(*flipped(fixed, broken, n))["verdict"])
    for differing in (4, 5, 6, 8, 12, 17, 20):
        chances = [(fixed, binom.pmf(fixed, differing, 0.5)) for fixed in range(differing + 1)]
        errors = [p for fixed, p in chances if verdicts(fixed, differing - fixed) != "no detectable difference"]
        assert sum(errors) <= 0.05
    assert verdicts(20, 0) == "better"


def test_items_are_matched_by_id_and_results_repeat():
    rng = random.Random(3)
    before = predictions([rng.random() < 0.5 for _ in range(80)])
    after = predictions([rng.random() < 0.7 for _ in range(80)])
    shuffled = rng.sample(after, len(after))
    assert paired(before, after) == paired(before, shuffled)


def test_different_items_are_refused_by_name():
    with pytest.raises(ValueError, match="item-3"):
        paired(predictions([True] * 3), predictions([True] * 4))
    twice = predictions([True, False])
    twice[1]["id"] = twice[0]["id"]
    with pytest.raises(ValueError, match="twice"):
        paired(twice, predictions([True]))


# ----------------------------------------------------------------------------------------------------------- groups


def test_whole_groups_are_drawn():
    """Ten groups of ten equal items are worth ten items: the error is that of ten, and so is the interval."""
    found = paired(*in_groups([[1] * 10] * 6 + [[-1] * 10] * 2 + [[0] * 10] * 2))
    error = math.sqrt(8 - 4**2 / 10) / 10
    assert (found["n"], found["groups"], found["difference"]) == (100, 10, 0.4)
    assert found["error"] == pytest.approx(error)
    assert found["low"] == pytest.approx(0.4 - 1.96 * error, abs=0.11)
    assert found["p_value"] < 0.001  # as if all 80 answers were independent
    assert found["group_p_value"] == pytest.approx(binomtest(6, 8).pvalue)
    assert found["verdict"] == "no detectable difference"


def test_groups_of_one_item_give_mcnemars_test_and_the_same_interval():
    before, after = flipped(30, 12, 100)
    plain = paired(before, after)
    for rows in (before, after):
        for row in rows:
            row["group"] = f"article of {row['id']}"
    grouped = paired(before, after)
    assert (grouped["low"], grouped["high"], grouped["error"]) == (plain["low"], plain["high"], plain["error"])
    assert grouped["group_p_value"] == pytest.approx(plain["p_value"])
    assert (plain["groups"], plain["group_p_value"], grouped["groups"]) == (None, None, 100)


def test_the_test_on_groups_is_the_exact_sign_permutation_test():
    groups = [[1] * 7, [1, 1, -1, 0], [-1] * 3, [1] * 5, [1, -1], [1] * 2, [0, 0, 1], [-1], [1] * 4]
    sums = np.array([sum(group) for group in groups], dtype=float)
    exact = permutation_test((sums,), np.sum, permutation_type="samples", n_resamples=np.inf)
    assert paired(*in_groups(groups))["group_p_value"] == pytest.approx(exact.pvalue)


def test_one_group_shows_nothing():
    found = paired(*in_groups([[1] * 30]))
    assert (found["group_p_value"], found["verdict"]) == (1.0, "no detectable difference")


def test_equally_good_models_are_told_apart_in_5_percent_at_most_with_few_unequal_groups():
    """Every answer on one article tends to the same side. Items alone, and the interval alone, claim far too much."""
    rng = np.random.default_rng(5)
    trials, wrong, by_items, by_interval = 120, 0, 0, 0
    for _ in range(trials):
        sides = rng.choice([0.1, 0.9], size=6)
        sizes = (30, 25, 20, 15, 10, 10)
        signs = [np.where(rng.random(size) < side, 1, -1) for size, side in zip(sizes, sides, strict=True)]
        found = paired(*in_groups([list(group * (rng.random(len(group)) < 0.4)) for group in signs]))
        wrong += found["verdict"] != "no detectable difference"
        by_items += found["p_value"] < 0.05
        by_interval += not found["low"] <= 0 <= found["high"]
    assert wrong <= binom.ppf(0.99, trials, 0.05)
    assert by_items > 0.3 * trials
    assert by_interval > wrong


def test_bootstrap_of_groups_is_the_ratio_of_resampled_sums():
    """Against drawing group by group in a loop."""
    rng = np.random.default_rng(0)
    values = rng.integers(-1, 2, size=(1, 60)).astype(float)
    groups = [f"g{k}" for k in rng.integers(0, 8, size=60)]
    totals = group_totals(values, groups)
    assert totals[0].sum() == values.sum() and totals[1].sum() == 60
    slow = []
    for _ in range(4000):
        chosen = rng.integers(totals.shape[1], size=totals.shape[1])
        slow.append(totals[0, chosen].sum() / totals[1, chosen].sum())
    fast = bootstrap_means(totals)[:, 0]
    assert fast.shape == (10_000,)
    assert np.quantile(fast, [0.025, 0.5, 0.975]) == pytest.approx(np.quantile(slow, [0.025, 0.5, 0.975]), abs=0.02)


# ------------------------------------------------------------------------------------------- several comparisons


def test_holm_is_the_step_down_rule():
    values = [0.01, 0.04, 0.03, 0.005]
    expected = []
    for value in values:
        below = sorted(v for v in values if v <= value)
        expected.append(max(min(1.0, (len(values) - rank) * v) for rank, v in enumerate(below)))
    assert holm(values) == pytest.approx(expected)
    assert holm([0.03]) == [0.03] and holm([]) == []


# -------------------------------------------------------------------------------------------------- before a run


@pytest.mark.parametrize(("n", "points"), [(32, 22), (100, 12.5), (164, 9.8), (500, 5.6), (1172, 3.7), (1319, 3.4)])
def test_detectable_gain_is_the_normal_approximation(n, points):
    expected = (norm.ppf(0.975) + norm.ppf(0.8)) * math.sqrt(0.2 / n)
    assert detectable_gain(n) == pytest.approx(expected, rel=1e-9)
    assert 100 * detectable_gain(n) == pytest.approx(points, abs=0.2)
    assert f"{n} test items" in detectable_words(n) and f"about {100 * expected:.1f} points" in detectable_words(n)


def test_detectable_gain_needs_items():
    with pytest.raises(ValueError, match="at least 1"):
        detectable_gain(0)


@pytest.mark.parametrize(("n", "least"), [(100, 0.65), (500, 0.73), (1319, 0.76)])
def test_a_gain_of_the_detectable_size_is_found_in_nearly_80_percent(n, least):
    """Simulated with the exact test, which is more cautious than the approximation where items are few."""
    gain = detectable_gain(n)
    shares = [(0.2 + gain) / 2, (0.2 - gain) / 2, 0.8]
    fixed, broken, _ = np.random.default_rng(1).multinomial(n, shares, size=20_000).T
    p_values = np.minimum(1, 2 * binom.cdf(np.minimum(fixed, broken), fixed + broken, 0.5))
    assert least < np.mean((p_values < 0.05) & (fixed > broken)) < 0.84


# --------------------------------------------------------------------------------------------------------- seeds


def test_the_t_interval_over_seeds_is_students():
    values = [[1.0] * right + [0.0] * (100 - right) for right in (50, 56, 62, 60)]
    found = over_seeds(values, [str(k) for k in range(100)])
    means = np.array([0.50, 0.56, 0.62, 0.60])
    half = t.ppf(0.975, 3) * means.std(ddof=1) / 2
    assert found["per_seed"] == pytest.approx(means) and found["mean"] == pytest.approx(0.57)
    assert found["t_interval"] == pytest.approx((0.57 - half, 0.57 + half))


def test_the_bootstrap_over_seeds_holds_the_noise_of_seeds_and_of_items():
    rng = np.random.default_rng(2)
    items = [str(k) for k in range(200)]

    def width(values) -> float:
        low, high = over_seeds(values, items)["interval"]
        return high - low

    shared = (rng.random(200) < 0.6).astype(float)
    same = width([shared] * 4)  # four seeds that agree on every item: item noise only, and none of it averaged out
    assert same == pytest.approx(2 * 1.96 * math.sqrt(shared.mean() * (1 - shared.mean()) / 200), rel=0.08)
    seeds_only = width([[1.0] * 200, [0.0] * 200, [1.0] * 200, [0.0] * 200])  # items do not matter
    assert seeds_only == pytest.approx(1.0)  # of four draws all are 1, or all 0, in 1 of 16 cases each


def test_fewer_than_three_seeds_give_no_interval_and_no_verdict():
    found = over_seeds([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]], ["a", "b", "c"])
    assert found["mean"] == pytest.approx(5 / 6)
    assert found["t_interval"] is None and found["interval"] is None
    assert seeds_verdict(found) is None


def test_a_difference_over_seeds_needs_both_intervals():
    items = [str(k) for k in range(300)]

    def gains(*fixed: int):
        return over_seeds([[1.0] * k + [0.0] * (300 - k) for k in fixed], items)

    assert seeds_verdict(gains(58, 60, 62)) == "better"
    assert seeds_verdict(over_seeds([[-1.0] * 60 + [0.0] * 240] * 3, items)) == "worse"
    wide = gains(5, 60, 115)  # seeds differ too much
    assert wide["interval"][0] > 0 > wide["t_interval"][0]
    assert seeds_verdict(wide) == "no detectable difference"
