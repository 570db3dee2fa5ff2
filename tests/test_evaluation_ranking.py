"""Ranking figures on hand-made numbers."""

from __future__ import annotations

import math

import pytest

from ahalab.evaluation.ranking import (
    area_under_curve,
    expected_calibration_error,
    pair_calibration_error,
    pair_outcomes,
    rank_correlation,
)


def test_a_tie_counts_one_half() -> None:
    assert pair_outcomes([2.0, 1.0, 3.0], [1.0, 1.0, 4.0]) == [1.0, 0.5, 0.0]


def test_the_area_under_the_curve_counts_well_ordered_pairs() -> None:
    # Positives 3 and 1, negatives 2 and 0: of four pairs three are in order.
    assert area_under_curve([3.0, 1.0, 2.0, 0.0], [True, True, False, False]) == 0.75
    assert area_under_curve([1.0, 1.0], [True, False]) == 0.5
    assert area_under_curve([5.0, 5.0, 5.0, 7.0], [True, False, False, True]) == pytest.approx(0.75)


def test_the_area_depends_on_the_order_only() -> None:
    labels = [True, False, True, False, True]
    scores = [0.3, -1.0, 2.0, 0.5, 0.1]
    assert area_under_curve(scores, labels) == area_under_curve([math.exp(s) * 7 for s in scores], labels)


def test_one_class_has_no_area() -> None:
    assert area_under_curve([1.0, 2.0], [True, True]) is None
    assert area_under_curve([], []) is None


def test_the_calibration_error_of_hand_made_bins() -> None:
    # Bin 0.9 to 1.0: mean 0.95, half happened, gap 0.45. Bin 0.2: gap 0.25 on one row. (2 * 0.45 + 0.25) / 3.
    assert expected_calibration_error([0.95, 0.95, 0.25], [1.0, 0.0, 0.0]) == pytest.approx((0.9 + 0.25) / 3)
    assert expected_calibration_error([1.0, 0.0], [1.0, 0.0]) == 0.0
    assert expected_calibration_error([], []) is None


def test_the_calibration_error_of_pairs_does_not_depend_on_their_order() -> None:
    # 0.8 twice, of which one is right: each side of the pair is 0.3 off.
    assert pair_calibration_error([0.8, 0.2]) == pytest.approx(0.3)
    assert pair_calibration_error([1.0, 1.0]) == 0.0


def test_rank_correlation_of_hand_made_ranks() -> None:
    assert rank_correlation([1.0, 2.0, 3.0], [10.0, 100.0, 1000.0]) == pytest.approx(1.0)
    assert rank_correlation([1.0, 2.0, 3.0], [3.0, 2.0, 1.0]) == pytest.approx(-1.0)
    # Ranks 1 2 3 4 against 2 1 4 3: 1 - 6 * 4 / (4 * 15).
    assert rank_correlation([1.0, 2.0, 3.0, 4.0], [2.0, 1.0, 4.0, 3.0]) == pytest.approx(0.6)
    assert rank_correlation([1.0, 1.0, 2.0], [1.0, 1.0, 2.0]) == pytest.approx(1.0)


def test_a_constant_side_has_no_correlation() -> None:
    assert rank_correlation([1.0, 1.0], [1.0, 2.0]) is None
    assert rank_correlation([1.0], [2.0]) is None


@pytest.mark.parametrize("figure", [area_under_curve, expected_calibration_error, rank_correlation])
def test_lists_of_different_lengths_are_refused(figure) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="but"):
        figure([0.1, 0.2], [1.0])


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="not a number"):
        area_under_curve([math.nan, 1.0], [True, False])
    with pytest.raises(ValueError, match=r"0 … 1"):
        expected_calibration_error([1.2], [1.0])
