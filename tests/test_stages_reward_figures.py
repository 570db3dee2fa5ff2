"""Figures, calibration and warnings of reward models on hand-made scores."""

from __future__ import annotations

import math

import pytest

from ahalab.policy.calibration import sigmoid
from ahalab.stages.reward_examples import Example
from ahalab.stages.reward_figures import BETWEEN, PLATT, QUARTILES, calibrate, held_out_figures, warnings_of


def _pair(group: int, lengths: tuple[int, int] = (5, 5)) -> Example:
    return Example(f"p/{group}", group, ((1,), (2,)), lengths)


def _labelled(group: int, safe: bool, length: int = 5) -> Example:
    return Example(f"l/{group}", group, ((1,),), (length,), safe)


def test_the_figures_of_hand_made_pairs() -> None:
    examples = [_pair(0, (9, 1)), _pair(1, (1, 9)), _pair(2, (5, 5)), _pair(3, (8, 2))]
    scores = [(math.log(3), 0.0), (0.0, math.log(3)), (1.0, 1.0), (math.log(3), 0.0)]
    figures = held_out_figures(examples, scores)
    assert figures["accuracy"]["value"] == pytest.approx((1 + 0 + 0.5 + 1) / 4)
    assert figures["accuracy"]["n"] == 4
    assert figures["longer_wins"] == pytest.approx((1 + 0 + 0.5 + 1) / 4)
    # Against the rejected 0, ln 3, 1 and 0: each chosen ln 3 wins 3.5 of 4, the 0 wins 1, the 1 wins 2.5.
    assert figures["auc"] == pytest.approx((3.5 + 1.0 + 2.5 + 3.5) / 16)
    # Each of the three clear pairs is given 0.75; two of three come true; the tie is given 0.5.
    assert figures["calibration_error"] == pytest.approx(3 / 4 * abs(2 / 3 - 0.75))
    assert figures["held_out"] == figures["held_out_questions"] == 4
    assert "majority" not in figures


def test_rows_of_one_question_are_one_item_of_the_interval() -> None:
    alone = held_out_figures([_pair(i) for i in range(20)], [(float(i % 2), 0.5) for i in range(20)])
    alike = held_out_figures([_pair(i % 2) for i in range(20)], [(float(i % 2), 0.5) for i in range(20)])
    assert alone["accuracy"]["value"] == alike["accuracy"]["value"] == 0.5
    assert (alike["accuracy"]["low"], alike["accuracy"]["high"], alike["accuracy"]["n"]) == (0.0, 1.0, 2)
    assert 0.2 < alone["accuracy"]["low"] < 0.5 < alone["accuracy"]["high"] < 0.8


def test_a_point_wise_threshold_is_that_of_the_calibration() -> None:
    # All scores are above 0, yet they tell the labels apart.
    examples = [_labelled(i, i % 2 == 0) for i in range(40)]
    scores = [(2.0 if i % 2 == 0 else 1.0,) for i in range(40)]
    figures = held_out_figures(examples, scores)
    assert figures["accuracy"]["value"] == 1.0
    assert figures["accuracy_raw"] == 0.5
    assert figures["majority"] == 0.5
    assert figures["auc"] == 1.0
    # Platt's smoothed targets for ten of each: 11/12 and 1/12.
    assert figures["calibration_error"] == pytest.approx(1 / 12, abs=0.02)


def test_no_row_is_judged_by_a_calibration_that_saw_it() -> None:
    # In each half the score tells the labels apart, but by another threshold than in the other half.
    examples = [_labelled(i, i % 2 == 0) for i in range(40)]
    scores = [((1.0 if i % 2 == 0 else 0.0) + (10.0 if i >= 20 else 0.0),) for i in range(40)]
    figures = held_out_figures(examples, scores)
    assert figures["accuracy"]["value"] == 0.5
    assert figures["calibration_error"] > 0.3


def test_a_half_without_both_labels_leaves_the_error_open() -> None:
    examples = [_labelled(i, i < 5) for i in range(10)]
    figures = held_out_figures(examples, [(float(i < 5) - 0.5,) for i in range(10)])
    assert figures["calibration_error"] is None
    assert figures["accuracy"]["value"] == figures["accuracy_raw"] == 1.0


def test_pairwise_rewards_are_centred_between_chosen_and_rejected() -> None:
    examples = [_pair(i) for i in range(9)]
    scores = [(3.0 + 0.01 * i, 1.0 - 0.01 * i) for i in range(9)]
    scores[0] = (3.0, 2.9)  # one stray answer must not move the centre onto a heap
    calibration, by = calibrate(examples, scores)
    assert by == BETWEEN
    assert calibration(2.0) == pytest.approx(0.5, abs=0.02)
    assert calibration(3.04) == pytest.approx(0.75, abs=0.03)
    assert calibration(0.96) == pytest.approx(0.25, abs=0.03)


def test_point_wise_rewards_are_chances() -> None:
    examples = [_labelled(i, i % 4 != 0) for i in range(400)]
    scores = [(5.0 if i % 8 != 0 else 4.0,) for i in range(400)]
    calibration, by = calibrate(examples, scores)
    assert by == PLATT
    # Of the responses scored 5, 6 in 7 are safe; of those scored 4, none.
    assert calibration(5.0) == pytest.approx(6 / 7, abs=0.01)
    assert calibration(4.0) == pytest.approx(0.0, abs=0.02)


def test_a_score_that_falls_with_safety_is_spread_by_quartiles_and_warned_of() -> None:
    examples = [_labelled(i, i % 2 == 0) for i in range(100)]
    scores = [(-1.0 if i % 2 == 0 else 1.0,) for i in range(100)]
    calibration, by = calibrate(examples, scores)
    assert by == QUARTILES
    assert calibration(1.0) > calibration(-1.0)
    warnings = warnings_of(held_out_figures(examples, scores), by)
    assert any("Platt" in warning for warning in warnings)
    assert any("not shown to be better" in warning for warning in warnings)


def test_a_sound_model_gives_no_warning() -> None:
    examples = [_pair(i, (5 + i % 2, 5 + i // 2 % 2)) for i in range(100)]
    scores = [(1.0 + 0.001 * (i * 37 % 100), -1.0 - 0.001 * (i * 53 % 100)) for i in range(100)]
    figures = held_out_figures(examples, scores)
    assert warnings_of(figures, BETWEEN) == []
    assert figures["calibration_error"] == pytest.approx(1 - sigmoid(2.1), abs=0.01)


def test_the_length_threshold_is_stated_in_the_warning() -> None:
    examples = [_pair(i, (10 + i % 5, 5)) for i in range(100)]
    scores = [(float(e.lengths[0]), float(e.lengths[1])) for e in examples]
    warnings = warnings_of(held_out_figures(examples, scores), BETWEEN)
    assert any("begins at ±0.3" in warning for warning in warnings)
    assert any("100%" in warning and "balance the lengths" in warning for warning in warnings)
