"""Onset of a word: exact tails, hand-made numbers, false alarms and power in simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ahalab.analysis.onset import MOST_BLOCKS, Onset, detect_onset, dispersion, upper_tail

ANSWERS = 64


def rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=seed))


def found(counts: object, answers: float = ANSWERS, tests: int = 1) -> Onset:
    numbers = np.asarray(counts, dtype=float)
    return detect_onset(range(len(numbers)), list(numbers), [answers] * len(numbers), tests=tests)


def drawn(rates: np.ndarray, spread: float, seed: int) -> np.ndarray:
    """Counts of `ANSWERS` answers a step: Poisson, or with `spread` times its variance (negative binomial)."""
    mean = rates * ANSWERS
    if spread == 1:
        return rng(seed).poisson(mean)
    size = mean / (spread - 1)
    return rng(seed).poisson(rng(seed + 10**6).gamma(size, spread - 1))


@pytest.mark.parametrize(
    ("count", "total", "share"), [(1, 1, 0.3), (3, 10, 0.25), (7, 9, 0.5), (40, 100, 0.31), (2, 400, 0.001)]
)
def test_the_tail_is_the_exact_binomial_sum(count: int, total: int, share: float) -> None:
    exact = math.fsum(
        math.comb(total, i) * share**i * (1 - share) ** (total - i) for i in range(count, total + 1)
    )
    assert upper_tail(count, total, share) == pytest.approx(exact, rel=1e-10)


def test_the_tail_at_its_ends() -> None:
    assert upper_tail(0, 10, 0.3) == 1.0
    assert upper_tail(5, 5, 0.5) == pytest.approx(1 / 32)
    assert 1e-200 < upper_tail(1000, 1001, 0.5) < 1e-290 or upper_tail(1000, 1001, 0.5) < 1e-280


def test_dispersion_by_hand() -> None:
    equal = np.array([10.0, 10.0])
    assert dispersion(np.array([2.0, 6.0]), equal) == pytest.approx((6 - 4) ** 2 / (8 * 0.25))
    assert dispersion(np.array([4.0, 4.0]), equal) == 1.0, "never below that of Poisson counts"
    assert dispersion(np.array([0.0, 0.0]), equal) == 1.0
    # 9 occurrences, a third of the exposure first: 6 expected in the second, variance 9 · 2/3 · 1/3 = 2.
    assert dispersion(np.array([0.0, 9.0]), np.array([1.0, 2.0])) == pytest.approx(9 / 2)


def test_an_onset_by_hand() -> None:
    """20 steps of 10 answers: nothing in ten steps, then five a step. Early: steps 0 to 4, which is a quarter."""
    onset = found([0] * 10 + [5] * 10, answers=10)
    assert (onset.step, onset.early, onset.early_until) == (10, 0.0, 4)
    assert onset.after == pytest.approx(0.5)
    assert onset.p is not None
    assert onset.p < 0.01
    assert onset.windows == 20 - 4 - 5 + 1
    # The first window that is significant holds steps 9 to 12, or 8 to 11; the split puts the onset at its 5s.
    assert onset.reason is None


def test_the_p_value_of_a_window_by_hand() -> None:
    """7 steps: early 0 to 2, one window 3 to 6, whose highest step is left out: 15 of 15 in half the exposure."""
    onset = found([0, 0, 0, 5, 5, 5, 5], answers=10)
    # φ: the pairs that hold anything are (0, 5), (5, 5), (5, 5), (5, 5): deviations 2.5² / 1.25, 0, 0, 0.
    assert onset.dispersion == pytest.approx(5 / 4)
    assert onset.p == pytest.approx(0.5 ** (15 / 1.25), rel=1e-9)
    assert onset.step == 3


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        ([0] * 40, "it never occurs: at least 10 are needed"),
        ([0] * 30 + [1] * 4 + [0] * 6, "it occurs 4 times in all: at least 10 are needed"),
        ([5, 5, 5, 9], "too few steps (4): at least 7 are needed"),
        ([], "too few steps (0)"),
        ([20] * 40, "no 4 neighbouring steps exceed the early rate by the test"),
        ([40] * 20 + [5] * 20, "no 4 neighbouring steps"),
        ([2] * 30 + [900] + [2] * 9, "no 4 neighbouring steps"),
    ],
)
def test_without_an_onset_the_reason_is_said(counts: list[int], why: str) -> None:
    onset = found(counts)
    assert onset.step is None
    assert onset.reason is not None
    assert onset.reason.startswith(why)


def test_more_answers_are_no_higher_rate() -> None:
    exposures = [10.0] * 20 + [100.0] * 20
    assert detect_onset(range(40), [3.0] * 20 + [30.0] * 20, exposures).step is None
    assert detect_onset(range(40), [3.0] * 40, [*exposures[20:], *exposures[:20]]).step == 20


def test_steps_without_answers_are_left_out() -> None:
    counts, exposures = [0.0, 1.0] * 10 + [0.0, 9.0] * 10, [0.0, 10.0] * 20
    onset = detect_onset(range(100, 140), counts, exposures)
    assert onset.step == 121


@pytest.mark.parametrize("spread", [1, 3])
@pytest.mark.parametrize("rate", [0.02, 0.3, 3.0])
@pytest.mark.parametrize("steps", [12, 60, 200])
def test_a_flat_rate_hardly_ever_gives_an_alarm(rate: float, steps: int, spread: float) -> None:
    """The promise: 5 % or less, Poisson and overdispersed. 300 runs: 5 % would be 15 ± 4."""
    flat = np.full(steps, rate)
    alarms = sum(found(drawn(flat, spread, 1000 + i)).step is not None for i in range(300))
    assert alarms / 300 <= 0.05


def test_a_flat_rate_of_many_words_hardly_ever_gives_an_alarm_in_any() -> None:
    alarms = 0
    for run in range(60):
        words = [drawn(np.full(60, 0.05 * (1 + word)), 1.5, 50_000 + 100 * run + word) for word in range(12)]
        alarms += any(found(word, tests=12).step is not None for word in words)
    assert alarms / 60 <= 0.05


@pytest.mark.parametrize(("spread", "least"), [(1, 0.95), (3, 0.9)])
def test_a_planted_onset_is_found_where_it_is(spread: float, least: float) -> None:
    """ "wait" from 0.1 to 0.6 per answer at step 60 of 120."""
    rates = np.where(np.arange(120) < 60, 0.1, 0.6)
    steps = [found(drawn(rates, spread, 7_000 + i), tests=10).step for i in range(100)]
    near = [step for step in steps if step is not None and 57 <= step <= 65]
    assert len(near) / len(steps) >= least


def test_wait_after_step_8000_as_in_the_paper() -> None:
    """Nearly absent, then often: 10,000 steps of 64 answers. The onset is that of the rise, to half a per cent."""
    at = np.arange(10_000)
    rates = np.where(at < 8_000, 0.0005, 0.1)
    onset = found(drawn(rates, 1, 3), tests=10)
    assert onset.step is not None
    assert abs(onset.step - 8_000) <= 2 * 10_000 // MOST_BLOCKS
    assert onset.early is not None
    assert onset.after is not None
    assert onset.early < 0.002 < 0.05 < onset.after
