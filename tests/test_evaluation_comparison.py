"""Paired tests equal hand-worked tables, and find a difference that is not there about 5 times in 100."""

from __future__ import annotations

import json
import math
from itertools import product

import numpy as np
import pytest

from ahalab.evaluation.estimators import bootstrap
from ahalab.evaluation.paired import DRAWS, EXACT, MCNEMAR, SAMPLED, compare, mcnemar, sign_flip


def named(values: list[float]) -> dict[str, float]:
    return {str(place): value for place, value in enumerate(values)}


@pytest.mark.parametrize(
    ("wins", "losses", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (5, 0, 2 / 32),
        (0, 6, 2 / 64),
        (8, 2, 2 * (1 + 10 + 45) / 1024),
        (4, 4, 1.0),
        (3, 2, 1.0),
    ],
)
def test_mcnemars_test_equals_hand_worked_tables(wins: int, losses: int, p: float) -> None:
    assert mcnemar(wins, losses) == pytest.approx(p)


def test_mcnemars_test_of_thousands_of_items_is_finite() -> None:
    assert 0.0 <= mcnemar(3_000, 1_000) < 1e-200
    assert mcnemar(2_000, 2_000) == 1.0


def test_right_and_wrong_items_are_compared_by_mcnemars_test() -> None:
    ours = named([1.0] * 8 + [0.0] * 2 + [1.0] * 10)
    theirs = named([0.0] * 8 + [1.0] * 2 + [1.0] * 10)
    found = compare({**ours, "only ours": 1.0}, theirs, 1)
    assert (found.n, found.wins, found.losses, found.ties) == (20, 8, 2, 10)
    assert found.test == MCNEMAR
    assert found.p_value == pytest.approx(112 / 1024)
    assert found.difference.value == pytest.approx(0.3)
    back = compare(theirs, ours, 1)
    assert (back.wins, back.losses, back.p_value) == (2, 8, found.p_value)
    assert (back.difference.low, back.difference.high) == pytest.approx(
        (-found.difference.high, -found.difference.low)
    )
    assert json.loads(json.dumps(found.as_dict()))["difference"]["method"] == "t"


def test_the_sign_flip_test_equals_all_flips_by_hand() -> None:
    # Differences ½, ¼, ¼, −¼: sum ¾. Of 16 flips ±¾ or more is reached by …
    found = compare(named([1.0, 0.5, 0.75, 0.0, 0.5]), named([0.5, 0.25, 0.5, 0.25, 0.5]), 4)
    values = (0.5, 0.25, 0.25, 0.25)
    reached = sum(
        abs(sum(s * v for s, v in zip(signs, values, strict=True))) >= 0.75
        for signs in product((1, -1), repeat=4)
    )
    assert reached == 2 * (1 + 3)  # all alike, or one of the quarters the other way
    assert found.p_value == pytest.approx(8 / 16)
    assert (found.test, found.wins, found.losses, found.ties) == (EXACT, 3, 1, 1)


def test_on_right_and_wrong_items_both_tests_are_one() -> None:
    for wins, losses in ((7, 2), (5, 5), (12, 4)):
        flips, _ = sign_flip(np.array([1.0] * wins + [-1.0] * losses))
        assert flips == pytest.approx(mcnemar(wins, losses))


def test_drawn_flips_come_near_the_exact_test_and_are_always_the_same() -> None:
    differences = np.array([1.0] * 30 + [-1.0] * 16)
    p, test = sign_flip(differences)
    assert test == SAMPLED
    assert p == pytest.approx(mcnemar(30, 16), abs=0.006)
    assert sign_flip(differences)[0] == p
    assert sign_flip(np.full(60, 0.5))[0] == pytest.approx(1 / (DRAWS + 1))


def test_models_that_are_alike_differ_by_nothing_with_an_interval() -> None:
    same = named([0.0, 1.0] * 25)
    found = compare(same, same, 1)
    assert (found.p_value, found.wins, found.losses, found.ties) == (1.0, 0, 0, 50)
    assert found.difference.low < 0.0 == found.difference.value < found.difference.high


def test_the_interval_of_few_items_is_students_with_half_a_win_and_half_a_loss_more() -> None:
    # 2 items, both won: 4 values 1, 1 and the halves: sum 2, squares 3; mean ½, variance (3 − 4/4)/3 = 2/3.
    found = compare(named([1.0, 1.0]), named([0.0, 0.0]), 1).difference
    assert found.low == pytest.approx(0.5 - 3.1824 * math.sqrt(2 / 3 / 4))
    assert (found.value, found.high, found.method) == (1.0, 1.0, "t")


def test_many_items_have_the_bootstrap_interval() -> None:
    rng = np.random.default_rng(5)
    ours, theirs = (named((rng.binomial(4, 0.5, size=150) / 4).tolist()) for _ in range(2))
    found = compare(ours, theirs, 4)
    assert found.difference == bootstrap([ours[one] - theirs[one] for one in ours], 4)


def test_nothing_in_common_and_values_that_are_no_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="no item is in both"):
        compare({"a": 1.0}, {"b": 1.0}, 1)
    for wrong in (2.0, math.nan):
        with pytest.raises(ValueError, match="from 0 to 1"):
            compare({"a": wrong}, {"a": 1.0}, 1)


@pytest.mark.parametrize(("n", "k", "repetitions"), [(16, 4, 1_000), (60, 4, 300), (200, 1, 1_000)])
def test_models_that_are_alike_are_told_apart_5_times_in_100_or_less(
    n: int, k: int, repetitions: int
) -> None:
    rng = np.random.default_rng(6)
    found = 0
    for _ in range(repetitions):
        chance = rng.beta(1.0, 1.0, size=n)
        ours, theirs = rng.binomial(k, chance) / k, rng.binomial(k, chance) / k
        if k == 1:
            p = mcnemar(int((ours > theirs).sum()), int((ours < theirs).sum()))
        else:
            p, _ = sign_flip((ours - theirs)[ours != theirs])
        found += p <= 0.05
    assert 0.02 <= found / repetitions <= 0.07


@pytest.mark.parametrize(("n", "k"), [(20, 1), (60, 4), (150, 1)])
def test_the_interval_of_a_difference_covers_the_truth(n: int, k: int) -> None:
    rng = np.random.default_rng(7)
    inside = 0
    for _ in range(300):
        chance = rng.uniform(0.2, 0.8, size=n)
        ours, theirs = rng.binomial(k, chance + 0.1) / k, rng.binomial(k, chance) / k
        one = compare(named(ours.tolist()), named(theirs.tolist()), k, resamples=500).difference
        inside += one.low <= 0.1 <= one.high
    assert 0.91 <= inside / 300 <= 0.99
