"""Which evaluation items share an n-gram with what a model was trained on (paper D.1: any shared 10-gram counts).

The paper drops such texts from its training data. Here nothing is dropped: the report says what is in both. Neither
finds a paraphrase, as the paper admits.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ahalab.text.grams import gram_hashes, runs, unit_numbers
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


class EvaluationGrams:
    """The n-grams of evaluation items, to look for in training texts. Memory grows with the items only.

    Grams are runs of n words as in `ahalab.text.quality.ngrams`: without case, full width, punctuation and signs; in
    Chinese each character is a word, so that no segmenter decides what is found. A text of fewer than n words has no
    gram, and is found only in the same text: equal but for case, full width and layout.

    Args:
        texts: item → its text.
        n: words of a gram.
        alone: item → further texts that mean the item where a training text is the very same.

    Raises:
        ValueError: `n` is below 1.
    """

    def __init__(
        self, texts: Mapping[str, str], n: int = GRAM, alone: Mapping[str, Iterable[str]] | None = None
    ) -> None:
        self.n = n
        self.names = list(texts)
        self.sizes: list[int] = []
        self.holders: dict[str, list[int]] = {}
        self._twins: dict[str, list[int]] = {}
        hashes: list[NDArray[np.uint64]] = []
        for place, (name, text) in enumerate(texts.items()):
            grams = _grams(text, n)
            self.sizes.append(len(grams))
            for gram in grams:
                self.holders.setdefault(gram, []).append(place)
            hashes.append(gram_hashes(text, n))
            for whole in dict.fromkeys(map(_whole, (text, *(alone or {}).get(name, ())))):
                if whole:
                    self._twins.setdefault(whole, []).append(place)
        self._hashes = np.unique(np.concatenate(hashes)) if hashes else np.empty(0, dtype=np.uint64)

    def find(self, text: CutText) -> dict[int, InCommon]:
        """Place of an item → what `text` has in common with it, for the items with which it has anything."""
        found: dict[int, InCommon] = {}
        may_share = self._may_share(text.hashes)
        if may_share:
            for gram in _grams(text.whole, self.n):
                for place in self.holders.get(gram, ()):
                    found.setdefault(place, InCommon()).grams.append(gram)
        for part, size in zip(text.parts, text.sizes, strict=True):
            # A long text that shares no gram with any item is the same as none of them.
            if part and (may_share or size < self.n):
                for place in self._twins.get(_whole(part), ()):
                    found.setdefault(place, InCommon()).same = True
        return found

    def _may_share(self, hashes: NDArray[np.uint64]) -> bool:
        """Whether a gram's number is that of an item: nearly every text is done with here."""
        if not len(self._hashes) or not len(hashes):
            return False
        places = np.minimum(np.searchsorted(self._hashes, hashes), len(self._hashes) - 1)
        return bool((self._hashes[places] == hashes).any())


@dataclass(slots=True)
class InCommon:
    """What a training text has in common with an item."""

    grams: list[str] = field(default_factory=list)
    same: bool = False
    """A part of it, or all of it, is the item's very text."""


@dataclass(frozen=True, slots=True)
class CutText:
    """A training text, cut once for any number of evaluation sets."""

    whole: str
    parts: list[str]
    """The texts it is made of, and the whole where there are several: each may be an item's very text."""
    sizes: list[int]
    """Words of each part."""
    hashes: NDArray[np.uint64]
    """Of the whole's n-grams."""


def cut_text(parts: Sequence[str], n: int = GRAM) -> CutText:
    """A training text in parts (the cells of a row), between which there is a blank line."""
    numbers = [unit_numbers(part) for part in parts]
    every = numbers[0] if len(numbers) == 1 else np.concatenate([np.empty(0, dtype=np.uint64), *numbers])
    whole = parts[0] if len(parts) == 1 else "\n\n".join(parts)
    sizes = [len(one) for one in numbers]
    if len(parts) > 1:
        return CutText(whole, [*parts, whole], [*sizes, len(every)], runs(every, n))
    return CutText(whole, list(parts), sizes, runs(every, n))


def overlap(
    evaluation_texts: Mapping[str, str], training_texts: Iterable[tuple[str, str]], n: int = GRAM
) -> OverlapReport:
    """Look for the n-grams of evaluation items (id → text) in training texts (id, text), which are read once.

    See `EvaluationGrams` for what a gram is, and which texts are the same.

    Raises:
        ValueError: `n` is below 1.
    """
    items = EvaluationGrams(evaluation_texts, n)
    found: dict[int, ItemOverlap] = {}
    seen: set[str] = set()
    read = 0
    for training, text in training_texts:
        read += 1
        for place, common in sorted(items.find(cut_text([text], n)).items()):
            seen.update(common.grams)
            one = found.setdefault(place, ItemOverlap(items.names[place], items.sizes[place]))
            one.training_texts += 1
            one.same += common.same
            if len(one.shown) < SHOWN:
                words = _whole(text) if common.same else min(common.grams)
                one.shown.append(Shared(training, words, len(common.grams)))
    for gram in seen:
        for place in items.holders[gram]:
            found[place].shared += 1
    commonest = sorted((-len(items.holders[gram]), gram) for gram in seen if len(items.holders[gram]) > 1)
    return OverlapReport(
        n,
        len(items.names),
        sum(size == 0 for size in items.sizes),
        read,
        [found[place] for place in sorted(found)],
        [(gram, -count) for count, gram in commonest[:COMMONEST]],
    )


def _grams(text: str, n: int) -> list[str]:
    # `ngrams` makes a shorter text one gram of its own; without its signs, "3 + 4" and "3 - 4" would be the same.
    return [gram for gram in ngrams(text, n) if gram.count(" ") == n - 1]


def _whole(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
