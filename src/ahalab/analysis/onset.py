"""From which step on a word is used more than at first, by a stated test (the paper sees "wait" after step 8,000).

The paper shows it in a drawing (figure 9b) and gives no test; all that follows is our choice.

* Counts c and exposures n (answers, or thousands of tokens) of the steps. More than `MOST_BLOCKS` steps are first
  pooled into equal blocks of neighbours.
* The early rate is that of the first tenth of the steps, at least 3; where it holds fewer than `ENOUGH` occurrences it
  grows, to a quarter of the steps at most.
* Every later window of a twentieth of the steps, at least 4, is compared with it, without the window's highest step: a
  single step of "wait wait wait" is no onset. Given the occurrences of both parts together, those of the window are
  binomial with the share of its exposure; the tail is one-sided. This is exact for Poisson counts also where the word
  never occurs at first.
* Steps vary more than Poisson counts do. The factor φ is the mean, over neighbouring steps, of the squared deviation of
  the second count from its expected share over its binomial variance: 1 for Poisson counts whatever the rate, hardly
  touched by a trend, and never taken below 1. Occurrences are divided by it before the tail is taken. All steps give
  it, not the early ones alone: under a flat rate they all say the same, and three steps say next to nothing.
* p is multiplied by the number of windows and, where several words are tested, by their number (Bonferroni).
* The first window with p ≤ 0.05, after which the rate stays above the early one to the end as a whole, has the onset
  in it: at the step that splits it best into the early rate before and a higher one after (greatest likelihood).

Windows are tested whole, so the excess has to last for a window. Simulated in `tests/test_analysis_onset.py`: a flat
rate gives an alarm in fewer than 5 % of runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ALPHA = 0.05
MOST_BLOCKS = 500
ENOUGH = 20
"""Occurrences that make an early rate."""
LEAST_OCCURRENCES = 10
"""A word with fewer in the whole run is not tested."""
LEAST_EARLY = 3
LEAST_WINDOW = 4
_TINY = 1e-300


@dataclass(frozen=True, slots=True)
class Onset:
    """The answer for one word. Rates are per exposure: per answer, or per 1,000 tokens."""

    step: int | None
    """The step from which the rate is higher; None where the test finds none."""
    early: float | None
    """Rate of the early steps; None without any."""
    after: float | None
    """Rate from the onset to the end; without an onset, of all steps after the early ones."""
    p: float | None
    """Corrected p-value of the window with the onset, or the smallest one; None where nothing was tested."""
    reason: str | None
    """Why there is none."""
    early_until: int | None = None
    """Last step of the early ones."""
    dispersion: float = 1.0
    """φ: how many times the variance of Poisson counts."""
    windows: int = 0
    """Windows tested."""


def detect_onset(
    steps: Sequence[int], counts: Sequence[float], exposures: Sequence[float], *, tests: int = 1
) -> Onset:
    """The onset of one word. `counts[i]` occurrences in `exposures[i]` at `steps[i]`, rising; [S] each.

    Steps without exposure are left out. `tests` is the number of words tested together.
    """
    first, c, n = _pooled(steps, counts, exposures)
    size = len(c)
    early = _early_steps(c)
    width = max(LEAST_WINDOW, math.ceil(size / 20))
    if size < early + width:
        return _none(f"too few steps ({size}): at least {LEAST_EARLY + LEAST_WINDOW} are needed")
    rate = float(c[:early].sum() / n[:early].sum())
    later = float(c[early:].sum() / n[early:].sum())
    until = _last_step(steps, exposures, first[early])
    if c.sum() < LEAST_OCCURRENCES:
        seen = f"it occurs {c.sum():.0f} times in all" if c.sum() else "it never occurs"
        return Onset(None, rate, later, None, f"{seen}: at least {LEAST_OCCURRENCES} are needed", until)
    spread = dispersion(c, n)
    starts = range(early, size - width + 1)
    factor = len(starts) * tests
    smallest = 1.0
    for start in starts:
        p = min(1.0, factor * _window_p(c, n, early, start, width, spread))
        smallest = min(smallest, p)
        after = float(c[start:].sum() / n[start:].sum())
        if p <= ALPHA and after > rate:
            at = _split(c, n, early, start, width)
            after = float(c[at:].sum() / n[at:].sum())
            return Onset(int(first[at]), rate, after, p, None, until, spread, len(starts))
    reason = f"no {width} neighbouring steps exceed the early rate by the test (smallest p {smallest:.2g})"
    if size == MOST_BLOCKS:
        reason = reason.replace("steps", "blocks of steps")
    return Onset(None, rate, later, smallest, reason, until, spread, len(starts))


def dispersion(counts: NDArray[np.float64], exposures: NDArray[np.float64]) -> float:
    """φ from neighbouring steps, at least 1; pairs without an occurrence say nothing. 1 without such pairs."""
    both = counts[:-1] + counts[1:]
    share = exposures[1:] / (exposures[:-1] + exposures[1:])
    said = both > 0
    if not said.any():
        return 1.0
    off = (counts[1:] - both * share)[said] ** 2
    return max(1.0, float(np.mean(off / (both * share * (1 - share))[said])))


def upper_tail(count: float, total: float, share: float) -> float:
    """P(X ≥ count) of a binomial with `total` trials and chance `share`; also between whole numbers.

    The regularised incomplete beta function I_share(count, total − count + 1).
    """
    if count <= 0:
        return 1.0
    return 1.0 if count > total + 1 else _incomplete_beta(count, total - count + 1, share)


def _pooled(
    steps: Sequence[int], counts: Sequence[float], exposures: Sequence[float]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """(first step, occurrences, exposure) of every step, or of every block where there are too many steps."""
    n = np.asarray(exposures, dtype=np.float64)
    kept = n > 0
    s, c, n = np.asarray(steps, dtype=np.int64)[kept], np.asarray(counts, dtype=np.float64)[kept], n[kept]
    if len(s) <= MOST_BLOCKS:
        return s, c, n
    starts = np.arange(MOST_BLOCKS) * len(s) // MOST_BLOCKS
    return s[starts], np.add.reduceat(c, starts), np.add.reduceat(n, starts)


def _early_steps(counts: NDArray[np.float64]) -> int:
    size = len(counts)
    early = max(LEAST_EARLY, math.ceil(size / 10))
    while early < size // 4 and counts[:early].sum() < ENOUGH:
        early += 1
    return early


def _last_step(steps: Sequence[int], exposures: Sequence[float], beyond: int) -> int:
    """The last step with exposure before step `beyond`."""
    return max(step for step, n in zip(steps, exposures, strict=True) if n > 0 and step < beyond)


def _window_p(
    c: NDArray[np.float64], n: NDArray[np.float64], early: int, start: int, width: int, spread: float
) -> float:
    """p of one window against the early steps, the window's highest step left out."""
    inside, exposed = c[start : start + width], n[start : start + width]
    top = int(np.argmax(inside / exposed))
    count, exposure = float(inside.sum() - inside[top]), float(exposed.sum() - exposed[top])
    before, exposed_before = float(c[:early].sum()), float(n[:early].sum())
    if count * exposed_before <= before * exposure:
        return 1.0
    share = exposure / (exposure + exposed_before)
    return upper_tail(count / spread, (count + before) / spread, share)


def _split(c: NDArray[np.float64], n: NDArray[np.float64], early: int, start: int, width: int) -> int:
    """The step of the window from which a higher rate explains its counts best, the early rate before it."""
    low = (float(c[:early].sum()) + 0.5) / float(n[:early].sum())
    best, gained = start, -math.inf
    for at in range(start, start + width):
        count, exposure = float(c[at : start + width].sum()), float(n[at : start + width].sum())
        high = count / exposure
        if high <= low:
            continue
        gain = count * math.log(high / low) - (high - low) * exposure
        if gain > gained:
            best, gained = at, gain
    return best


def _none(reason: str) -> Onset:
    return Onset(None, None, None, None, reason)


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """I_x(a, b) by its continued fraction (Abramowitz and Stegun 26.5.8), evaluated by Lentz's method."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _incomplete_beta(b, a, 1 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    d = 1 / _away_from_zero(1 - (a + b) * x / (a + 1))
    c, value = 1.0, d
    for i in range(1, 10_000):
        even = i * (b - i) * x / ((a + 2 * i - 1) * (a + 2 * i))
        odd = -(a + i) * (a + b + i) * x / ((a + 2 * i) * (a + 2 * i + 1))
        for term in (even, odd):
            d = 1 / _away_from_zero(1 + term * d)
            c = _away_from_zero(1 + term / c)
            value *= d * c
        if abs(d * c - 1) < 1e-14:
            break
    return min(1.0, math.exp(log_front) * value / a)


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
