"""Estimators of the evaluation protocol: pass@1 over k samples, unbiased pass@k, bootstrap intervals over items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval, the number of items n and samples per item k."""

    value: float
    low: float
    high: float
    n: int
    k: int

    def as_dict(self) -> dict[str, float | int]:
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
