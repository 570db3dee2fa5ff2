"""A share of items with the interval that suits it: Wilson's, over as many items as the clusters are worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ahalab.evaluation.intervals import NORMAL_QUANTILE, effective_items, student_quantile, wilson


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` of `n` items, as a share with its 95 % interval."""

    count: int
    n: int
    value: float
    low: float
    high: float
    effective: float
    """How many independent items would tell as much: n where no two items share a cluster."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def rate(outcomes: Mapping[str, bool], clusters: Mapping[str, str]) -> Rate | None:
    """Share of the items (by id) that are true; None without items.

    Items with the same cluster (a question and its translation, the wrapped forms of a question) are one draw: the
    variance is that of the clusters' sums about the share, and Wilson's interval is taken over the number of items
    that a binomial share of that variance would have, never more than there are. An item without a cluster is its own.
    The variance is estimated, so Student's t stands for the normal quantile. Where all agree the clusters are counted.
    """
    if not outcomes:
        return None
    n, count = len(outcomes), sum(outcomes.values())
    value = count / n
    sums: dict[tuple[bool, str], list[int]] = {}
    for item, outcome in outcomes.items():
        cluster = clusters.get(item, "")
        one = sums.setdefault((bool(cluster), cluster or item), [0, 0])
        one[0] += outcome
        one[1] += 1
    if len(sums) == n:
        return Rate(count, n, value, *wilson(value, n), float(n))
    effective = _effective(np.array(list(sums.values()), dtype=np.float64), value, n)
    quantile = student_quantile(len(sums) - 1) if len(sums) > 1 else NORMAL_QUANTILE
    low, high = wilson(value, effective, quantile if 0 < count < n else NORMAL_QUANTILE)
    return Rate(count, n, value, low, high, effective)


def _effective(sums: np.ndarray, value: float, n: int) -> float:
    """Of clusters [C, 2] (true ones, items): linearised as a ratio, then as many items as tell as much."""
    clusters = len(sums)
    around = value + (sums[:, 0] - value * sums[:, 1]) / sums[:, 1].mean()
    return min(float(n), effective_items(value, float(around.var()), clusters))
