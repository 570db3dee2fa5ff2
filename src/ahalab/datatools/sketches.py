"""Sketches of texts: how alike two are can be told from their sketches alone, and likely twins share a bucket.

MinHash (Broder 1997) with banding; the sketch that decides is a bottom-k one, as in `ahalab.stages.duplicates`, which
does the same in memory for one stage's responses. Here everything is made for many texts at once, in numpy.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from ahalab.counter import bits, make_key
from ahalab.text.grams import Hashes, Unit, batch_runs, unit_numbers

SKETCH = 128
"""Smallest gram hashes that stand for a text: the similarity of two texts is exact while both have at most so many
grams, else an estimate with a standard error of at most 0.044."""
BANDS = 16
RECALL = 0.99
"""Of pairs at the threshold itself, the share that meets in some bucket, at least; more above it."""
MOST_ROWS = 12
"""Hashes of a band at most."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a text is cut into, and how it is sketched."""

    near: float = 0.8
    """Share of common grams (Jaccard index) from which two texts are near twins. Our choice."""
    n: int = 5
    """Words, or characters, of a gram. Our choice, as common for web text; 10 is the decontamination's."""
    unit: Unit = "words"

    @property
    def rows(self) -> int:
        """Hashes of a band: the most with which `BANDS` bands find `RECALL` of the pairs at the threshold."""
        for rows in range(MOST_ROWS, 1, -1):
            if 1 - (1 - self.near**rows) ** BANDS >= RECALL:
                return rows
        return 1


def exact_key(text: str) -> bytes:
    """16 bytes that are the same for texts that differ in case, full width and white space only."""
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return blake2b(plain.encode("utf-8", "backslashreplace"), digest_size=16).digest()


_SIGN = re.compile(r"[0-9+*/=<>^%×÷±−∓√∫∑∏∈∉⊂⊆∪∩≤≥≠≈∞∂∇-][0-9.,]*")
_HYPHEN = re.compile(r"(?<=[^\W\d_])-(?=[^\W\d_])")


def formula_key(text: str) -> int:
    """A number for the numbers and mathematical signs of a text in their order: what makes another problem of the same
    words. A hyphen within a word is no sign."""
    plain = text if text.isascii() else unicodedata.normalize("NFKC", text)
    if "-" in plain:
        plain = _HYPHEN.sub(" ", plain)
    found = " ".join(sign.rstrip(".,") for sign in _SIGN.findall(plain))
    return int.from_bytes(blake2b(found.encode("utf-8", "backslashreplace"), digest_size=8).digest(), "big")


@dataclass(frozen=True, slots=True)
class Sketches:
    """Sketches of some texts, of which `places` have one: a text of fewer than n units has none."""

    places: NDArray[np.int64]
    """Which of the texts, by their place in the batch."""
    bands: Hashes
    """[places, BANDS]"""
    counts: NDArray[np.int64]
    """Numbers of each sketch, at most `SKETCH`."""
    numbers: NDArray[np.uint32]
    """The sketches one after the other, each in rising order."""


class Sketcher:
    """Sketches batches of texts. The same text gets the same sketch in any batch."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        count = BANDS * shape.rows
        key = np.full(count, make_key("minhash", shape.n, shape.unit), dtype=np.uint64)
        # Odd factors permute the 64-bit numbers.
        self._factors = bits(key, np.arange(count)) | np.uint64(1)
        self._salts = bits(key, np.arange(count, 2 * count))
        self._band_salts = bits(key[:BANDS], np.arange(2 * count, 2 * count + BANDS))

    def sketch(self, texts: Sequence[str], formulas: Sequence[int] | None = None) -> Sketches:
        """The sketches of a batch of texts. With `formulas` (see `formula_key`) only texts of one formula meet."""
        units = [unit_numbers(text, self.shape.unit) for text in texts]
        grams, counts = batch_runs(units, self.shape.n)
        places = np.flatnonzero(counts)
        if not len(places):
            nothing = np.empty(0, dtype=np.int64)
            return Sketches(
                nothing, np.empty((0, BANDS), dtype=np.uint64), nothing, np.empty(0, dtype=np.uint32)
            )
        lengths = counts[places]
        bands = self._bands(grams, np.cumsum(lengths) - lengths)
        if formulas is not None:
            chosen = np.array([formulas[place] for place in places.tolist()], dtype=np.uint64)
            bands = bits(bands ^ chosen[:, None], np.zeros(1, dtype=np.int64))
        numbers, sizes = _smallest(grams, lengths)
        return Sketches(places, bands, sizes, numbers)

    def _bands(self, grams: Hashes, starts: NDArray[np.int64]) -> Hashes:
        rows = self.shape.rows
        keys = np.empty((len(starts), BANDS), dtype=np.uint64)
        mixed = np.empty_like(grams)
        for band in range(BANDS):
            total = np.full(len(starts), self._band_salts[band], dtype=np.uint64)
            for row in range(band * rows, (band + 1) * rows):
                np.bitwise_xor(grams, self._salts[row], out=mixed)
                np.multiply(mixed, self._factors[row], out=mixed)
                total = total * self._factors[row] + np.minimum.reduceat(mixed, starts)
            keys[:, band] = total
        return bits(keys, np.zeros(1, dtype=np.int64))


def _smallest(grams: Hashes, lengths: NDArray[np.int64]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """The `SKETCH` smallest different hashes of each text, cut to 32 bits, and how many each has."""
    owner = np.repeat(np.arange(len(lengths), dtype=np.uint64), lengths)
    ordered = np.sort((owner << np.uint64(32)) | (grams >> np.uint64(32)))
    ordered = ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])]
    owners = (ordered >> np.uint64(32)).astype(np.int64)
    firsts = np.searchsorted(owners, np.arange(len(lengths)))
    keep = np.arange(len(ordered)) - firsts[owners] < SKETCH
    return ordered[keep].astype(np.uint32), np.bincount(owners[keep], minlength=len(lengths))


def jaccard(left: NDArray[np.uint32], right: NDArray[np.uint32]) -> float:
    """Shared grams over all grams of two texts by their sketches, exact where both sketches are whole."""
    union = np.union1d(left, right)
    if len(left) >= SKETCH or len(right) >= SKETCH:
        union = union[:SKETCH]
    if not len(union):
        return 0.0
    both = np.intersect1d(left, right, assume_unique=True)
    return float(np.isin(union, both, assume_unique=True).sum()) / len(union)
