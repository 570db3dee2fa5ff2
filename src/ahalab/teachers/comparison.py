"""Preference of one answer over another: a judge asked four times, each order twice, and the mean (paper §3.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ahalab.counter import make_key, permutation
from ahalab.records import Prompt
from ahalab.teachers.judge import Judge
from ahalab.teachers.protocol import Failure

CALLS = 4
"""Paper §3.1: the judge is asked four times."""

KEEP_ABOVE = 1.0
"""Paper §3.1: a pair is kept where the mean difference exceeds 1; on our scale, -2 to 2 (its own is not printed)."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The four verdicts on a pair (x, y)."""

    shown: tuple[int, ...]
    """Verdicts as the judge gave them, for the answer shown first: -2 … 2."""
    swapped: tuple[bool, ...]
    """Whether y was shown first in that call."""

    @property
    def mean(self) -> float:
        """-2 (y much better, every time) to 2 (x much better)."""
        turned = [
            -verdict if swap else verdict for verdict, swap in zip(self.shown, self.swapped, strict=True)
        ]
        return sum(turned) / len(turned)


def compare_four(judge: Judge, prompt: Prompt, x: str, y: str, key: int) -> Comparison | Failure:
    """`compare_many` of one pair."""
    return compare_many(judge, [(prompt, x, y, key)])[0]


def compare_many(judge: Judge, items: Sequence[tuple[Prompt, str, str, int]]) -> list[Comparison | Failure]:
    """Ask the judge `CALLS` times about each (prompt, x, y, key), in one batch.

    x is shown first in half of the calls; which half, `key` decides. The paper assigns the places at random; half
    and half is our choice, so that a judge's liking for a place cancels out in every single pair.
    One call without a verdict fails its pair: a mean of fewer calls would let the judge's errors choose.
    """
    orders = [shown_orders(key) for *_, key in items]
    asked = [
        (prompt, y, x, make_key(key, "call", call)) if swap else (prompt, x, y, make_key(key, "call", call))
        for (prompt, x, y, key), order in zip(items, orders, strict=True)
        for call, swap in enumerate(order)
    ]
    verdicts = judge.compare(asked)
    compared: list[Comparison | Failure] = []
    for number, order in enumerate(orders):
        given = verdicts[number * CALLS : (number + 1) * CALLS]
        failure = next((one for one in given if isinstance(one, Failure)), None)
        shown = tuple(one for one in given if not isinstance(one, Failure))
        compared.append(failure or Comparison(shown, order))
    return compared


def shown_orders(key: int) -> tuple[bool, ...]:
    """For each call whether y is shown first: half of them, at random by `key`."""
    return tuple(place >= CALLS // 2 for place in permutation(make_key(key, "order"), CALLS))


def position_bias(comparisons: Iterable[Comparison]) -> float | None:
    """Mean verdict for the answer shown first, over all calls: -2 … 2. Each order being used equally often, it is 0
    for a judge that does not mind the order. None without comparisons."""
    shown = [verdict for comparison in comparisons for verdict in comparison.shown]
    return sum(shown) / len(shown) if shown else None
