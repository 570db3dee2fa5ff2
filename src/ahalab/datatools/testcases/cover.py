"""The smallest set of cases that exposes every wrong submission: a set cover, exact where it is small."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

MOST_NODES = 20_000
"""Nodes of the search before it gives up proving (our choice: well under a second). Nodes, not seconds: the same
problem gives the same cover on every machine."""


@dataclass(frozen=True, slots=True)
class Cover:
    """Cases that together expose whatever all cases expose."""

    chosen: tuple[int, ...]
    """Places of the cases, ascending; forced ones included."""
    exact: bool
    """Nothing smaller exists. Where False, the greedy cover or a better one that the search met."""
    at_least: int
    """Proven: no cover has fewer cases. The size itself where `exact`."""


def smallest_cover(
    exposes: Sequence[Collection[int]],
    costs: Sequence[int],
    forced: Collection[int] = (),
    most_nodes: int = MOST_NODES,
) -> Cover:
    """The fewest cases that expose whatever all of them expose; of equally useful cases the cheaper.

    Args:
        exposes: for each case, the wrong submissions that it exposes.
        costs: for each case, what breaks ties (the length of its input).
        forced: places of cases that are kept in any case.

    The greedy cover is at most H(d) = 1 + 1/2 + … + 1/d times the smallest, d being the most that one case exposes
    (Chvátal 1979, "A greedy heuristic for the set-covering problem").
    """
    masks = [sum(1 << one for one in set(case)) for case in exposes]
    done = 0
    for place in forced:
        done |= masks[place]
    sets = _useful([mask & ~done for mask in masks], costs)
    wanted = 0
    for mask, _ in sets:
        wanted |= mask
    search = _Search(sets, most_nodes)
    best = search.run(wanted)
    chosen = sorted({*forced, *(sets[number][1] for number in best)})
    fixed = len(set(forced))
    at_least = len(best) if search.finished else search.bound(wanted)
    return Cover(tuple(chosen), len(best) == at_least, fixed + at_least)


def _useful(masks: Sequence[int], costs: Sequence[int]) -> list[tuple[int, int]]:
    """(what it exposes, place) of the cases that no other one replaces, the most useful first."""
    cheapest: dict[int, int] = {}
    for place, mask in enumerate(masks):
        if mask and (mask not in cheapest or costs[place] < costs[cheapest[mask]]):
            cheapest[mask] = place
    ordered = sorted(cheapest.items(), key=lambda item: (-item[0].bit_count(), costs[item[1]], item[1]))
    kept: list[tuple[int, int]] = []
    for mask, place in ordered:
        if not any(mask & ~other == 0 for other, _ in kept):
            kept.append((mask, place))
    return kept


class _Search:
    """Depth first over the wrong submission that the fewest cases expose, with a bound from independent ones."""

    def __init__(self, sets: Sequence[tuple[int, int]], most_nodes: int) -> None:
        self._sets = [mask for mask, _ in sets]
        self._by_element: dict[int, list[int]] = {}
        for number, mask in enumerate(self._sets):
            for element in _bits(mask):
                self._by_element.setdefault(element, []).append(number)
        self._left = most_nodes
        self.finished = True
        self._best: list[int] = []

    def run(self, wanted: int) -> list[int]:
        """Numbers of the sets of the best cover found; `finished` says whether it is proven to be the smallest."""
        self._best = self._greedy(wanted)
        if len(self._best) > self.bound(wanted):
            self._descend(wanted, [])
        return self._best

    def bound(self, wanted: int) -> int:
        """No cover of `wanted` is smaller: elements of which no set has two each need a set of their own, and each set
        takes a bounded part of the whole."""
        if not wanted:
            return 0
        largest = max((mask & wanted).bit_count() for mask in self._sets)
        independent, open_elements = 0, wanted
        for element in sorted(_bits(wanted), key=lambda one: (len(self._by_element[one]), one)):
            if open_elements >> element & 1:
                independent += 1
                for number in self._by_element[element]:
                    open_elements &= ~self._sets[number]
        return max(independent, -(-wanted.bit_count() // largest))

    def _greedy(self, wanted: int) -> list[int]:
        chosen = []
        while wanted:
            # `max` takes the first of equals, and the sets are in order of use and cost.
            best = max(range(len(self._sets)), key=lambda number: (self._sets[number] & wanted).bit_count())
            chosen.append(best)
            wanted &= ~self._sets[best]
        return chosen

    def _descend(self, wanted: int, chosen: list[int]) -> None:
        if not wanted:
            self._best = list(chosen)
            return
        self._left -= 1
        if self._left < 0:
            self.finished = False
            return
        if len(chosen) + self.bound(wanted) >= len(self._best):
            return
        rarest = min(_bits(wanted), key=lambda one: (len(self._by_element[one]), one))
        for number in sorted(
            self._by_element[rarest], key=lambda one: (-(self._sets[one] & wanted).bit_count(), one)
        ):
            self._descend(wanted & ~self._sets[number], [*chosen, number])
            if not self.finished:
                return


def _bits(mask: int) -> list[int]:
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found
