"""Accuracies and differences over seeds: which noise an interval holds, and when a claim is made."""

import math

import pytest

from pada_graph.reproduce.differences import compare_seeds, mean_accuracy
from pada_graph.state import Prediction
from pada_graph.stats import over_seeds, paired, score


def answers(right: set[int], n: int = 40, group=None) -> list[Prediction]:
    return [
        {
            "id": f"item-{k}",
            "prompt": "",
            "target": "",
            "output": "",
            "correct": k in right,
            "parsed": "A",
            "reason": "",
            "truncated": False,
            "measures": {},
            "group": group(k) if group else None,
        }
        for k in range(n)
    ]


def first(count: int) -> set[int]:
    return set(range(count))


def test_one_seed_has_wilsons_interval():
    found, expected = mean_accuracy([answers(first(10))]), score(answers(first(10)))
    assert (found["accuracy"], found["low"], found["high"]) == (0.25, expected["low"], expected["high"])


@pytest.mark.parametrize("seeds", [2, 3])
def test_an_interval_has_width_even_where_every_answer_is_wrong(seeds):
    found = mean_accuracy([answers(set())] * seeds)
    assert found["accuracy"] == found["low"] == 0
    assert found["high"] == pytest.approx(score(answers(set()))["high"])


def test_two_seeds_that_agree_say_no_more_than_one():
    """The same answers twice are not twice as many items."""
    one, two = mean_accuracy([answers(first(10))]), mean_accuracy([answers(first(10))] * 2)
    assert two["high"] - two["low"] >= 0.99 * (one["high"] - one["low"])


def test_three_seeds_that_differ_widen_the_interval_to_the_t_interval():
    found = mean_accuracy([answers(first(k)) for k in (10, 20, 30)])
    values = [[float(item["correct"]) for item in answers(first(k))] for k in (10, 20, 30)]
    expected = over_seeds(values, [f"item-{k}" for k in range(40)])
    assert found["accuracy"] == pytest.approx(0.5)
    assert found["low"] == max(0.0, expected["t_interval"][0])
    assert found["high"] == min(1.0, expected["t_interval"][1])


def test_one_seed_is_the_paired_comparison():
    before, after = answers(first(10)), answers(first(17))
    found, expected = compare_seeds([before], [after]), paired(before, after)
    assert found["p_value"] == expected["p_value"]
    assert (found["difference"], found["low"], found["high"]) == (
        expected["difference"],
        expected["low"],
        expected["high"],
    )


def test_two_equal_seeds_have_the_p_value_of_one():
    """7 items fixed: p = 2 / 2^7 for one seed and any number of copies of it; of 14 independent items it is 1e-4."""
    before, after = answers(first(10)), answers(first(17))
    found = compare_seeds([before] * 2, [after] * 2)
    assert found["p_value"] == pytest.approx(2 / 2**7)
    assert (found["fixed"], found["difference"]) == (14, 7 / 40)


def test_two_seeds_keep_groups_of_items_together():
    """Two articles: whatever their answers, two coins cannot give less than p = 0.5."""
    halves = {"group": lambda k: f"article {k % 2}"}
    found = compare_seeds([answers(set(), **halves)] * 2, [answers(first(40), **halves)] * 2)
    assert found["p_value"] == 0.5


def test_with_three_seeds_a_claim_needs_the_seeds_to_agree():
    """Over items alone the gain is beyond doubt; the seeds are +20, +18 and -2 items."""
    before = [answers(first(10))] * 3
    found = compare_seeds(before, [answers(first(k)) for k in (30, 28, 8)])
    assert found["low"] < 0 < found["high"] and found["p_value"] > 0.05
    steady = compare_seeds(before, [answers(first(k)) for k in (30, 28, 29)])
    assert steady["low"] > 0 and steady["p_value"] < 0.01


@pytest.mark.parametrize(("gain", "p_value"), [(0, 1.0), (7, 2 / 2**7)])
def test_three_seeds_without_any_spread_are_no_division_by_zero(gain, p_value):
    found = compare_seeds([answers(first(10))] * 3, [answers(first(10 + gain))] * 3)
    assert found["p_value"] == pytest.approx(p_value) and math.isfinite(found["low"])


def test_other_items_are_refused():
    with pytest.raises(ValueError, match="different items"):
        compare_seeds([answers(first(3))], [answers(first(3), n=39)])
