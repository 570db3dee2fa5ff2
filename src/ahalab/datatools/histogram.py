"""Counts of sizes from which any percentile can be read: constant memory, a known error."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

EXACT_BELOW = 64
GROWTH = 1.02
ERROR = (GROWTH - 1) / 2
"""Largest relative error of a percentile from `EXACT_BELOW` up: half a bin. Smaller sizes are exact. Our choice."""


class Histogram:
    """Whole numbers from 0 up, counted in bins that grow by 2 %: about 1,100 bins up to a thousand million."""

    def __init__(self) -> None:
        self._bins: Counter[int] = Counter()
        self.count = self.total = self.largest = 0
        self.smallest: int | None = None

    def add(self, size: int) -> None:
        """Count one. ValueError below 0."""
        if size < 0:
            raise ValueError(f"a size is at least 0, not {size}")
        self.count += 1
        self.total += size
        self.largest = max(self.largest, size)
        self.smallest = size if self.smallest is None else min(self.smallest, size)
        self._bins[_bin(size)] += 1

    @property
    def mean(self) -> float:
        """0 without any."""
        return self.total / self.count if self.count else 0.0

    def percentile(self, share: float) -> float:
        """The size that `share` (0 to 1) of all are at most: exact below `EXACT_BELOW`, else within `ERROR` of it.

        0 without any.
        """
        if not self.count:
            return 0.0
        wanted = max(1, math.ceil(share * self.count))
        seen = 0
        for number in sorted(self._bins):
            seen += self._bins[number]
            if seen >= wanted:
                assert self.smallest is not None
                return min(max(_middle(number), float(self.smallest)), float(self.largest))
        return float(self.largest)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able: what a table shows of it."""
        return {
            "count": self.count,
            "mean": round(self.mean, 3),
            "smallest": self.smallest,
            **{
                f"p{100 * share:g}": round(self.percentile(share), 1)
                for share in (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
            },
            "largest": self.largest,
        }


def _bin(size: int) -> int:
    if size < EXACT_BELOW:
        return size
    return EXACT_BELOW + int(math.log(size / EXACT_BELOW) / math.log(GROWTH))


def _middle(number: int) -> float:
    if number < EXACT_BELOW:
        return float(number)
    low = EXACT_BELOW * GROWTH ** (number - EXACT_BELOW)
    return low * (1 + GROWTH) / 2
