"""95 % intervals for where a bootstrap is too short: few items, or nearly all of them right or wrong."""

from __future__ import annotations

import math

NORMAL_QUANTILE = 1.959964
_FEW = (12.7062, 4.3027, 3.1824, 2.7764)
"""97.5 % quantiles of Student's t for 1 to 4 degrees of freedom."""


def student_quantile(degrees: int) -> float:
    """The 97.5 % quantile of Student's t: a table up to 4 degrees of freedom, above it a series in 1/degrees.

    The series (Abramowitz & Stegun 26.7.5) is right to 0.001 from 5 degrees on.

    Raises:
        ValueError: fewer than one degree of freedom.
    """
    if degrees < 1:
        raise ValueError(f"Student's t needs at least 1 degree of freedom, not {degrees}")
    if degrees <= len(_FEW):
        return _FEW[degrees - 1]
    z = NORMAL_QUANTILE
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / degrees ** (power + 1) for power, term in enumerate(terms))


def wilson(share: float, n: float, quantile: float = NORMAL_QUANTILE) -> tuple[float, float]:
    """Wilson's score interval (1927) of a share over `n` items, which need not be whole; within 0 … 1.

    Raises:
        ValueError: a share outside 0 … 1, or no items.
    """
    if not 0.0 <= share <= 1.0 or n <= 0:
        raise ValueError(f"a Wilson interval needs a share from 0 to 1 and items, not {share} over {n}")
    weight = quantile**2 / n
    middle = (share + weight / 2) / (1 + weight)
    half = math.sqrt(share * (1 - share) * weight + weight**2 / 4) / (1 + weight)
    # At 0 and 1 the bound is the share itself, which rounding must not move.
    low = 0.0 if share == 0.0 else max(0.0, middle - half)
    high = 1.0 if share == 1.0 else min(1.0, middle + half)
    return low, high


def effective_items(share: float, variance: float, n: int) -> float:
    """How many items of 0 and 1 would tell as much as `n` items in 0 … 1 of this variance (divided by n).

    share (1 - share) over the variance, times n: n for items of 0 and 1, more for means over several samples. One
    item's worth of a 0/1 variance is added (our choice), so that a few items which happen to agree do not make an
    interval of no width: never more than n (n + 1).
    """
    binary = share * (1.0 - share)
    if binary <= 0.0:
        return float(n)
    return n * binary / ((n * variance + binary) / (n + 1))


def student(mean: float, variance: float, n: int) -> tuple[float, float]:
    """The interval mean ± t √(variance / n), `variance` being divided by n - 1 and t of n - 1 degrees of freedom."""
    half = student_quantile(n - 1) * math.sqrt(variance / n)
    return mean - half, mean + half
