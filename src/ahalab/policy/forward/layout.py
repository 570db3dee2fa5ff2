"""How packed segments are laid out for computing: every distinct prefix once, attention in rectangles.

A hidden state of a causal model depends on its prefix only. So where segments begin alike (the samples of one
prompt, a shared system prompt) the common tokens run once through every linear layer. Attention runs over rectangles
of equally long segments: no T×T mask is ever built. There the common tokens are keys for every segment, and queries
in one only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

SHARE_FROM = 0.05
"""Share prefixes when at least this part of the tokens is saved: below it the gathers cost more (measured at
4,096 tokens of width 128 on one core: 2 ms of gathers a layer, and 13 µs a layer for each token saved)."""


_SKIP_BLOCK = 16
"""Queries are left out in blocks of so many tokens, so that segments that share almost the same go together."""


class Rectangle(NamedTuple):
    """Equally long segments side by side; the first `skip` tokens of each are keys only."""

    segments: int
    length: int
    skip: int = 0

    @property
    def keys(self) -> int:
        """Rows of keys and values."""
        return self.segments * self.length

    @property
    def queries(self) -> int:
        """Rows of queries."""
        return self.segments * (self.length - self.skip)


@dataclass(frozen=True)
class Layout:
    """The plan for one packed call: T packed tokens, U computed rows, A rows of keys, Q rows of queries.

    With nothing shared and nothing padded the computed rows lie in attention order, and `gather`, `queries` and
    `scatter` are None.
    """

    tokens: Indices
    """[U]"""
    positions: Indices
    """[U] position of each computed row in its segment."""
    rectangles: tuple[Rectangle, ...]
    gather: Indices | None
    """[A] the computed row behind each row of keys; padding repeats row 0."""
    queries: Indices | None
    """[Q] the computed row behind each row of queries."""
    scatter: Indices | None
    """[U] one row of queries that stands for each computed row."""
    output: Indices
    """[T] the computed row of each packed token."""


def plan_layout(
    tokens: Indices, lengths: Sequence[int], *, overhead: int, skip_queries: bool = False
) -> Layout:
    """Lay out packed `tokens` [T] of segments of `lengths`.

    `overhead` is how many padded tokens one more rectangle is worth; they cost attention only, never a linear
    layer. `skip_queries`: tokens that a segment has in common with another are asked for in that one only. The plan
    depends on the inputs alone.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    positions = np.arange(len(tokens)) - np.repeat(starts, sizes)
    node, n_nodes, common = _distinct_prefixes(tokens, starts, sizes)
    shared = len(tokens) - n_nodes >= SHARE_FROM * len(tokens)
    if not shared:
        node, n_nodes = np.arange(len(tokens)), len(tokens)

    skips = np.zeros_like(sizes)
    if shared and skip_queries:
        # A segment that is the beginning of another still needs a query, or its row would be empty.
        skips = np.minimum(common, sizes - 1) // _SKIP_BLOCK * _SKIP_BLOCK
    rectangles: list[Rectangle] = []
    key_blocks, query_blocks = [], []
    for skip in np.unique(skips).tolist():
        order = np.flatnonzero(skips == skip)
        order = order[np.argsort(sizes[order], kind="stable")]
        first = 0
        for count, length in plan_rectangles(sizes[order].tolist(), overhead):
            members = order[first : first + count]
            first += count
            places = starts[members, None] + np.arange(length)[None, :]
            places[np.arange(length)[None, :] >= sizes[members, None]] = -1
            key_blocks.append(places.ravel())
            query_blocks.append(places[:, skip:].ravel())
            rectangles.append(Rectangle(count, length, skip))
    places, asked = np.concatenate(key_blocks), np.concatenate(query_blocks)

    if not shared and bool((places >= 0).all()):
        output = np.empty_like(places)
        output[places] = np.arange(len(places))
        return Layout(tokens[places], positions[places], tuple(rectangles), None, None, None, output)

    gather, queries = (np.where(rows >= 0, node[rows], 0) for rows in (places, asked))
    real = asked >= 0
    seen, first_seen = np.unique(queries[real], return_index=True)
    scatter = np.empty(n_nodes, dtype=np.int64)
    scatter[seen] = np.flatnonzero(real)[first_seen]
    row_tokens = np.empty(n_nodes, dtype=np.int64)
    row_positions = np.empty(n_nodes, dtype=np.int64)
    row_tokens[node] = tokens
    row_positions[node] = positions
    return Layout(row_tokens, row_positions, tuple(rectangles), gather, queries, scatter, node)


def _distinct_prefixes(tokens: Indices, starts: Indices, lengths: Indices) -> tuple[Indices, int, Indices]:
    """Number the distinct prefixes: [T] the number of each token's prefix; how many there are; and, per segment,
    how many tokens at its beginning belong to a segment numbered earlier."""
    segments = [tokens[start : start + length] for start, length in zip(starts, lengths, strict=True)]
    # Big-endian bytes sort as the numbers do; in this order the longest common prefix with ANY earlier
    # segment is the one with the segment just before.
    spelled = [segment.astype(">u4").tobytes() for segment in segments]
    node = np.empty(len(tokens), dtype=np.int64)
    shared = np.zeros_like(lengths)
    total = 0
    previous: Indices = tokens[:0]
    previous_node: Indices = node[:0]
    for i in sorted(range(len(segments)), key=spelled.__getitem__):
        segment, start, length = segments[i], int(starts[i]), int(lengths[i])
        least = min(len(previous), length)
        different = np.flatnonzero(previous[:least] != segment[:least])
        common = int(different[0]) if len(different) else least
        shared[i] = common
        here = node[start : start + length]
        here[:common] = previous_node[:common]
        here[common:] = np.arange(total, total + length - common)
        total += length - common
        previous, previous_node = segment, here
    return node, total, shared


def plan_rectangles(sorted_lengths: Sequence[int], overhead: int) -> list[tuple[int, int]]:
    """Cut ascending lengths into runs, each padded to its longest, at the least padding + overhead * runs.

    Returns (segments, padded length) of each run. With overhead 0 only equal lengths go together. Exact, by
    dynamic programming over the distinct lengths.
    """
    values, counts = np.unique(np.asarray(sorted_lengths, dtype=np.int64), return_counts=True)
    if overhead <= 0:
        return [(int(count), int(value)) for value, count in zip(values, counts, strict=True)]
    n = np.concatenate(([0], np.cumsum(counts)))
    area = np.concatenate(([0], np.cumsum(counts * values)))
    best = np.zeros(len(values) + 1, dtype=np.int64)
    cut = np.zeros(len(values) + 1, dtype=np.int64)
    for end in range(1, len(values) + 1):
        cost = best[:end] + values[end - 1] * (n[end] - n[:end]) - (area[end] - area[:end]) + overhead
        cut[end] = int(np.argmin(cost))
        best[end] = cost[cut[end]]
    runs, end = [], len(values)
    while end > 0:
        start = int(cut[end])
        runs.append((int(n[end] - n[start]), int(values[end - 1])))
        end = start
    return runs[::-1]
