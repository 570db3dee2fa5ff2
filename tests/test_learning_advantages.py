"""Group-relative advantages on hand-made numbers."""

import math

import pytest

from ahalab.learning import group_advantages, has_gradient


def test_std_advantages_divide_by_the_population_deviation_plus_epsilon_with_ddof_0() -> None:
    # mean 0.25, deviations -1/4 -1/4 -1/4 3/4, variance (3/16 + 9/16) / 4 = 3/16
    divisor = math.sqrt(3 / 16) + 1e-4
    assert group_advantages([0, 0, 0, 1], scale="std", ddof=0, epsilon=1e-4) == pytest.approx(
        [-0.25 / divisor] * 3 + [0.75 / divisor], abs=1e-12
    )


def test_std_advantages_divide_by_the_sample_deviation_with_ddof_1() -> None:
    # variance (12/16) / 3 = 1/4, so the deviation is 0.5
    assert group_advantages([0, 0, 0, 1], scale="std", ddof=1, epsilon=0.0) == pytest.approx(
        [-0.5, -0.5, -0.5, 1.5], abs=1e-12
    )


def test_unscaled_advantages_are_the_distance_to_the_mean() -> None:
    assert group_advantages([2.0, 0.0, 1.0, 1.0], scale="none", ddof=0, epsilon=1e-4) == [1.0, -1.0, 0.0, 0.0]


def test_epsilon_is_added_to_the_deviation_not_to_the_variance() -> None:
    assert group_advantages([1.0, -1.0], scale="std", ddof=0, epsilon=1.0) == [0.5, -0.5]


def test_outputs_with_a_grader_error_leave_mean_and_deviation() -> None:
    graded = group_advantages([0.0, 1.0, 1.0], scale="std", ddof=1, epsilon=1e-4)
    with_error = group_advantages([0.0, None, 1.0, 1.0], scale="std", ddof=1, epsilon=1e-4)
    assert with_error == [graded[0], None, graded[1], graded[2]]


@pytest.mark.parametrize("totals", [[], [1.0], [None, 1.0], [None, None]])
def test_a_group_with_fewer_than_two_graded_outputs_is_all_none(totals: list[float | None]) -> None:
    assert group_advantages(totals, scale="std", ddof=0, epsilon=1e-4) == [None] * len(totals)


@pytest.mark.parametrize("epsilon", [0.0, 1e-4])
def test_equal_rewards_give_exact_zeros_whatever_rounding_does(epsilon: float) -> None:
    totals = [0.1, None, *[0.1] * 9]  # 0.1 is no binary fraction: a rounded mean may differ from it
    assert group_advantages(totals, scale="std", ddof=0, epsilon=epsilon) == [0.0, None, *[0.0] * 9]


def test_only_groups_with_a_spread_have_a_gradient() -> None:
    assert has_gradient([0.5, None, -0.5])
    assert not has_gradient([0.0, None, 0.0])
    assert not has_gradient([None, None])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_reward_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        group_advantages([0.0, bad], scale="std", ddof=0, epsilon=1e-4)


def test_an_undefined_deviation_is_refused() -> None:
    with pytest.raises(ValueError, match="ddof"):
        group_advantages([0.0, 1.0], scale="std", ddof=2, epsilon=1e-4)
    with pytest.raises(ValueError, match="epsilon"):
        group_advantages([0.0, 1.0], scale="std", ddof=0, epsilon=-1.0)
