"""Which evaluation items share an n-gram with what a model was trained on (paper D.1: any shared 10-gram counts).

The paper drops such texts from its training data. Here nothing is dropped: the report says what is in both. Neither
finds a paraphrase, as the paper admits.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ahalab.text.quality import ngrams

GRAM = 10
SHOWN = 20
"""Training texts that are named for one item; the rest are counted."""
COMMONEST = 10
"""Grams that the report names as shared by most items: a phrase of the data set's own, more often than a leak."""


@dataclass(frozen=True, slots=True)
class Shared:
    """One training text that holds something of an item."""

    training: str
    gram: str
    """The first of the shared n-grams in alphabetical order; the whole text where the two are the same."""
    grams: int
    """How many n-grams the two share."""


@dataclass(slots=True)
class ItemOverlap:
    """One evaluation item that was found in the training texts."""

    item: str
    grams: int
    """Its n-grams; 0 for an item of fewer than n words."""
    shared: int = 0
    """How many of them are in some training text."""
    training_texts: int = 0
    """Training texts that hold one, or are the same text."""
    same: int = 0
    """Training texts that are this very text."""
    shown: list[Shared] = field(default_factory=list)
    """The first `SHOWN` of them, in the order of the training texts."""


@dataclass(frozen=True, slots=True)
class OverlapReport:
    """What was found, and in how much."""

    n: int
    """Words of a gram."""
    items: int
    short_items: int
    """Items of fewer than n words: only the same text counts."""
    training_texts: int
    overlaps: list[ItemOverlap]
    """The items that were found, in their order."""
    commonest: list[tuple[str, int]]
    """(gram, items) of found grams that several items have, most items first."""

    @property
    def same(self) -> int:
        """Items that are the same text as a training text."""
        return sum(one.same > 0 for one in self.overlaps)

    @property
    def share(self) -> float:
        """Share of the items that were found; 0 without items."""
        return len(self.overlaps) / self.items if self.items else 0.0

    def sentence(self) -> str:
        """For a person."""
        told = (
            f"{len(self.overlaps):,} of {self.items:,} items ({100 * self.share:.1f} %) share a {self.n}-gram with "
            f"the {self.training_texts:,} training texts; {self.same:,} are the same text as one of them"
        )
        short = f"; {self.short_items:,} have fewer than {self.n} words, of which only the same text counts"
        return told + (short if self.short_items else "")

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "n": self.n,
            "items": self.items,
            "short_items": self.short_items,
            "training_texts": self.training_texts,
            "found": len(self.overlaps),
            "share": self.share,
            "same": self.same,
            "overlaps": [asdict(one) for one in self.overlaps],
            "commonest": [{"gram": gram, "items": items} for gram, items in self.commonest],
        }


def overlap(
    evaluation_texts: Mapping[str, str], training_texts: Iterable[tuple[str, str]], n: int = GRAM
) -> OverlapReport:
    """Look for the n-grams of evaluation items (id → text) in training texts (id, text), which are read once.

    Grams are runs of n words as in `ahalab.text.quality.ngrams`: without case, full width, punctuation and signs; in
    Chinese each character is a word, so that no segmenter decides what is found. A text of fewer than n words has no
    gram, and is found only in the same text: equal but for case, full width and layout. Memory grows with the
    evaluation items only.

    Raises:
        ValueError: `n` is below 1.
    """
    found: dict[int, ItemOverlap] = {}
    names = list(evaluation_texts)
    sizes: list[int] = []
    holders: dict[str, list[int]] = {}
    twins: dict[str, list[int]] = {}
    for place, text in enumerate(evaluation_texts.values()):
        grams = _grams(text, n)
        sizes.append(len(grams))
        for gram in grams:
            holders.setdefault(gram, []).append(place)
        if whole := _whole(text):
            twins.setdefault(whole, []).append(place)
    seen: set[str] = set()
    read = 0
    for training, text in training_texts:
        read += 1
        shared: dict[int, list[str]] = {}
        for gram in _grams(text, n):
            if gram in holders:
                seen.add(gram)
                for place in holders[gram]:
                    shared.setdefault(place, []).append(gram)
        whole = _whole(text)
        same = set(twins.get(whole, ()))
        for place in sorted(same | shared.keys()):
            one = found.setdefault(place, ItemOverlap(names[place], sizes[place]))
            one.training_texts += 1
            one.same += place in same
            if len(one.shown) < SHOWN:
                grams_of = shared.get(place, [])
                one.shown.append(Shared(training, whole if place in same else min(grams_of), len(grams_of)))
    for gram in seen:
        for place in holders[gram]:
            found[place].shared += 1
    common = sorted((-len(holders[gram]), gram) for gram in seen if len(holders[gram]) > 1)
    return OverlapReport(
        n,
        len(names),
        sum(size == 0 for size in sizes),
        read,
        [found[place] for place in sorted(found)],
        [(gram, -count) for count, gram in common[:COMMONEST]],
    )


def _grams(text: str, n: int) -> list[str]:
    # `ngrams` makes a shorter text one gram of its own; without its signs, "3 + 4" and "3 - 4" would be the same.
    return [gram for gram in ngrams(text, n) if gram.count(" ") == n - 1]


def _whole(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
