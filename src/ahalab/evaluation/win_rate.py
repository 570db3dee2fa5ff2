"""How often one model's answers are judged better than a reference model's answers to the same prompts.

The judge is the world's rule score of helpfulness. The paper uses AlpacaEval 2.0 and Arena-Hard with GPT-4-Turbo.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ahalab.evaluation.estimators import ENOUGH_ITEMS, MIDDLE, RESAMPLES, Estimate, drawn_items
from ahalab.evaluation.intervals import wilson

Answers = Mapping[str, Sequence[tuple[float, int]]]
"""Prompt id → (rule score, characters of the answer) of each graded sample."""

LEVEL = 1e-9
"""Scores nearer than this are a tie."""
PENALTY = 1.0
"""Ridge penalty on the effect of length, in pairs' worth of evidence (our choice): keeps it finite."""
STEPS = 25
CLOSE = 1e-9
"""Newton's steps end when none is larger than this."""
MOST_RESAMPLES = 500
"""For this interval (our choice): each resample is a fit of its own."""
LARGEST_LOGIT = 15.0
SLICE = 256
"""Resamples fitted side by side: bounds the memory, and changes no result."""


def wins(ours: Answers, theirs: Answers) -> dict[str, float]:
    """Prompt id → share of all pairs (one of our samples, one of theirs) that ours win; a tie is half a win."""
    return {
        prompt_id: sum(_win(mine - other) for mine, _ in answers for other, _ in theirs[prompt_id])
        / (len(answers) * len(theirs[prompt_id]))
        for prompt_id, answers in ours.items()
        if answers and theirs.get(prompt_id)
    }


def length_controlled(ours: Answers, theirs: Answers, k: int, resamples: int = RESAMPLES) -> Estimate | None:
    """The win rate expected of answers of equal length; None with no prompt in both.

    A logistic regression of the outcome (1, ½, 0) on the tanh of the standardised difference of lengths, read off
    at difference 0: AlpacaEval 2.0's idea (Dubois et al. 2024) without its terms for single instructions. Prompts
    are resampled, at most `MOST_RESAMPLES` times; of fewer than 100 prompts, or for a rate beyond 0.1 … 0.9, the
    interval is Wilson's over as many prompts as the resamples' variance is worth. Where the lengths always differ by
    the same, length and quality cannot be told apart, and the plain rate comes back.
    """
    shared = [name for name, answers in ours.items() if answers and theirs.get(name)]
    if not shared:
        return None
    pairs = [
        (place, _win(mine - other), float(length - their_length))
        for place, name in enumerate(shared)
        for mine, length in ours[name]
        for other, their_length in theirs[name]
    ]
    owner = np.asarray([place for place, _, _ in pairs])
    outcome = np.asarray([won for _, won, _ in pairs])
    difference = np.asarray([longer for _, _, longer in pairs])
    # Each prompt counts once, however many pairs it has.
    share = 1.0 / np.bincount(owner)[owner]
    spread = float(np.sqrt(np.mean(difference**2))) or 1.0
    length = np.tanh(difference / spread)
    drawn = drawn_items(len(shared), min(resamples, MOST_RESAMPLES))
    counts = np.stack([np.bincount(places, minlength=len(shared)) for places in drawn])
    counts = np.vstack([np.ones((1, len(shared)), dtype=counts.dtype), counts])
    rates = np.concatenate(
        [
            _at_equal_length(outcome, length, counts[start : start + SLICE, owner] * share)
            for start in range(0, len(counts), SLICE)
        ]
    )
    return _estimate(float(rates[0]), rates[1:], len(shared), k)


def _estimate(rate: float, resampled: NDArray[np.float64], n: int, k: int) -> Estimate:
    if n >= ENOUGH_ITEMS and MIDDLE[0] <= rate <= MIDDLE[1]:
        low, high = np.quantile(resampled, [0.025, 0.975])
        return Estimate(rate, float(low), float(high), n, k)
    # Resamples of wins only do not vary: then as for n plain wins, never narrower.
    variance = max(float(resampled.var()), rate * (1.0 - rate) / n, 1e-12)
    return Estimate(rate, *wilson(rate, max(rate * (1.0 - rate) / variance, 1.0)), n, k, "wilson")


def _win(difference: float) -> float:
    return 0.5 if abs(difference) <= LEVEL else float(difference > 0)


def _at_equal_length(
    outcome: NDArray[np.float64], length: NDArray[np.float64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Fit each row of `weights` [R, pairs] by Newton's method; returns [R] win rates at length difference 0."""
    constant = np.zeros(len(weights))
    slope = np.zeros(len(weights))
    for _ in range(STEPS):
        logit = np.clip(constant[:, None] + slope[:, None] * length, -LARGEST_LOGIT, LARGEST_LOGIT)
        chance = 1.0 / (1.0 + np.exp(-logit))
        missed = weights * (outcome - chance)
        curved = weights * chance * (1.0 - chance)
        gradient = missed.sum(axis=1)
        slope_gradient = (missed * length).sum(axis=1) - PENALTY * slope
        a = curved.sum(axis=1) + 1e-9
        b = (curved * length).sum(axis=1)
        c = (curved * length**2).sum(axis=1) + PENALTY
        determinant = a * c - b * b
        # Short steps: a sample in which one side always wins has no finite solution.
        up = np.clip((c * gradient - b * slope_gradient) / determinant, -2.0, 2.0)
        constant = np.clip(constant + up, -LARGEST_LOGIT, LARGEST_LOGIT)
        along = np.clip((a * slope_gradient - b * gradient) / determinant, -2.0, 2.0)
        slope = slope + along
        if max(np.abs(up).max(), np.abs(along).max()) < CLOSE:
            break
    rates: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-constant))
    return rates
