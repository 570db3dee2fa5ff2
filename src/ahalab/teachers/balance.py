"""Pairs whose lengths say nothing about which answer was chosen, over the whole data set (paper §3.1).

The paper made chosen and rejected lengths comparable over the whole set; how it did so is not printed.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from ahalab.records import PreferencePair

CALIPER = 0.2
"""Two differences match when they differ by at most this share of the larger one, and always by up to `SLACK`."""
SLACK = 2
TOLERANCE = 0.01
"""The mean difference that may remain, as a share of the mean length of an answer."""

Side = list[tuple[int, str, int]]
"""(size of the difference in characters, id, index) of the pairs in which one side is longer, sorted."""


def balance_lengths(pairs: Sequence[PreferencePair]) -> list[PreferencePair]:
    """A large part of `pairs` (in their order) whose lengths tell a reward model nothing.

    Our method: each pair whose chosen answer is longer by d characters is matched with one of the same language
    whose rejected answer is longer by nearly as much; what finds no partner is left out. Pairs of equal lengths stay.
    So the mean difference is near 0 and, at every size of difference, the longer answer is chosen half the time:
    dropping the most unequal pairs alone would not give that. Deterministic; n log n.
    """
    kept = {index for index, pair in enumerate(pairs) if len(pair.chosen) == len(pair.rejected)}
    couples: list[tuple[int, int, int]] = []
    for language in sorted({pair.language for pair in pairs}):
        couples += _matched(_side(pairs, language, 1), _side(pairs, language, -1))
    allowed = TOLERANCE * sum(len(pair.chosen) + len(pair.rejected) for pair in pairs) / (2 * len(pairs) or 1)
    for _, first, second in _levelled(sorted(couples), len(kept), allowed):
        kept |= {first, second}
    return [pair for index, pair in enumerate(pairs) if index in kept]


def length_figures(pairs: Sequence[PreferencePair]) -> dict[str, float | int | None]:
    """What the lengths of a set look like, in characters; None without pairs, or without pairs of unequal lengths."""
    differences = [len(pair.chosen) - len(pair.rejected) for pair in pairs]
    unequal = [difference for difference in differences if difference]
    n = len(pairs)
    return {
        "pairs": n,
        "chosen_length": sum(len(pair.chosen) for pair in pairs) / n if n else None,
        "rejected_length": sum(len(pair.rejected) for pair in pairs) / n if n else None,
        "mean_difference": sum(differences) / n if n else None,
        "chosen_longer": sum(one > 0 for one in unequal) / len(unequal) if unequal else None,
    }


def _side(pairs: Sequence[PreferencePair], language: str, sign: int) -> Side:
    differences = [(sign * (len(pair.chosen) - len(pair.rejected)), pair) for pair in pairs]
    return sorted(
        (difference, pair.id, index)
        for index, (difference, pair) in enumerate(differences)
        if difference > 0 and pair.language == language
    )


def _matched(longer: Side, shorter: Side) -> list[tuple[int, int, int]]:
    """Couples (size of longer less size of shorter, index, index): the rarer side, largest first, takes the nearest."""
    sign, few, many = (
        (1, longer, list(shorter)) if len(longer) <= len(shorter) else (-1, shorter, list(longer))
    )
    couples: list[tuple[int, int, int]] = []
    for size, _, index in reversed(few):
        place = bisect_left(many, (size, "", -1))
        near = min(
            range(max(0, place - 1), min(len(many), place + 1)),
            key=lambda at: abs(many[at][0] - size),
            default=None,
        )
        if near is not None and abs(many[near][0] - size) <= max(SLACK, CALIPER * max(size, many[near][0])):
            other, _, partner = many.pop(near)
            couples.append((sign * (size - other), index, partner))
    return couples


def _levelled(couples: list[tuple[int, int, int]], equal: int, allowed: float) -> list[tuple[int, int, int]]:
    """`couples` (sorted by mismatch) less the worst of the heavier side, until the mean difference is `allowed`."""
    low, high = 0, len(couples)
    total = sum(mismatch for mismatch, *_ in couples)
    while low < high and abs(total) > allowed * (equal + 2 * (high - low)):
        if total > 0:
            high -= 1
            total -= couples[high][0]
        else:
            total -= couples[low][0]
            low += 1
    return couples[low:high]
