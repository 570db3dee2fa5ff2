"""From a reward model's raw score to a figure in 0 … 1 that keeps its order: fixed once, before RL (our choice).

The paper does not say how the model's output is scaled beside the 0/1 rule rewards.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LogisticMap:
    """`1 / (1 + exp(-(slope * score + intercept)))`: a score as a figure in 0 … 1, rising with the score."""

    slope: float
    """Above 0, so that the order of scores is kept."""
    intercept: float

    def __post_init__(self) -> None:
        if not (self.slope > 0.0 and math.isfinite(self.slope) and math.isfinite(self.intercept)):
            raise ValueError(f"slope must be above 0 and both finite: {self.slope}, {self.intercept}")

    def __call__(self, score: float) -> float:
        return sigmoid(self.slope * score + self.intercept)


def sigmoid(value: float) -> float:
    """The logistic function; exact at both infinities, and no overflow on the way."""
    if value >= 0.0:
        return 1.0 / (1.0 + math.exp(-value))
    small = math.exp(value)
    return small / (1.0 + small)


def quartile_map(scores: Sequence[float], centre: float | None = None) -> LogisticMap:
    """The map that sends `centre` (by default the median) to 0.5, in units of half the quartiles' distance over ln 3.

    For scores that lie evenly around their centre the middle half thus falls on 0.25 … 0.75. Our choice. Where the
    quartiles coincide their place is taken by the standard deviation, and by 1 where that is 0 too.
    Raises ValueError without scores.
    """
    values = np.asarray(scores, dtype=np.float64)
    if len(values) == 0:
        raise ValueError("a map needs at least one score")
    low, median, high = (float(value) for value in np.quantile(values, [0.25, 0.5, 0.75]))
    scale = (high - low) / (2.0 * math.log(3.0)) or float(values.std()) or 1.0
    return LogisticMap(1.0 / scale, -(median if centre is None else centre) / scale)


def platt_map(scores: Sequence[float], labels: Sequence[bool]) -> LogisticMap | None:
    """Platt scaling (Platt 1999): the logistic regression of the labels on the score, with his smoothed targets.

    Newton's method with step halving in float64, as Lin, Lin and Weng (2007). None where no rising map fits: one
    class is missing, the scores are constant, or higher scores go with fewer positives.
    """
    values, positive = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=bool)
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if n_positive == 0 or n_negative == 0 or np.ptp(values) == 0.0:
        return None
    target = np.where(positive, (n_positive + 1.0) / (n_positive + 2.0), 1.0 / (n_negative + 2.0))
    # Standardised, so that one size of steps and one tolerance fit every score's scale.
    centre, spread = float(values.mean()), float(values.std())
    x = np.stack(((values - centre) / spread, np.ones(len(values))))
    weights = np.array([0.0, math.log((n_positive + 1.0) / (n_negative + 1.0))])
    loss = _platt_loss(weights, x, target)
    for _ in range(100):
        chance = _sigmoids(weights @ x)
        gradient = x @ (chance - target)
        if float(np.abs(gradient).max()) < 1e-9:
            break
        curvature = (x * (chance * (1.0 - chance))) @ x.T + 1e-12 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while size > 1e-10 and _platt_loss(weights - size * step, x, target) > loss:
            size /= 2.0
        weights = weights - size * step
        loss = _platt_loss(weights, x, target)
    slope = float(weights[0]) / spread
    return LogisticMap(slope, float(weights[1]) - slope * centre) if slope > 0.0 else None


def _platt_loss(weights: Floats, x: Floats, target: Floats) -> float:
    logits = weights @ x
    return float((np.logaddexp(0.0, logits) - target * logits).sum())


def _sigmoids(logits: Floats) -> Floats:
    return np.exp(-np.logaddexp(0.0, -logits))
