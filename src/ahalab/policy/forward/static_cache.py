"""The lean decoder's cache in memory that does not move, so that recorded GPU graphs can point at it.

The layout is that of `SlotCache`. What differs: the memory outlives one rollout, grows in large blocks, and has one
row more than there are slots, where rows that only fill up a batch write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ahalab.policy.forward.cache import Indices, SlotCache

_BLOCK = 256
"""Own tokens are allocated in multiples of this, growing by half: few moves, each of which costs all graphs."""


def multiple(n: int, step: int) -> int:
    """The next multiple of `step`."""
    return -(-n // step) * step


def bucket(n: int, step: int) -> int:
    """The next power of two below `step`, from there on the next multiple of it."""
    return 1 << (max(n, 1) - 1).bit_length() if n < step else multiple(n, step)


class Storage:
    """Keys and values of every layer, by turns: own [(rows + 1) * kv_heads, L, D], prompt [prompts * kv_heads, P, D].

    `generation` goes up when any tensor moves.
    """

    def __init__(
        self, *, layers: int, kv_heads: int, head_dim: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.kv_heads, self.head_dim = kv_heads, head_dim
        self.dtype, self.device = dtype, device
        self.own = [self._zeros(0, 0) for _ in range(2 * layers)]
        self.prompt = [self._zeros(0, 0) for _ in range(2 * layers)]
        self.generation = 0

    @property
    def room(self) -> int:
        """Own tokens a row has place for."""
        return self.own[0].shape[1]

    @property
    def rows(self) -> int:
        """Rows there is place for, the spare one not counted. The spare one is row number `rows`."""
        return max(self.own[0].shape[0] // self.kv_heads - 1, 0)

    @property
    def prompts(self) -> int:
        return self.prompt[0].shape[0] // self.kv_heads

    def fit_own(self, rows: int, length: int) -> None:
        """Make place for so many rows of so many own tokens; what is there stays."""
        if rows > self.rows or length > self.room:
            wanted = length if length <= self.room else max(length, self.room + self.room // 2)
            self._enlarge(self.own, max(rows, self.rows) + 1, max(multiple(wanted, _BLOCK), self.room))

    def fit_prompts(self, prompts: int, length: int) -> None:
        """Make place for so many prompts of so many tokens; what is there stays."""
        if prompts > self.prompts or length > self.prompt[0].shape[1]:
            self._enlarge(self.prompt, max(prompts, self.prompts), max(length, self.prompt[0].shape[1]))

    def _enlarge(self, tensors: list[Tensor], entries: int, length: int) -> None:
        self.generation += 1
        for place, old in enumerate(tensors):  # layer by layer: old and new never lie side by side as a whole
            new = self._zeros(entries, length)
            new[: old.shape[0], : old.shape[1]] = old
            tensors[place] = new

    def _zeros(self, entries: int, length: int) -> Tensor:
        shape = (entries * self.kv_heads, length, self.head_dim)
        return torch.zeros(shape, dtype=self.dtype, device=self.device)


class Rows(NamedTuple):
    """What n rows are about to read, on the host."""

    slots: Indices
    """[n]"""
    places: Indices
    """[n] place of each row's prompt."""
    prompt_lengths: Indices
    """[n]"""
    own: Indices
    """[n] own tokens already written: where the next one goes."""


class StaticCache(SlotCache):
    """`SlotCache` in a `Storage`. A storage serves one cache at a time, the one made last."""

    def __init__(self, storage: Storage, *, rows: int, capacity: int) -> None:
        super().__init__(
            layers=len(storage.own) // 2,
            kv_heads=storage.kv_heads,
            head_dim=storage.head_dim,
            rows=rows,
            capacity=capacity,
            dtype=storage.dtype,
            device=storage.device,
        )
        self.storage = storage
        self._own, self._prompt = storage.own, storage.prompt
        self._ensure_own(rows, 1)

    @property
    def prompts(self) -> int:
        """Prompts held."""
        return len(self._numbers)

    @property
    def longest_prompt(self) -> int:
        """Of all that are held: it changes less often than that of the rows at work."""
        return int(self._prompt_lengths.max())

    def add_prompts(self, lengths: Sequence[int]) -> list[int]:
        """See `SlotCache`."""
        self.storage.fit_prompts(bucket(self.prompts + len(lengths), 32), multiple(max(lengths), 64))
        return super().add_prompts(lengths)

    def tidy(self, n: int) -> None:
        """Rows of unequal age cost nothing here, or no more than sorting them would."""

    def shrink(self, n: int) -> None:
        """The storage outlives its caches, and its graphs point into it."""

    def next_rows(self, chosen: Indices) -> Rows:
        """Count one more token for these slots; returns where it goes and what each row reads."""
        places, own = self._prompt_of[chosen], self._own_lengths[chosen]
        if int(places.min()) < 0:
            raise ValueError("decode was asked for a slot that holds no sequence")
        prompt_lengths = self._prompt_lengths[places]
        if int((prompt_lengths + own).max()) >= self.capacity:
            raise ValueError(f"a sequence outgrew the cache's capacity of {self.capacity} tokens")
        self._ensure_own(self.rows, int(own.max()) + 1)
        self._own_lengths[chosen] = own + 1
        return Rows(chosen, places, prompt_lengths, own)

    def _ensure_own(self, rows: int, length: int) -> None:
        self.storage.fit_own(bucket(max(rows, self.rows), 32), length)


def company_of(
    places: Indices, rows: int, prompts: int, seats: int, kv_heads: int
) -> tuple[Indices, Indices]:
    """`Company.grid` and `.back` for `rows` rows of which only the first len(places) are real, at fixed sizes.

    The others sit at prompt 0, in the seat of its first row, and see nothing of it (its mask is theirs to set).
    """
    n = len(places)
    counts = np.bincount(places, minlength=prompts)
    order = np.argsort(places, kind="stable")
    seat = np.zeros(rows, dtype=np.int64)
    seat[order] = np.arange(n) - np.repeat(np.cumsum(counts) - counts, counts)
    heads = np.arange(kv_heads)[None, :]
    grid = np.zeros((prompts, kv_heads, seats), dtype=np.int64)
    grid[places[:, None], heads, seat[:n, None]] = np.arange(n)[:, None] * kv_heads + heads
    at = np.concatenate((places, np.zeros(rows - n, dtype=np.int64)))
    back = (at[:, None] * kv_heads + heads) * seats + seat[:, None]
    return grid.ravel(), back.ravel()
