"""Runs of words or characters as 64-bit numbers: what `quality.ngrams` writes out as text, for gigabytes of it."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ahalab.counter import bits
from ahalab.text.quality import words

Unit = Literal["words", "characters"]
Hashes = NDArray[np.uint64]

_BASE = 0x9E3779B97F4A7C15
_MOST_WORDS = 1 << 18
"""Words whose numbers are remembered: about 40 MB. Our choice; a language has fewer that matter."""


class _Numbers(dict[str, int]):
    """Word -> its number, made when first asked for. Bounded: forgotten as a whole when full."""

    def __missing__(self, word: str) -> int:
        if len(self) >= _MOST_WORDS:
            self.clear()
        number = int.from_bytes(
            blake2b(word.encode("utf-8", "backslashreplace"), digest_size=8).digest(), "big"
        )
        if len(word) <= 64:  # a word without end is not worth its place
            self[word] = number
        return number


_NUMBERS = _Numbers()


def unit_numbers(text: str, unit: Unit = "words") -> Hashes:
    """A random number for each word (as `quality.words` cuts them), or for each letter, digit and Han character."""
    found = words(text)
    if unit == "characters":
        joined = "".join(found)
        points = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), dtype="<u4").astype(np.uint64)
        return bits(points, np.zeros(1, dtype=np.int64))
    return np.fromiter(map(_NUMBERS.__getitem__, found), dtype=np.uint64, count=len(found))


def runs(numbers: Hashes, n: int) -> Hashes:
    """A number for each run of `n` neighbours, in order: [len - n + 1], empty for fewer than `n`.

    The polynomial in a fixed base whose coefficients are the run's numbers, made of runs of 1, 2, 4, … of them.
    """
    if n < 1:
        raise ValueError(f"grams need n of at least 1, not {n}")
    if len(numbers) < n:
        return np.empty(0, dtype=np.uint64)
    block, size = numbers, 1
    made, length = numbers, 0
    while True:
        if n & size:
            made = block if not length else made[: len(block) - length] * _power(size) + block[length:]
            length += size
        if 2 * size > n:
            return made
        block = block[:-size] * _power(size) + block[size:]
        size *= 2


def _power(exponent: int) -> np.uint64:
    return np.uint64(pow(_BASE, exponent, 1 << 64))


def gram_hashes(text: str, n: int, unit: Unit = "words") -> Hashes:
    """The n-grams of a text as numbers, in order and with repeats; two grams are equal where `quality.ngrams` finds
    them equal (and, at random, once in 2^64). A text of fewer than `n` units has none."""
    return runs(unit_numbers(text, unit), n)


def batch_runs(numbers: Sequence[Hashes], n: int) -> tuple[Hashes, NDArray[np.int64]]:
    """The runs of many texts at once: their numbers one text after the other, and how many each text has."""
    counts = np.array([max(0, len(one) - n + 1) for one in numbers], dtype=np.int64)
    if not counts.sum():
        return np.empty(0, dtype=np.uint64), counts
    lengths = np.array([len(one) for one in numbers], dtype=np.int64)
    every = runs(np.concatenate(numbers), n)
    # A run that begins in the last n - 1 places of a text reaches into the next one.
    starts = np.cumsum(lengths) - lengths
    edges = np.zeros(int(lengths.sum()) + 1, dtype=np.int64)
    np.add.at(edges, starts[counts > 0], 1)
    np.add.at(edges, (starts + counts)[counts > 0], -1)
    keep = np.cumsum(edges[:-1]) > 0
    return every[keep[: len(every)]], counts
