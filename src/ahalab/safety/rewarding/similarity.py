"""Which evaluation items a text is like: cosine of character grams weighted by their rarity (TF-IDF).

10-grams find copied runs of words; this finds an item with a few words changed. It finds no free paraphrase and no
translation. All pairs at or above the threshold are found (the candidates' filter loses none), in any language: a text
is cut into runs of letters, digits and Han characters, so nothing depends on a segmenter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ahalab.prompts.source import HAN
from ahalab.text.grams import Hashes, gram_hashes

THRESHOLD = 0.4
"""Cosine from which two texts count as alike. Our choice: see docs/safety-reward-data.md for what it finds."""
GRAM, HAN_GRAM = 4, 2
"""Characters of a gram; two Han characters say about as much as four letters."""
MOSTLY_HAN = 0.3
"""Share of Han characters from which a text is cut into `HAN_GRAM`."""
LONGEST = 20_000
"""Characters of a text that are compared; of a longer one the beginning. Our choice."""


def text_grams(text: str) -> Hashes:
    """The different grams of a text, in rising order of their hashes; a text shorter than a gram has none."""
    text = text[:LONGEST]
    letters = sum(character.isalnum() for character in text)
    han = len(HAN.findall(text)) if not text.isascii() else 0
    n = HAN_GRAM if letters and han >= MOSTLY_HAN * letters else GRAM
    return np.unique(gram_hashes(text, n, "characters"))


@dataclass(frozen=True, slots=True)
class Alike:
    """An item that a text is like."""

    item: int
    cosine: float


class SimilarItems:
    """Evaluation items (id → text) to be compared with. Memory grows with the items only."""

    def __init__(self, texts: Mapping[str, str], threshold: float = THRESHOLD) -> None:
        if not 0 < threshold <= 1:
            raise ValueError(f"a threshold above 0 and up to 1 is needed, not {threshold}")
        self.names = list(texts)
        self.threshold = threshold
        rows = [text_grams(text) for text in texts.values()]
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        every = np.concatenate(rows) if rows else np.empty(0, dtype=np.uint64)
        self._grams, columns = np.unique(every, return_inverse=True)
        self._columns = columns.astype(np.int32)
        """Of each item its grams, one item after the other."""
        self._item_starts = np.concatenate([[0], np.cumsum(lengths)])
        frequency = np.bincount(self._columns, minlength=len(self._grams))
        self._unseen = np.log1p(len(rows)) ** 2
        self._squares = np.log1p(len(rows) / np.maximum(frequency, 1)) ** 2
        owners = np.repeat(np.arange(len(rows), dtype=np.int32), lengths)
        order = np.argsort(self._columns, kind="stable")
        self._owners = owners[order]
        """Of each gram its items, one gram after the other."""
        self._gram_starts = np.concatenate([[0], np.cumsum(frequency)])
        mass = np.bincount(owners, weights=self._squares[self._columns], minlength=len(rows))
        self._norms = np.sqrt(mass)

    def find(self, text: str) -> list[Alike]:
        """The items at or above the threshold, most alike first."""
        grams = text_grams(text)
        if not len(grams) or not len(self._grams):
            return []
        places = np.minimum(np.searchsorted(self._grams, grams), len(self._grams) - 1)
        known = places[self._grams[places] == grams]
        squares = self._squares[known]
        total = float(squares.sum()) + self._unseen * (len(grams) - len(known))
        candidates = self._candidates(known, squares, self.threshold**2 * total)
        if not len(candidates):
            return []
        shared_squares = np.zeros(len(self._grams))
        shared_squares[known] = squares
        found = []
        for item in candidates.tolist():
            columns = self._columns[self._item_starts[item] : self._item_starts[item + 1]]
            cosine = float(shared_squares[columns].sum()) / float(self._norms[item] * np.sqrt(total))
            if cosine >= self.threshold:
                found.append(Alike(item, cosine))
        return sorted(found, key=lambda one: (-one.cosine, one.item))

    def _candidates(
        self, known: NDArray[np.int64], squares: NDArray[np.float64], needed: float
    ) -> NDArray[np.int32]:
        """Items that hold one of the rarest known grams.

        The cosine is shared / (|text| |item|) and |item|² ≥ shared, so an item at the threshold t shares at least
        t² |text|² = `needed`. The most common grams that together weigh less cannot reach that alone.
        """
        order = np.argsort(squares, kind="stable")
        skipped = int(np.searchsorted(np.cumsum(squares[order]), needed * (1 - 1e-9)))
        chosen = known[order[skipped:]]
        parts = [self._owners[self._gram_starts[gram] : self._gram_starts[gram + 1]] for gram in chosen]
        return np.unique(np.concatenate(parts)) if parts else np.empty(0, dtype=np.int32)
