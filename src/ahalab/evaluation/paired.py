"""Two evaluations of the same prompts compared prompt by prompt: what differs between prompts cancels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ahalab.evaluation.estimators import ENOUGH_ITEMS, RESAMPLES, Estimate, bootstrap
from ahalab.evaluation.intervals import student

EXACT_ITEMS = 20
"""Differing items up to which all sign flips are gone through: a million sums."""
DRAWS = 20_000
"""Random sign flips beyond that (our choice): p = 0.05 is then known to ± 0.003."""
SLICE = 1_000
"""Flips drawn at a time: bounds the memory."""
FEWEST_DIFFERING = 10
"""Differing items below which a bootstrap's interval is too short (our choice, simulated in the docs)."""
EQUAL = 1e-9
"""Differences smaller than this are a tie."""

MCNEMAR = "McNemar's exact test"
EXACT = "exact sign-flip test"
SAMPLED = f"sign-flip test, {DRAWS:,} draws"


@dataclass(frozen=True, slots=True)
class Comparison:
    """How one model's items compare with another's: `wins` are items on which ours is the better."""

    difference: Estimate
    """Mean of ours less theirs, with its 95 % interval."""
    n: int
    wins: int
    losses: int
    ties: int
    p_value: float
    """Two-sided: how often a difference as large would come about if the two were alike on every item."""
    test: str
    """Which test `p_value` is of."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def paired_difference(
    ours: Mapping[str, float], theirs: Mapping[str, float], k: int, resamples: int = RESAMPLES
) -> Estimate | None:
    """Mean of `ours[id] - theirs[id]` with a 95 % percentile bootstrap interval; None with no prompt in both.

    Prompts are resampled as pairs, by the fixed draws of `estimators.bootstrap`. A prompt that only one of the two
    could be measured on (a grader that failed, a thinking without words) is left out; `n` says how many were not.
    """
    shared = [prompt_id for prompt_id in ours if prompt_id in theirs]
    if not shared:
        return None
    return bootstrap([ours[one] - theirs[one] for one in shared], k, resamples=resamples)


def compare(
    ours: Mapping[str, float], theirs: Mapping[str, float], k: int, *, resamples: int = RESAMPLES
) -> Comparison:
    """Difference and paired test over the items that both have, each a share: the item's mean over its k samples.

    The test flips the sign of each item's difference: were the two models alike, ours could as well have been
    theirs. All flips are counted for up to 20 items that differ, else 20,000 are drawn, the same ones every time.
    Where every value is 0 or 1 this is McNemar's exact test, and is counted as that. The paper marks what a t-test
    finds at p < 0.01; a sign-flip test asks for no normal distribution.

    Raises:
        ValueError: no item in both, or a value outside 0 … 1.
    """
    shared = [item for item in ours if item in theirs]
    if not shared:
        raise ValueError("nothing to compare: no item is in both")
    first = np.asarray([ours[item] for item in shared], dtype=np.float64)
    second = np.asarray([theirs[item] for item in shared], dtype=np.float64)
    both = np.concatenate([first, second])
    if not bool(((both >= 0.0) & (both <= 1.0)).all()):
        raise ValueError("items are compared by shares from 0 to 1")
    differences = first - second
    differences[np.abs(differences) < EQUAL] = 0.0
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    if bool(np.isin(both, (0.0, 1.0)).all()):
        p_value, test = mcnemar(wins, losses), MCNEMAR
    else:
        p_value, test = sign_flip(differences[differences != 0.0])
    estimate = _difference(differences, k, resamples)
    return Comparison(estimate, len(shared), wins, losses, len(shared) - wins - losses, p_value, test)


def mcnemar(wins: int, losses: int) -> float:
    """Two-sided exact p-value: `wins` of the items that differ, against a fair coin. 1.0 where none differs."""
    n, fewer = wins + losses, min(wins, losses)
    ways, total = 1, 0
    for count in range(fewer + 1):
        total += ways
        ways = ways * (n - count) // (count + 1)
    p_value: float = 2 * total / (1 << n)
    return min(1.0, p_value)


def sign_flip(differences: NDArray[np.float64]) -> tuple[float, str]:
    """Two-sided p-value of differences that are not 0, and which test it is of."""
    reached = abs(float(differences.sum())) - EQUAL
    if len(differences) <= EXACT_ITEMS:
        sums = np.zeros(1)
        for one in differences:
            sums = np.concatenate([sums + one, sums - one])
        return float((np.abs(sums) >= reached).mean()), EXACT
    rng = np.random.Generator(np.random.Philox(key=67890))
    total = float(differences.sum())
    as_large = 0
    for _ in range(DRAWS // SLICE):
        flipped = rng.integers(0, 2, size=(SLICE, len(differences)), dtype=np.int8)
        as_large += int((np.abs(total - 2.0 * (flipped @ differences)) >= reached).sum())
    # The data themselves are one of the flips: p is never 0, and the test never finds too much.
    return (1 + as_large) / (1 + DRAWS), SAMPLED


def _difference(differences: NDArray[np.float64], k: int, resamples: int) -> Estimate:
    """By bootstrap where enough items are there and differ; else by Student's t with half a win and half a loss more.

    The two halves (Agresti & Min 2005, for 0/1 items) keep items that all agree from an interval of no width.
    """
    n = len(differences)
    if n >= ENOUGH_ITEMS and int((differences != 0.0).sum()) >= FEWEST_DIFFERING:
        return bootstrap(differences.tolist(), k, resamples=resamples)
    size = n + 2
    middle = float(differences.sum()) / size
    squares = float((differences**2).sum()) + 1.0
    low, high = student(middle, (squares - size * middle**2) / (size - 1), size)
    return Estimate(float(differences.mean()), max(-1.0, low), min(1.0, high), n, k, "t")
