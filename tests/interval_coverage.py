"""Simulated coverage of the 95 % intervals of `estimate_mean`, for tests and for the table in docs/evaluation.md.

`python tests/interval_coverage.py` prints the table as Markdown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ahalab.evaluation.estimators import ENOUGH_ITEMS, MIDDLE, drawn_items, estimate_mean

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Case:
    """n items of k samples; difficulty is Beta(spread·p, spread·(1 − p)), or p itself where spread is None."""

    n: int
    p: float
    k: int
    spread: float | None

    def draw(self, repetitions: int, seed: int = 0) -> Floats:
        """[repetitions, n] item means."""
        rng = np.random.default_rng([seed, self.n, self.k, round(1000 * self.p)])
        shape = (repetitions, self.n)
        chance = (
            np.full(shape, self.p)
            if self.spread is None
            else rng.beta(self.spread * self.p, self.spread * (1 - self.p), size=shape)
        )
        return rng.binomial(self.k, chance) / self.k


def bootstrap_bounds(data: Floats) -> Floats:
    """[repetitions, 2]: what `bootstrap` finds for each row, by one product for all rows."""
    n = data.shape[1]
    counts = np.stack([np.bincount(places, minlength=n) for places in drawn_items(n)]).astype(np.float64)
    figures = data @ counts.T / n
    return np.quantile(figures, [0.025, 0.975], axis=1).T


@lru_cache(maxsize=100_000)
def _known(items: tuple[float, ...], k: int) -> tuple[float, float]:
    one = estimate_mean(items, k)
    return one.low, one.high


def bounds(case: Case, data: Floats) -> Floats:
    """[repetitions, 2]: what `estimate_mean` finds for each row."""
    means = data.mean(axis=1)
    found = np.empty((len(data), 2))
    fractional = ((data > 0.0) & (data < 1.0)).any(axis=1)
    middle = fractional & (means >= MIDDLE[0]) & (means <= MIDDLE[1]) & (case.n >= ENOUGH_ITEMS)
    if middle.any():
        found[middle] = bootstrap_bounds(data[middle])
    for place in np.flatnonzero(~middle):
        found[place] = _known(tuple(sorted(data[place].tolist())), case.k)
    return found


def coverage(
    case: Case, repetitions: int, of: Callable[[Case, Floats], Floats] = bounds
) -> tuple[float, float]:
    """(share of intervals that hold p, their mean width)."""
    found = of(case, case.draw(repetitions))
    inside = (found[:, 0] <= case.p + 1e-12) & (case.p - 1e-12 <= found[:, 1])
    return float(inside.mean()), float((found[:, 1] - found[:, 0]).mean())


MIDDLE_CASES = [
    Case(n, p, k, spread)
    for n in (100, 200, 500)
    for p in (0.1, 0.12, 0.2, 0.5, 0.8, 0.9)
    for k, spread in ((1, None), (4, 1.0), (16, 1.0), (16, 4.0))
]
"""Where coverage must be 93 to 97 %."""

OTHER_CASES = [
    Case(n, p, k, spread)
    for n, ps in (
        (10, (0.02, 0.1, 0.5, 0.9)),
        (30, (0.02, 0.1, 0.5, 0.9)),
        (60, (0.02, 0.1, 0.5, 0.9)),
        (200, (0.005, 0.02, 0.05, 0.98)),
    )
    for p in ps
    for k, spread in ((1, None), (4, 1.0), (16, 1.0), (16, 4.0))
]


def main() -> None:
    for title, cases in (("middle", MIDDLE_CASES), ("else", OTHER_CASES)):
        print(f"### {title}\n\n| n | p | k = 1 | k = 4, U-shaped | k = 16, U-shaped | k = 16, humped |")
        print("|---|---|---|---|---|---|")
        for place in range(0, len(cases), 4):
            cells = [
                coverage(case, 4_000 if title == "middle" else 2_000) for case in cases[place : place + 4]
            ]
            told = " | ".join(f"{100 * inside:.1f} ({width:.3f})" for inside, width in cells)
            print(f"| {cases[place].n} | {cases[place].p:g} | {told} |", flush=True)
        print()


if __name__ == "__main__":
    main()
