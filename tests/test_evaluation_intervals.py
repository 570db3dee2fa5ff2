"""Intervals: hand-worked numbers, which kind is chosen, and simulated coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ahalab.evaluation.estimators import bootstrap, estimate_mean
from ahalab.evaluation.intervals import effective_items, student_quantile, wilson
from interval_coverage import Case, bootstrap_bounds, coverage


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [(1, 12.706), (4, 2.776), (5, 2.571), (6, 2.447), (10, 2.228), (30, 2.042), (99, 1.984), (10**6, 1.960)],
)
def test_quantiles_of_student_equal_the_printed_table(degrees: int, quantile: float) -> None:
    assert student_quantile(degrees) == pytest.approx(quantile, abs=1.1e-3)


def test_a_quantile_without_freedom_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 degree"):
        student_quantile(0)


def test_wilson_equals_hand_worked_bounds() -> None:
    # With quantile 2 and 4 items: weight 1, so middle (p + 1/2) / 2 and half √(p(1 − p) + 1/4) / 2.
    assert wilson(0.5, 4, 2.0) == pytest.approx((0.5 - math.sqrt(0.5) / 2, 0.5 + math.sqrt(0.5) / 2))
    assert wilson(0.0, 4, 2.0) == pytest.approx((0.0, 0.5))
    assert wilson(1.0, 4, 2.0) == pytest.approx((0.5, 1.0))
    # Newcombe 1998, Table I: 81 of 263, 15 of 148, 0 of 20.
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(15 / 148, 148) == pytest.approx((0.0624, 0.1605), abs=1e-4)
    assert wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    with pytest.raises(ValueError, match="from 0 to 1"):
        wilson(1.2, 4)


def test_effective_items_are_n_for_0_and_1_and_more_for_means_over_samples() -> None:
    assert effective_items(0.25, 0.25 * 0.75, 40) == pytest.approx(40)
    assert effective_items(0.5, 0.25 / 4, 99) == pytest.approx(99 * 100 / (99 / 4 + 1))
    assert effective_items(0.5, 0.0, 9) == pytest.approx(90)  # all alike: one item's worth of doubt stays
    assert effective_items(1.0, 0.0, 9) == 9


def test_the_interval_is_chosen_by_items_and_mean_and_says_so() -> None:
    many = [0.25, 0.5, 0.75, 0.5] * 25
    assert estimate_mean(many, 4) == bootstrap(many, 4)
    assert estimate_mean(many, 4).method == "bootstrap"
    for items in (many[:99], [0.0] * 99 + [0.5], [1.0] * 200, [0.0, 1.0] * 100, [0.5]):
        found = estimate_mean(items, 4)
        assert found.method == "wilson"
        assert found.value == pytest.approx(np.mean(items))
        assert 0.0 <= found.low <= found.value <= found.high <= 1.0
        assert found.high - found.low > 0.0
    assert estimate_mean([1.0] * 20, 1).low == pytest.approx(1 - 0.1611, abs=1e-4)
    assert estimate_mean([0.0, 1.0] * 2, 1).as_dict()["method"] == "wilson"


def test_amounts_have_a_t_interval_where_items_are_few() -> None:
    found = estimate_mean([10.0, 20.0, 30.0], 4, share=False)
    half = 4.3027 * 10.0 / math.sqrt(3)
    assert (found.low, found.high) == pytest.approx((20 - half, 20 + half))
    assert (found.method, found.n, found.k) == ("t", 3, 4)
    assert estimate_mean([10.0, 20.0] * 50, 4, share=False) == bootstrap([10.0, 20.0] * 50, 4)
    alone = estimate_mean([7.0], 1, share=False)
    assert (alone.low, alone.value, alone.high) == (7.0, 7.0, 7.0)


def test_no_items_and_values_that_are_no_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one item"):
        estimate_mean([], 1)
    for wrong in (1.5, -0.1, math.nan):
        with pytest.raises(ValueError, match="from 0 to 1"):
            estimate_mean([0.5, wrong], 1)


def test_the_simulation_bootstraps_as_the_estimator_does() -> None:
    data = Case(100, 0.3, 4, 1.0).draw(3)
    for row, (low, high) in zip(data, bootstrap_bounds(data), strict=True):
        found = bootstrap(row.tolist(), 4)
        assert (found.low, found.high) == pytest.approx((low, high))


@pytest.mark.parametrize("n", [100, 200, 500])
@pytest.mark.parametrize("p", [0.1, 0.12, 0.5, 0.9])
@pytest.mark.parametrize(("k", "spread"), [(4, 1.0), (16, 1.0), (16, 4.0)])
def test_coverage_of_means_over_samples_is_93_to_97_in_100(n: int, p: float, k: int, spread: float) -> None:
    inside, _ = coverage(Case(n, p, k, spread), 3_000)
    assert 0.93 <= inside <= 0.97


@pytest.mark.parametrize("n", [100, 120, 150, 200, 500])
def test_coverage_of_0_and_1_is_93_to_97_in_100_exactly(n: int) -> None:
    """No simulation: the chance of each count of right items, over those whose interval holds p."""
    bounds = np.array([wilson(count / n, n) for count in range(n + 1)])
    one = estimate_mean([1.0] * (n // 5) + [0.0] * (n - n // 5), 1)
    assert (one.low, one.high) == pytest.approx(tuple(bounds[n // 5]))
    ways = [math.lgamma(n + 1) - math.lgamma(c + 1) - math.lgamma(n - c + 1) for c in range(n + 1)]
    for p in np.arange(0.1, 0.9001, 0.01):
        chance = np.array(
            [math.exp(w + c * math.log(p) + (n - c) * math.log(1 - p)) for c, w in enumerate(ways)]
        )
        inside = chance[(bounds[:, 0] <= p) & (p <= bounds[:, 1])].sum()
        assert 0.93 <= inside <= 0.97, p


@pytest.mark.parametrize(
    "case", [Case(10, 0.5, 16, 1.0), Case(30, 0.1, 4, 1.0), Case(30, 0.02, 16, 1.0), Case(200, 0.02, 4, 1.0)]
)
def test_elsewhere_coverage_stays_near_what_the_docs_state(case: Case) -> None:
    inside, _ = coverage(case, 1_000)
    assert inside >= 0.91
