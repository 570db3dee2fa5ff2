"""Curves are what the metrics say: hand-made rows, step 0 in front, nothing invented."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ahalab.analysis.curves import Curve, build_curves, read_curves, share_curve, smoothing_width
from ahalab.analysis.evaluations import Figure, as_figure, figure_ratio, read_figures


def test_first_row_is_step_0_whether_steps_count_from_0_or_1() -> None:
    for first in (0, 1):
        rows = [{"step": first + i, "rollout": i + 1, "accuracy": 0.1 * i} for i in range(3)]
        curve = build_curves(rows).by_name["accuracy"]
        assert curve.steps == (0, 1, 2)
        assert curve.starts_at_step_0


def test_a_lost_step_0_is_not_made_up() -> None:
    curve = build_curves([{"step": 5, "rollout": 5, "accuracy": 0.5}]).by_name["accuracy"]
    assert curve.steps == (5,)
    assert not curve.starts_at_step_0


def test_first_last_ratio_highest_and_end_by_hand() -> None:
    curve = Curve("x", tuple(range(6)), (2.0, 4.0, 9.0, 9.0, 7.0, 8.0))
    assert (curve.first, curve.last, curve.ratio, curve.highest) == (2.0, 8.0, 4.0, (2, 9.0))
    assert curve.end == 8.0  # half of six values: 9, 7, 8
    assert Curve("x", (0,), (0.0,)).ratio is None


def test_missing_and_odd_values_are_absent_not_zero() -> None:
    rows = [
        {"step": 1, "rollout": 1, "kl": None, "accuracy": True, "format": "0.5", "huge": 10**400},
        {"step": 2, "rollout": 2, "kl": 0.25},
    ]
    curves = build_curves(rows)
    assert curves.by_name["kl"] == Curve("kl", (1,), (0.25,))
    assert set(curves.by_name) == {"kl"}


def test_samples_of_a_rollout_with_several_updates_are_one_point_at_its_start() -> None:
    rows = [
        {
            "step": step,
            "rollout": 1 + (step - 1) // 2,
            "accuracy": 0.1 * step,
            "kl": 0.01 * step,
            "groups": 4,
            "effective_groups": 3,
            "generated_tokens": 100,
            "words": {"wait": 1.0} if step % 2 else {},
        }
        for step in range(1, 5)
    ]
    curves = build_curves(rows)
    assert curves.by_name["accuracy"].steps == (0, 2)
    assert curves.by_name["accuracy"].values == pytest.approx((0.15, 0.35))
    assert curves.by_name["kl"].steps == (0, 1, 2, 3)
    assert curves.words["wait"] == Curve("wait", (0, 2), (0.5, 0.5))
    assert curves.rollouts == {1: 0, 2: 2}
    assert curves.totals["groups"] == 8, "a rollout's groups are counted once"
    assert curves.totals["effective_groups"] == 6
    assert curves.totals["generated_tokens"] == 400


def test_a_word_a_step_does_not_list_counts_as_0() -> None:
    rows = [
        {"step": 1, "rollout": 1, "words": {"but": 0.4}},
        {"step": 2, "rollout": 2, "words": {"wait": 0.6}},
        {"step": 3, "rollout": 3},
    ]
    curves = build_curves(rows)
    assert curves.words["wait"] == Curve("wait", (0, 1), (0.0, 0.6))
    assert [curve.name for curve in curves.top_words(1)] == ["wait"]


def test_smoothing_keeps_step_0_and_the_mean_of_its_window() -> None:
    curve = Curve("x", tuple(range(60)), tuple(float(i % 7) for i in range(60)))
    half = smoothing_width(60) // 2
    smooth = curve.smoothed()
    assert smooth.values[0] == curve.values[0]
    assert smooth.values[1] == pytest.approx(sum(curve.values[0:3]) / 3)
    assert smooth.values[30] == pytest.approx(sum(curve.values[30 - half : 31 + half]) / (2 * half + 1))
    assert smooth.values[-1] == pytest.approx(sum(curve.values[-1 - half :]) / (half + 1))
    short = Curve("x", (0, 1), (1.0, 2.0))
    assert short.smoothed() == short


def test_thinning_keeps_both_ends_and_the_mean() -> None:
    curve = Curve("x", tuple(range(10_002)), tuple(float(i) for i in range(10_002)))
    thin = curve.thinned(402)
    assert len(thin) == 402
    assert (thin.first, thin.last, thin.steps[0], thin.steps[-1]) == (0.0, 10_001.0, 0, 10_001)
    assert sum(thin.values[1:-1]) / 400 == pytest.approx(sum(curve.values[1:-1]) / 10_000)


def test_share_curve_divides_where_both_exist() -> None:
    part, whole = Curve("p", (0, 1, 3), (1.0, 2.0, 3.0)), Curve("w", (0, 1, 2), (4.0, 0.0, 5.0))
    assert share_curve("s", part, whole) == Curve("s", (0,), (0.25,))
    assert share_curve("s", None, whole) is None


def test_a_half_written_last_line_is_dropped_and_counted(tmp_path: Path) -> None:
    rows = [json.dumps({"step": step, "rollout": step, "accuracy": 0.5}) for step in (1, 2)]
    (tmp_path / "metrics.jsonl").write_text("\n".join([*rows, '{"step": 3, "acc']))
    curves = read_curves(tmp_path)
    assert (curves.rows, curves.truncated, curves.trouble) == (2, 1, None)


def test_a_broken_line_gives_what_came_before_and_says_where(tmp_path: Path) -> None:
    good = json.dumps({"step": 1, "rollout": 1, "accuracy": 0.5})
    (tmp_path / "metrics.jsonl").write_text(f"{good}\nnot json\n{good}\n")
    curves = read_curves(tmp_path)
    assert curves.rows == 1
    assert curves.trouble is not None
    assert "row 2" in curves.trouble


def test_figures_are_read_bare_or_with_their_interval_and_levels_in_order() -> None:
    figures, levels = read_figures(
        {
            "pass@1": {"value": 0.5, "low": 0.4, "high": 0.6, "n": 10, "k": 4},
            "truncated": 0.1,
            "pass@16": None,
            "settings": {"temperature": 1.0},
            "by_level": {
                "10": {"pass@1": {"value": 0.1}},
                "2": 0.7,
                "1": {"value": 0.9},
                "3": {"pass@1": None},
            },
        }
    )
    assert figures == {"pass@1": Figure(0.5, 0.4, 0.6, 10, 4), "truncated": Figure(0.1)}
    assert [(name, figure.value) for name, figure in levels.items()] == [("1", 0.9), ("2", 0.7), ("10", 0.1)]
    assert as_figure("0.5") is None


def test_a_ratio_over_zero_says_nothing() -> None:
    assert figure_ratio(Figure(0.0), Figure(0.5)) is None
    assert figure_ratio(Figure(0.25), Figure(0.5)) == 2.0
    assert figure_ratio(None, Figure(0.5)) is None
    assert Figure(0.5, 0.4, 0.6).apart_from(Figure(0.55, 0.5, 0.7)) is False
    assert Figure(0.5, 0.4, 0.6).apart_from(Figure(0.8, 0.7, 0.9)) is True


def test_verdicts_become_shares_and_one_that_a_step_lacks_is_0() -> None:
    rows = [
        {"step": 1, "rollout": 1, "verdicts": {"wrong answer": 3, "no program": 1}},
        {"step": 2, "rollout": 2, "verdicts": {"accepted": 1, "wrong answer": 1}},
        {"step": 3, "rollout": 3, "verdicts": {}},
        {"step": 4, "rollout": 4},
        {"step": 5, "rollout": 5, "verdicts": {"accepted": "many", "wrong answer": 2}},
    ]
    curves = build_curves(rows).starting_with("verdicts/")
    assert {name: (curve.steps, curve.values) for name, curve in curves.items()} == {
        "verdicts/accepted": ((0, 1, 4), (0.0, 0.5, 0.0)),
        "verdicts/no program": ((0, 1, 4), (0.25, 0.0, 0.0)),
        "verdicts/wrong answer": ((0, 1, 4), (0.75, 0.5, 1.0)),
    }
