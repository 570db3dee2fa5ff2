"""From scores to 0 … 1: order is kept, hand-made fits, degenerate data."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ahalab.policy.calibration import LogisticMap, platt_map, quartile_map, sigmoid


def test_a_map_rises_with_the_score_and_stays_within_bounds() -> None:
    calibration = LogisticMap(2.0, -1.0)
    values = [calibration(score) for score in (-math.inf, -900.0, -1.0, 0.5, 0.500001, 3.0, 900.0, math.inf)]
    assert values == sorted(values)
    assert values[0] == 0.0
    assert values[3] == 0.5
    assert values[-1] == 1.0
    assert values[3] < values[4]


@pytest.mark.parametrize("slope", [0.0, -1.0, math.inf, math.nan])
def test_a_map_that_does_not_rise_is_refused(slope: float) -> None:
    with pytest.raises(ValueError, match="slope"):
        LogisticMap(slope, 0.0)


def test_the_middle_half_of_the_scores_falls_on_a_quarter_to_three_quarters() -> None:
    calibration = quartile_map([10.0, 20.0, 30.0, 40.0, 50.0])
    assert [calibration(score) for score in (20.0, 30.0, 40.0)] == pytest.approx([0.25, 0.5, 0.75])


def test_scores_without_spread_still_have_a_rising_map() -> None:
    assert quartile_map([4.0, 4.0, 4.0])(4.0) == 0.5
    assert quartile_map([4.0, 4.0, 4.0])(5.0) > 0.5
    # The quartiles coincide, the standard deviation does not.
    assert quartile_map([0.0] * 9 + [10.0])(0.0) == 0.5


def test_platt_scaling_finds_the_smoothed_rates_of_two_scores() -> None:
    # Two scores are fitted exactly: the mean smoothed target at each, 3 of 4 and 1 of 4 positive of 4 in all.
    scores, labels = [1.0] * 4 + [-1.0] * 4, [True, True, True, False, False, False, False, True]
    high, low = 5 / 6, 1 / 6
    calibration = platt_map(scores, labels)
    assert calibration is not None
    assert calibration(1.0) == pytest.approx((3 * high + low) / 4)
    assert calibration(-1.0) == pytest.approx((high + 3 * low) / 4)


def test_platt_scaling_recovers_a_known_map() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(5.0, 3.0, 20_000)
    labels = rng.random(20_000) < [sigmoid(0.7 * score - 3.0) for score in scores]
    calibration = platt_map(scores.tolist(), labels.tolist())
    assert calibration is not None
    assert calibration.slope == pytest.approx(0.7, abs=0.03)
    assert calibration.intercept == pytest.approx(-3.0, abs=0.15)


def test_separable_scores_give_a_finite_map() -> None:
    calibration = platt_map([1e-4, 2e-4, 3e-4, 4e-4], [False, False, True, True])
    assert calibration is not None
    assert 0.5 < calibration(4e-4) < 1.0
    assert 0.0 < calibration(1e-4) < 0.5


def test_scores_that_rank_the_wrong_way_have_no_platt_map() -> None:
    assert platt_map([1.0, 2.0, 3.0, 4.0], [True, True, False, False]) is None
    assert platt_map([1.0, 1.0], [True, False]) is None
    assert platt_map([1.0, 2.0], [True, True]) is None
