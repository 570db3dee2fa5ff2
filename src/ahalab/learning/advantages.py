"""Group-relative advantages, made over whole groups before outputs are split into updates or dropped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

Scale = Literal["std", "none"]


def group_advantages(
    totals: Sequence[float | None], *, scale: Scale, ddof: int, epsilon: float
) -> list[float | None]:
    """Advantage of each of the G outputs of one question, in their order.

    `totals` [G]: total rewards; None where a grader failed. Such an output leaves the mean, the standard
    deviation and the loss (its advantage is None). With fewer than two graded outputs all are None.
    `scale="std"`: `(r - mean) / (std + epsilon)`, the paper's formula (2.1); `ddof` 0 divides the squared
    deviations by the number of graded outputs, 1 by one less. The paper gives neither ddof nor epsilon: both
    are our choice, stated by the preset. `scale="none"`: `r - mean` (Dr. GRPO, arXiv 2503.20783).

    A group of equal rewards gets exact zeros: rounding must not turn it into a group with a gradient.
    Raises ValueError for a reward that is not finite, a ddof other than 0 and 1, or a negative epsilon.
    """
    if ddof not in (0, 1):
        raise ValueError(f"ddof must be 0 or 1, got {ddof}")
    if not 0.0 <= epsilon < math.inf:
        raise ValueError(f"epsilon must be finite and at least 0, got {epsilon}")
    graded = [total for total in totals if total is not None]
    for total in graded:
        if not math.isfinite(total):
            raise ValueError(f"a total reward must be finite, got {total}")
    if len(graded) < 2:
        return [None] * len(totals)
    if max(graded) == min(graded):
        return [None if total is None else 0.0 for total in totals]
    mean = math.fsum(graded) / len(graded)
    divisor = 1.0
    if scale == "std":
        squares = math.fsum((total - mean) ** 2 for total in graded)
        divisor = math.sqrt(squares / (len(graded) - ddof)) + epsilon
    return [None if total is None else (total - mean) / divisor for total in totals]


def has_gradient(advantages: Sequence[float | None]) -> bool:
    """Whether a group moves the policy at all: some graded output has an advantage other than zero.

    A group without gradient may be dropped when the KL coefficient is 0; with a KL term it still pulls.
    """
    return any(advantage is not None and advantage != 0.0 for advantage in advantages)
