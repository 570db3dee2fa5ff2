"""How well scores rank and how honest their probabilities are: accuracy, AUC, calibration error, length bias."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BINS = 10
"""Bins of the calibration error (Naeini et al. 2015; Guo et al. 2017 use 15; ten suit a few hundred rows)."""


def pair_outcomes(first: Sequence[float], second: Sequence[float]) -> list[float]:
    """For each pair 1 where `first` is larger, 0 where it is smaller, one half for a tie. Raises ValueError for NaN."""
    margins = _finite(first) - _finite(second)
    return [float(0.5 * (np.sign(margin) + 1.0)) for margin in margins]


def area_under_curve(scores: Sequence[float], labels: Sequence[bool]) -> float | None:
    """Chance that a random positive outranks a random negative, ties one half (Mann–Whitney U).

    None where one of the classes is empty. Raises ValueError for another number of labels, or NaN.
    """
    values, positive = _finite(scores), np.asarray(labels, dtype=bool)
    if len(values) != len(positive):
        raise ValueError(f"{len(values)} scores but {len(positive)} labels")
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if n_positive == 0 or n_negative == 0:
        return None
    above = float(_ranks(values)[positive].sum()) - n_positive * (n_positive + 1) / 2
    return above / (n_positive * n_negative)


def expected_calibration_error(
    probabilities: Sequence[float], outcomes: Sequence[float], bins: int = BINS
) -> float | None:
    """Mean over rows of |mean outcome - mean probability| of the row's bin; `bins` of equal width over 0 … 1.

    `outcomes` are 0 … 1 (one half for a tie). None without rows. Raises ValueError for a probability outside
    0 … 1 or another number of outcomes.
    """
    predicted, happened = _finite(probabilities), _finite(outcomes)
    if len(predicted) != len(happened):
        raise ValueError(f"{len(predicted)} probabilities but {len(happened)} outcomes")
    if len(predicted) == 0:
        return None
    if predicted.min() < 0.0 or predicted.max() > 1.0:
        raise ValueError("probabilities must lie in 0 … 1")
    # 1 - 0.8 is a little under 0.2: rounding must not decide the bin.
    where = np.minimum((predicted * bins + 1e-9).astype(np.int64), bins - 1)
    gaps = np.bincount(where, weights=happened - predicted, minlength=bins)
    return float(np.abs(gaps).sum() / len(predicted))


def pair_calibration_error(probabilities: Sequence[float]) -> float | None:
    """Calibration error of P(chosen over rejected), one probability a pair.

    A pair has no natural order, so each counts in both: as p with outcome 1 and as 1 - p with outcome 0.
    """
    both = [*probabilities, *(1.0 - probability for probability in probabilities)]
    return expected_calibration_error(both, [1.0] * len(probabilities) + [0.0] * len(probabilities))


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rank correlation, ties at their mean rank; None where one side is constant or has under 2 rows."""
    x, y = _finite(first), _finite(second)
    if len(x) != len(y):
        raise ValueError(f"{len(x)} values but {len(y)} others")
    if len(x) < 2 or np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        return None
    x, y = _ranks(x), _ranks(y)
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / math.sqrt(float((x * x).sum() * (y * y).sum())))


def _ranks(values: Floats) -> Floats:
    """Ranks from 1, ties at their mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    means: Floats = (last - (counts - 1) / 2.0)[place]
    return means


def _finite(values: Sequence[float]) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if np.isnan(array).any():
        raise ValueError("a score is not a number")
    return array
