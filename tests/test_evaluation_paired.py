"""Paired differences and win rates equal hand-worked numbers."""

from __future__ import annotations

import numpy as np
import pytest

from ahalab.evaluation.estimators import bootstrap
from ahalab.evaluation.paired import paired_difference
from ahalab.evaluation.win_rate import length_controlled, wins


def test_a_difference_is_the_mean_over_the_prompts_that_both_have() -> None:
    ours = {"a": 1.0, "b": 0.5, "c": 1.0, "only ours": 0.0}
    theirs = {"c": 0.5, "b": 1.0, "a": 0.0, "only theirs": 1.0}
    found = paired_difference(ours, theirs, 4)
    assert found is not None
    assert found.value == pytest.approx((1.0 - 0.5 + 0.5) / 3)
    assert (found.n, found.k) == (3, 4)
    assert found == bootstrap([1.0, -0.5, 0.5], 4)


def test_no_shared_prompt_gives_no_difference() -> None:
    assert paired_difference({"a": 1.0}, {"b": 1.0}, 1) is None


def test_pairing_takes_out_what_differs_between_prompts() -> None:
    rng = np.random.default_rng(1)
    easy = rng.random(200)
    ours = {str(i): float(x) + 0.1 for i, x in enumerate(easy)}
    theirs = {str(i): float(x) for i, x in enumerate(easy)}
    found = paired_difference(ours, theirs, 1)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))
    alone = bootstrap(list(ours.values()), 1)
    assert alone.high - alone.low > 0.05


def test_the_interval_of_a_difference_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(300):
        skill = rng.uniform(0.2, 0.8, size=120)
        ours = rng.binomial(2, np.minimum(skill + 0.1, 1.0)) / 2
        theirs = rng.binomial(2, skill) / 2
        found = paired_difference(
            {str(i): float(x) for i, x in enumerate(ours)},
            {str(i): float(x) for i, x in enumerate(theirs)},
            2,
        )
        assert found is not None
        inside += found.low <= 0.1 <= found.high
    assert 0.91 <= inside / 300 <= 0.98


def test_the_win_rate_of_a_prompt_is_over_all_pairs_with_ties_half() -> None:
    ours = {"a": [(1.0, 5), (0.5, 5)], "b": [(0.2, 5)], "c": [(1.0, 1)]}
    theirs = {"a": [(0.5, 5), (0.0, 5)], "b": [(0.2 + 1e-12, 5)], "d": [(0.0, 1)]}
    # a: 1>.5, 1>0, .5=.5, .5>0.
    assert wins(ours, theirs) == {"a": pytest.approx(3.5 / 4), "b": 0.5}


def test_win_rates_of_two_models_add_up_to_one() -> None:
    rng = np.random.default_rng(3)
    ours = {str(i): [(float(rng.integers(3)), 1) for _ in range(2)] for i in range(20)}
    theirs = {str(i): [(float(rng.integers(3)), 1) for _ in range(3)] for i in range(20)}
    there, back = wins(ours, theirs), wins(theirs, ours)
    assert all(there[name] + back[name] == pytest.approx(1.0) for name in there)


def test_at_equal_lengths_the_controlled_rate_is_the_plain_one() -> None:
    ours = {str(i): [(1.0 if i < 15 else 0.0, 9)] for i in range(20)}
    theirs = {str(i): [(0.5, 9)] for i in range(20)}
    found = length_controlled(ours, theirs, 1)
    assert found is not None
    assert found.value == pytest.approx(0.75, abs=1e-6)
    assert found.low < 0.75 < found.high
    assert found.n == 20


def test_a_win_rate_bought_by_length_falls_under_control_and_an_earned_one_stays() -> None:
    rng = np.random.default_rng(4)
    theirs = {str(i): [(0.5, 50)] for i in range(400)}
    by_length, by_merit = {}, {}
    for name in theirs:
        length = int(rng.integers(20, 140))
        by_length[name] = [(1.0 if rng.random() < 1 / (1 + np.exp(-(length - 50) / 10)) else 0.0, length)]
        by_merit[name] = [(1.0 if rng.random() < 0.72 else 0.0, length)]
    for answers, at_most, at_least in ((by_length, 0.58, 0.42), (by_merit, 0.80, 0.64)):
        plain = np.mean(list(wins(answers, theirs).values()))
        found = length_controlled(answers, theirs, 1)
        assert found is not None
        assert plain > 0.64
        assert at_least < found.value < at_most


def _at_two_lengths(longer: tuple[int, int], shorter: tuple[int, int]) -> tuple[dict, dict]:
    """(wins, prompts) where our answer is 10 characters longer, and where it is 10 shorter."""
    ours, theirs = {}, {}
    for length, (won, count) in ((20, longer), (0, shorter)):
        for place in range(count):
            ours[f"{length}-{place}"] = [(1.0 if place < won else 0.0, length)]
            theirs[f"{length}-{place}"] = [(0.5, 10)]
    return ours, theirs


def test_wins_that_length_alone_explains_are_half_at_equal_length() -> None:
    # The longer answer wins 3 of 4 times, whoever wrote it, and ours is longer 3 times in 4.
    ours, theirs = _at_two_lengths((450, 600), (50, 200))
    assert np.mean(list(wins(ours, theirs).values())) == 0.625
    found = length_controlled(ours, theirs, 1)
    assert found is not None
    assert found.value == pytest.approx(0.5, abs=0.005)  # exactly one half without the ridge
    assert found.low < 0.5 < found.high
    assert found.method == "bootstrap"


def test_the_rate_at_equal_length_equals_a_hand_worked_regression() -> None:
    # Two lengths and two coefficients: logits ln 4 at +x and 0 at −x, so ln 4 / 2 = ln 2 in between: 2/3.
    ours, theirs = _at_two_lengths((480, 600), (300, 600))
    found = length_controlled(ours, theirs, 1)
    assert found is not None
    assert found.value == pytest.approx(2 / 3, abs=0.005)


def test_few_prompts_or_a_rate_near_one_have_a_wilson_interval() -> None:
    ours, theirs = _at_two_lengths((10, 10), (10, 10))
    found = length_controlled(ours, theirs, 1)
    assert found is not None
    assert found.method == "wilson"
    assert found.low < 0.9 < found.value <= found.high <= 1.0


def test_a_model_that_always_wins_has_a_finite_rate() -> None:
    names = [str(i) for i in range(12)]
    found = length_controlled({n: [(1.0, 8)] for n in names}, {n: [(0.0, 4)] for n in names}, 1)
    assert found is not None
    assert 0.7 < found.value <= 1.0
    assert length_controlled({"a": [(1.0, 8)]}, {}, 1) is None
