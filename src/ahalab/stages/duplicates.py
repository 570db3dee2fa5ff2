"""Responses that say the same again: exact twins, and responses that share most of their 10-grams.

Our choice throughout: the paper says that its data was filtered and does not say how twins were found.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from hashlib import blake2b

from ahalab.text.quality import ngrams

GRAM = 10
"""Words of a gram, as in the paper's decontamination (supplement D.1)."""
FEWEST_GRAMS = 24
"""Responses with fewer grams (below 33 words or Han characters) are compared as a whole only: short ones share
phrases without being copies."""
SKETCH = 128
"""Smallest gram hashes that stand for a response: its Jaccard index is exact up to so many grams, else estimated."""


class Duplicates:
    """Remembers the responses it has let pass; about 1 kB each.

    Args:
        near: share of common 10-grams (Jaccard index) from which two responses are the same.
    """

    def __init__(self, near: float) -> None:
        self._near = near
        self._exact: dict[bytes, str] = {}
        self._sketches: list[tuple[str, frozenset[int]]] = []
        self._holders: defaultdict[int, list[int]] = defaultdict(list)

    def twin_of(self, name: str, question: str, thinking: str, answer: str) -> str | None:
        """The name of an earlier response that this one repeats; None (and it is remembered) when it is new.

        For exact twins question, thinking and answer count, without regard to case and layout; for near ones
        thinking and answer, whatever the question.
        """
        digest = _digest(question, thinking, answer)
        if digest in self._exact:
            return self._exact[digest]
        sketch = _sketch(f"{thinking}\n{answer}")
        twin = self._nearest(sketch) if sketch else None
        if twin is not None:
            return twin
        self._exact[digest] = name
        if sketch:
            for gram in sketch:
                self._holders[gram].append(len(self._sketches))
            self._sketches.append((name, sketch))
        return None

    def _nearest(self, sketch: frozenset[int]) -> str | None:
        """The first earlier response at or above the threshold."""
        shared: defaultdict[int, int] = defaultdict(int)
        for gram in sketch:
            for place in self._holders.get(gram, ()):
                shared[place] += 1
        for place in sorted(shared):
            name, other = self._sketches[place]
            if _jaccard(sketch, other) >= self._near:
                return name
        return None


def _digest(*texts: str) -> bytes:
    plain = [" ".join(unicodedata.normalize("NFKC", text).casefold().split()) for text in texts]
    return blake2b("\x1f".join(plain).encode("utf-8", "backslashreplace"), digest_size=16).digest()


def _sketch(text: str) -> frozenset[int]:
    """The smallest hashes of the text's grams; empty for a short text."""
    grams = ngrams(text, GRAM)
    if len(grams) < FEWEST_GRAMS:
        return frozenset()
    hashes = (
        int.from_bytes(blake2b(gram.encode("utf-8", "backslashreplace"), digest_size=8).digest(), "big")
        for gram in grams
    )
    return frozenset(sorted(hashes)[:SKETCH])


def _jaccard(left: frozenset[int], right: frozenset[int]) -> float:
    """Of the smallest hashes of the union, the share that both hold (Broder 1997, bottom-k sketches)."""
    union = sorted(left | right)[:SKETCH]
    return sum(1 for gram in union if gram in left and gram in right) / len(union)
