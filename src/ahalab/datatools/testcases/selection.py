"""Which of the valid cases stay: the smallest set that exposes all, and further ones that differ from those."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from ahalab.datatools.testcases.cover import smallest_cover

Why = Literal["given", "exposes", "further"]
Method = Literal["exact", "greedy", "none"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A valid case, as far as choosing goes."""

    exposes: frozenset[int]
    """Wrong submissions, by place."""
    origin: str
    """Whose generator made it: further cases are taken from different ones first."""
    size: int
    """Bytes of the input."""
    output: str
    """What the correct submissions answer; a case with another answer differs more."""
    forced: bool = False


@dataclass(frozen=True, slots=True)
class Selection:
    """What stays."""

    kept: tuple[tuple[int, Why], ...]
    """(place, why), ascending."""
    method: Method
    """"exact": proven to be the smallest; "greedy": see `at_least`; "none": no submission is exposed."""
    cover: int
    """Cases of the cover, forced ones included."""
    at_least: int
    """No cover is smaller than this."""


def select(candidates: Sequence[Candidate], further: int, without_wrong: int) -> Selection:
    """Choose among valid cases.

    Args:
        further: cases beyond the cover.
        without_wrong: cases to keep where none exposes anything, at least 1.
    """
    forced = [place for place, one in enumerate(candidates) if one.forced]
    sizes = [one.size for one in candidates]
    found = smallest_cover([one.exposes for one in candidates], sizes, forced)
    exposing = any(one.exposes for one in candidates)
    wanted = further if exposing else max(1, without_wrong) + further - len(found.chosen)
    why: dict[int, Why] = {place: "given" if place in forced else "exposes" for place in found.chosen}
    for place in most_different(candidates, found.chosen, wanted):
        why[place] = "further"
    method: Method = "none" if not exposing else "exact" if found.exact else "greedy"
    return Selection(tuple(sorted(why.items())), method, len(found.chosen), found.at_least)


def most_different(candidates: Sequence[Candidate], chosen: Collection[int], count: int) -> list[int]:
    """`count` more places, each the farthest from those taken so far (Gonzalez 1985); the longest input begins.

    Our choice of distance: 1 for another generator, 1 for another output, and the ratio of lengths as log10.
    """
    taken = list(chosen)
    more: list[int] = []
    left = [place for place in range(len(candidates)) if place not in set(chosen)]
    while left and len(more) < count:
        if taken:
            best = max(
                left, key=lambda one: min(_distance(candidates[one], candidates[two]) for two in taken)
            )
        else:
            best = max(left, key=lambda one: candidates[one].size)
        left.remove(best)
        taken.append(best)
        more.append(best)
    return more


def _distance(one: Candidate, other: Candidate) -> float:
    lengths = abs(math.log10(1 + one.size) - math.log10(1 + other.size))
    return (one.origin != other.origin) + (one.output != other.output) + lengths
