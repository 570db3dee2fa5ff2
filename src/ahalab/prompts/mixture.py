"""Several sources as one endless sequence of prompts: every position is computed, none remembered."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import gcd, lcm
from typing import Any

from ahalab.counter import make_key, permute
from ahalab.errors import UserError
from ahalab.prompts.source import DescribedSource, PromptSource
from ahalab.records import Prompt

SEARCH = 64
"""Our choice: further draws tried, per prompt of a take, before an endless source counts as repetitive."""
LONGEST_CHECK = 4096
"""Our choice: starting positions of a rollout tried by `check_take`; a schedule rarely has as many."""


class Schedule:
    """Which source serves each position, so that every source is always less than one prompt from its share.

    Earliest deadline first: prompt j (from 0) of a source with share w may be served in the slots floor(j/w)
    to ceil((j+1)/w) - 1; of the sources whose next prompt may be, the one whose slots end first is served
    (Baruah et al. 1996, "Proportionate progress"). Serving whichever lags most, the simpler rule, leaves some
    source more than one prompt behind from four sources on (1.33 seen with eight). The schedule repeats after
    the sum of the whole-number weights.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        # str first: 0.1 means a tenth here, not the nearest binary fraction with its enormous period.
        shares = [Fraction(str(weight)) for weight in weights]
        whole = [int(share * lcm(*(one.denominator for one in shares))) for share in shares]
        divisor = gcd(*whole)
        self.shares = tuple(one // divisor for one in whole)
        self.period = sum(self.shares)
        self._served = [0] * len(self.shares)
        self._source = array("H")
        self._ordinal = array("Q")

    def at(self, position: int) -> tuple[int, int]:
        """(source, how many prompts of it came before) at `position`."""
        rounds, slot = divmod(position, self.period)
        while len(self._source) <= slot:
            self._extend()
        source = self._source[slot]
        return source, rounds * self.shares[source] + self._ordinal[slot]

    def _extend(self) -> None:
        slot, period = len(self._source), self.period
        due = [
            (-((served + 1) * -period // share), index)
            for index, (share, served) in enumerate(zip(self.shares, self._served, strict=True))
            if served * period < share * (slot + 1)
        ]
        source = min(due)[1]
        self._source.append(source)
        self._ordinal.append(self._served[source])
        self._served[source] += 1


class Mixture:
    """An endless, deterministic sequence of prompts drawn from `sources` in proportion to `weights`.

    The prompt at a position is a pure function of the sources, the weights, the seed and the position, so the
    position is all that a checkpoint needs. A finite source is gone through once an epoch, in an order of its
    own: first one half of it, then the other, always the same halves, each freshly shuffled, so that
    a prompt never returns before half of the source has passed. An endless source is read in its own order.
    """

    def __init__(self, sources: Sequence[PromptSource], weights: Sequence[float], seed: int) -> None:
        if len(sources) != len(weights) or not sources:
            raise ValueError(f"{len(sources)} sources and {len(weights)} weights")
        if min(weights) <= 0:
            raise ValueError("weights must be more than 0")
        names = [source.name for source in sources]
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"two prompt sources are called {name!r}: give one of them another `name`")
        self.sources = tuple(sources)
        self.weights = tuple(weights)
        self.seed = seed
        self._schedule = Schedule(weights)

    def prompt(self, position: int) -> Prompt:
        """The prompt at `position` (0 upwards)."""
        return self._draw(*self._schedule.at(position))

    def take(self, position: int, count: int) -> list[Prompt]:
        """The `count` prompts from `position` on, no two with the same id: one rollout's prompts.

        Equal to `[prompt(position), …]`, except that a prompt already in the take gives way to the next one
        of its source that is not. Only a take of more than half of a finite source, or an endless source that
        repeats itself, makes that happen. Raises UserError when a source has too few different prompts.
        """
        drawn = [self._schedule.at(position + offset) for offset in range(count)]
        self._check_sizes(Counter(source for source, _ in drawn))
        following = {source: ordinal + 1 for source, ordinal in drawn}
        limits = {
            source: after + (2 * (self.sources[source].size or 0) or SEARCH * count)
            for source, after in following.items()
        }
        taken: dict[str, Prompt] = {}
        for source, ordinal in drawn:
            prompt = self._draw(source, ordinal)
            while prompt.id in taken:
                if following[source] == limits[source]:
                    raise self._too_few(source, sum(1 for one, _ in drawn if one == source))
                prompt = self._draw(source, following[source])
                following[source] += 1
            taken[prompt.id] = prompt
        return list(taken.values())

    def check_take(self, count: int) -> None:
        """Raises `take`'s UserError beforehand where a finite source is too small for a rollout."""
        most: Counter[int] = Counter()
        window: Counter[int] = Counter(self._schedule.at(slot)[0] for slot in range(count))
        for start in range(min(self._schedule.period, LONGEST_CHECK)):
            most |= window
            window[self._schedule.at(start)[0]] -= 1
            window[self._schedule.at(start + count)[0]] += 1
        self._check_sizes(most)

    def describe(self) -> list[dict[str, Any]]:
        """One JSON-able mapping a source, in order: what it says of itself, and its weight."""
        return [
            {
                "name": source.name,
                "size": source.size,
                **(source.describe() if isinstance(source, DescribedSource) else {}),
                "weight": weight,
            }
            for source, weight in zip(self.sources, self.weights, strict=True)
        ]

    @property
    def skipped(self) -> dict[str, dict[str, int]]:
        """Bad rows left out, by source and reason; sources without any are not listed."""
        described = [source for source in self.sources if isinstance(source, DescribedSource)]
        return {source.name: dict(source.skipped) for source in described if source.skipped}

    def _draw(self, index: int, ordinal: int) -> Prompt:
        """The `ordinal`-th prompt that this mixture takes from a source."""
        source = self.sources[index]
        if source.size is None:
            return source.prompt(ordinal)
        epoch, place = divmod(ordinal, source.size)
        first = source.size // 2
        start, length = (0, first) if place < first else (first, source.size - first)
        shuffled = start + permute(make_key(self.seed, source.name, epoch, start), length, place - start)
        return source.prompt(permute(make_key(self.seed, source.name), source.size, shuffled))

    def _check_sizes(self, wanted: Mapping[int, int]) -> None:
        for index, count in wanted.items():
            size = self.sources[index].size
            if size is not None and size < count:
                raise self._too_few(index, count)

    def _too_few(self, index: int, wanted: int) -> UserError:
        source = self.sources[index]
        held = "too few different prompts" if source.size is None else f"{source.size} prompts"
        return UserError(
            f"prompt source {source.name!r} has {held}, and {wanted} different ones are wanted at a time: lower "
            "their number (prompts_per_step, updates_per_rollout; n of an evaluation) or this source's weight, "
            "or give it more prompts"
        )
