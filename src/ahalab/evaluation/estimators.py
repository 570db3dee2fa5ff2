"""Estimators of the evaluation protocol: pass@1 over k samples, unbiased pass@k, 95 % intervals over items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ahalab.evaluation.intervals import (
    effective_items,
    student,
    student_quantile,
    wilson,
)

RESAMPLES = 2000
ENOUGH_ITEMS = 100
"""Items from which a bootstrap's interval covers as it should, and …"""
MIDDLE = (0.1, 0.9)
"""… the shares between which it does; docs/evaluation.md has the simulation."""
RARE = 5.0
"""Items' worth of right (or wrong) ones below which the spread between items cannot be told (our choice)."""

Method = Literal["bootstrap", "wilson", "t"]
"""How an interval was made: percentile bootstrap over items, Wilson's score interval, Student's t."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval, the number of items n and samples per item k."""

    value: float
    low: float
    high: float
    n: int
    k: int
    method: Method = "bootstrap"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def pass_at_k(n_samples: int, n_correct: int, k: int) -> float:
    """Unbiased pass@k of one item: 1 − C(n−c, k) / C(n, k) (Chen et al. 2021).

    Raises:
        ValueError: fewer samples than k.
    """
    if k > n_samples:
        raise ValueError(f"pass@{k} needs at least {k} samples per item, got {n_samples}")
    if n_samples - n_correct < k:
        return 1.0
    return 1.0 - math.comb(n_samples - n_correct, k) / math.comb(n_samples, k)


def estimate_mean(
    items: Sequence[float], k: int, *, share: bool = True, resamples: int = RESAMPLES
) -> Estimate:
    """Mean of per-item values, one an item, with the 95 % interval that suits them (our rule, simulated in the docs).

    - Shares that are all 0 or 1: Wilson's interval. A bootstrap of them, whose resamples can only fall on n + 1 values,
      covers 91.9 to 97.6 % where Wilson's covers 93.3 to 96.4 % (n from 100, shares 0.1 to 0.9; worked out exactly).
    - Other shares (means over k samples): `bootstrap` over items from 100 items on, for a mean from 0.1 to 0.9. Else
      Wilson's interval over the number of `effective_items`, with Student's t for the normal quantile, since their
      variance is estimated; where less than 5 items' worth is right, or wrong, over n as if all were 0 or 1.
    - Amounts (`share=False`: tokens, counts): `bootstrap` from 100 items on, else Student's t. One item alone tells
      no spread: low and high are its value.

    Raises:
        ValueError: no items, or a share outside 0 … 1.
    """
    if not items:
        raise ValueError("an estimate needs at least one item")
    n = len(items)
    values = np.asarray(items, dtype=np.float64)
    mean = float(values.sum() / n)
    if not share:
        if n >= ENOUGH_ITEMS or n == 1:
            return bootstrap(items, k, resamples=resamples)
        return Estimate(mean, *student(mean, float(values.var(ddof=1)), n), n, k, "t")
    if values.min() < 0.0 or values.max() > 1.0 or np.isnan(values).any():
        raise ValueError("a share is a mean of values from 0 to 1; use share=False for others")
    binary = bool(np.isin(values, (0.0, 1.0)).all())
    if not binary and n >= ENOUGH_ITEMS and MIDDLE[0] <= mean <= MIDDLE[1]:
        return bootstrap(items, k, resamples=resamples)
    if binary or n == 1 or n * min(mean, 1.0 - mean) < RARE:
        return Estimate(mean, *wilson(mean, n), n, k, "wilson")
    effective = effective_items(mean, float(values.var()), n)
    return Estimate(mean, *wilson(mean, effective, student_quantile(n - 1)), n, k, "wilson")


def drawn_items(n: int, resamples: int = RESAMPLES) -> NDArray[np.int64]:
    """[resamples, n] places of the items of each resample: the same for every figure of n items."""
    rng = np.random.Generator(np.random.Philox(key=12345))
    return rng.integers(0, n, size=(resamples, n))


def bootstrap(
    items: Sequence[float], k: int, denominators: Sequence[float] | None = None, resamples: int = RESAMPLES
) -> Estimate:
    """Mean of per-item values with a 95 % percentile bootstrap interval. Items are resampled, never samples.

    With `denominators` (one an item) the figure is the sum of the items over the sum of the denominators. The
    resampling is fixed: the same items give the same interval. 2,000 resamples (our choice).

    Raises:
        ValueError: no items, or another number of denominators.
    """
    if not items:
        raise ValueError("a bootstrap needs at least one item")
    values = np.asarray(items, dtype=np.float64)
    weights = np.ones(len(values)) if denominators is None else np.asarray(denominators, dtype=np.float64)
    if len(weights) != len(values):
        raise ValueError(f"{len(values)} items but {len(weights)} denominators")
    drawn = drawn_items(len(values), resamples)
    figures = values[drawn].sum(axis=1) / weights[drawn].sum(axis=1)
    low, high = np.quantile(figures, [0.025, 0.975])
    return Estimate(float(values.sum() / weights.sum()), float(low), float(high), len(values), k)
