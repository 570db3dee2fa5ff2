"""The lean decoder's key/value cache: each prompt once, and per row only what the row itself has written.

Prompts and rows both stay dense: when one leaves, the last one takes its place. So decoding always works on the
first n rows and the first g prompts of each tensor, without gathering, and the batch shrinks as rows finish.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Indices = npt.NDArray[np.int64]

_FIRST_BLOCK = 64
"""Tokens per row allocated at first; grown by half whenever full, so short samples never pay for max_new_tokens."""


_BINS, _ROWS_PER_BIN = 4, 16
"""Rows of unequal age are read in up to 4 bins of 16 rows or more: 7 to 12 % less time a token where rows enter
all the time (128 rows, 480 to 1,280 samples of mean length 66, one core, alternating in one run)."""
_SORT_AFTER = 2
"""Sort once the disorder has cost this many times the tokens that sorting copies (2, 4 and 8 measured)."""
_SHRINK_AT = 4
"""Memory is given back when it is more than this many times what the present rows need (our choice: seldom)."""


def _bin_edges(n: int) -> Indices:
    """The first row of each bin."""
    bins = max(1, min(_BINS, n // _ROWS_PER_BIN))
    return np.arange(bins, dtype=np.int64) * n // bins


class Cached(NamedTuple):
    """One layer's keys and values, as `decode_attention` reads them. L own tokens, P prompt tokens."""

    own_keys: Tensor
    """[n * kv_heads, L, D]"""
    own_values: Tensor
    prompt_keys: Tensor
    """[g * kv_heads, P, D]"""
    prompt_values: Tensor


@dataclass(frozen=True)
class Company:
    """Which of n rows reads which of g prompts. Changes only when rows enter, leave or move."""

    grid: Tensor
    """[g * kv_heads * seats] the (row, kv head) in each seat at each prompt; empty seats repeat row 0."""
    back: Tensor
    """[n * kv_heads] the seat of each (row, kv head)."""
    mask: Tensor | None
    """[n, 1, P] additive, over the rows' prompts; None when all are equally long."""
    prompts: int
    longest: int
    """P: the longest prompt that a row reads."""
    lengths: Indices
    """[n] length of each row's prompt."""


class Bin(NamedTuple):
    """Neighbouring rows that look back equally far, so that young rows do not pay for old ones."""

    start: int
    """In units of (row, kv head)."""
    stop: int
    length: int
    """L: the longest row's own tokens, the new one included."""
    mask: Tensor | None
    """[rows, 1, L] additive, over the rows' own tokens; None when all are equally long."""


@dataclass(frozen=True)
class Step:
    """One decoding step of n rows: where each layer writes, and what it reads."""

    company: Company
    positions: Tensor
    """[n] position of the new token in its sequence."""
    bins: tuple[Bin, ...]
    longest: int
    write: int | Tensor
    """Own position of the new token, or flat indices [n * kv_heads] into [rows * kv_heads * room]."""
    rows: Tensor | None
    """[n * kv_heads] which (slot, kv head) the rows are; None for slots 0 … n-1."""


class SlotCache:
    """Preallocated keys and values of a Llama-like model. See `KVCache` for the contract.

    Per layer: prompts [prompts * kv_heads, P, D] and own tokens [rows * kv_heads, L, D], each twice (keys and
    values) and grown in blocks.
    """

    def __init__(
        self,
        *,
        layers: int,
        kv_heads: int,
        head_dim: int,
        rows: int,
        capacity: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.rows = rows
        self.capacity = capacity
        self._heads = kv_heads
        self._head_dim = head_dim
        self._device = device
        self._dtype = dtype
        # Of each layer: keys, values.
        self._own = [self._zeros(0, 0) for _ in range(2 * layers)]
        self._prompt = [self._zeros(0, 0) for _ in range(2 * layers)]
        self._place: dict[int, int] = {}
        self._numbers: list[int] = []
        self._prompt_lengths = np.zeros(0, dtype=np.int64)
        self._next_number = 0
        self._prompt_of = np.full(rows, -1, dtype=np.int64)
        self._own_lengths = np.zeros(rows, dtype=np.int64)
        self._company: tuple[int, Company] | None = None
        self._waste = 0

    # --- prompts -------------------------------------------------------------------------------------------

    def add_prompts(self, lengths: Sequence[int]) -> list[int]:
        """Make room for prompts of these lengths; returns their numbers, which count up from 0."""
        if max(lengths) > self.capacity:
            raise ValueError(f"a prompt of {max(lengths)} tokens does not fit a cache for {self.capacity}")
        numbers = list(range(self._next_number, self._next_number + len(lengths)))
        self._next_number += len(lengths)
        held = len(self._numbers)
        self._place.update({number: held + offset for offset, number in enumerate(numbers)})
        self._numbers.extend(numbers)
        self._prompt_lengths = np.concatenate((self._prompt_lengths, np.asarray(lengths, dtype=np.int64)))
        have, room = self._prompt[0].shape[0] // self._heads, self._prompt[0].shape[1]
        need, longest = len(self._numbers), max(lengths)
        if need > have or longest > room:
            prompts = have if need <= have else max(need, have + have // 2)
            # No longer than the longest that is held: one that has left must not set the size of all to come.
            longest = int(self._prompt_lengths.max())
            self._prompt = [self._grown(t, held, min(room, longest), prompts, longest) for t in self._prompt]
        self._company = None
        return numbers

    def store_prompts(self, layer: int, numbers: Sequence[int], keys: Tensor, values: Tensor) -> None:
        """Write keys and values [len(numbers), kv_heads, P, D] of prompts just added (right padding is masked)."""
        first, length = self._place[numbers[0]] * self._heads, keys.shape[2]
        for tensor, new in zip(self._prompt[2 * layer : 2 * layer + 2], (keys, values), strict=True):
            tensor[first : first + len(numbers) * self._heads, :length] = new.flatten(0, 1)

    @torch.inference_mode()
    def forget(self, prompt: int) -> None:
        """Drop a prompt that no row reads any more and none will; the last one takes its place."""
        hole, last = self._place.pop(prompt), len(self._numbers) - 1
        if hole != last:
            for tensor in self._prompt:
                by_prompt = tensor.view(-1, self._heads, *tensor.shape[1:])
                by_prompt[hole] = by_prompt[last]
            self._numbers[hole] = self._numbers[last]
            self._place[self._numbers[hole]] = hole
            self._prompt_lengths[hole] = self._prompt_lengths[last]
            self._prompt_of[self._prompt_of == last] = hole
        self._numbers.pop()
        self._prompt_lengths = self._prompt_lengths[:last]
        self._company = None

    # --- rows ----------------------------------------------------------------------------------------------

    def enter(self, prompt: int, slots: Sequence[int]) -> None:
        """Begin one row after `prompt` in each of these free slots."""
        places = np.asarray(slots, dtype=np.int64)
        self._prompt_of[places] = self._place[prompt]
        self._own_lengths[places] = 0
        self._company = None

    @torch.inference_mode()
    def move(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Move row sources[i] to slot targets[i]; no slot may occur twice."""
        if len(sources) == 0:
            return
        source, target = np.asarray(sources, dtype=np.int64), np.asarray(targets, dtype=np.int64)
        self._copy_rows(source, target)
        self.free(sources)

    def free(self, slots: Sequence[int]) -> None:
        """Forget what these slots hold."""
        self._prompt_of[np.asarray(slots, dtype=np.int64)] = -1
        self._company = None

    @torch.inference_mode()
    def tidy(self, n: int) -> Indices | None:
        """Sort slots 0 … n-1, oldest row first, once the disorder has cost more than sorting does.

        Returns the order: slot i now holds what slot order[i] held. None when nothing was moved.
        """
        own = self._own_lengths[:n]
        edges = _bin_edges(n)
        if len(edges) == 1 or int(own.max()) == int(own.min()):
            return None
        order = np.argsort(-own, kind="stable")
        # In tokens read: the disorder adds up step by step; sorting copies each row once, to the longest's length.
        rows = np.diff(edges, append=n)
        self._waste += int(rows @ (np.maximum.reduceat(own, edges) - np.maximum.reduceat(own[order], edges)))
        if self._waste <= _SORT_AFTER * n * int(own.max()):
            return None
        self._waste = 0
        moved = np.flatnonzero(order != np.arange(n))
        self._copy_rows(order[moved], moved)
        self._company = None
        return order

    @torch.inference_mode()
    def shrink(self, n: int) -> None:
        """See `KVCache`."""
        length = int(self._own_lengths[:n].max()) if n else 0
        room = min(self.capacity, max(_FIRST_BLOCK, length + length // 2))
        if self._own[0].shape[0] * self._own[0].shape[1] > _SHRINK_AT * n * self._heads * room:
            self._own = [self._grown(t, n, length, n, room) for t in self._own]
        held = len(self._numbers)
        longest = int(self._prompt_lengths.max()) if held else 0
        if self._prompt[0].shape[0] * self._prompt[0].shape[1] > _SHRINK_AT * held * self._heads * longest:
            self._prompt = [self._grown(t, held, longest, held, longest) for t in self._prompt]

    def _copy_rows(self, source: Indices, target: Indices) -> None:
        # A row that has just entered has written nothing, and its slot may lie beyond what is allocated so far.
        written = self._own_lengths[source] > 0
        if written.any():
            length = int(self._own_lengths[source].max())
            from_, to = (self._tensor(self._by_head(slots[written])) for slots in (source, target))
            for tensor in self._own:
                tensor[to, :length] = tensor[from_, :length]
        self._prompt_of[target], self._own_lengths[target] = (
            self._prompt_of[source],
            self._own_lengths[source],
        )

    # --- decoding ------------------------------------------------------------------------------------------

    def begin_step(self, n: int, slots: Tensor | None) -> Step:
        """Plan one more token for slots 0 … n-1, or for the n named ones, and count it as written."""
        chosen = np.arange(n) if slots is None else slots.cpu().numpy()
        company = self._company_of(chosen, cached=slots is None)
        own = self._own_lengths[chosen]
        positions = company.lengths + own
        if int(positions.max()) >= self.capacity:
            raise ValueError(f"a sequence outgrew the cache's capacity of {self.capacity} tokens")
        longest = int(own.max())
        self._ensure_own(int(chosen.max()) + 1, longest + 1)
        self._own_lengths[chosen] = own + 1

        aligned = longest == int(own.min())
        edges = _bin_edges(n) if not aligned and slots is None else np.zeros(1, dtype=np.int64)
        bins = []
        for start, stop in zip(edges.tolist(), [*edges[1:].tolist(), n], strict=True):
            lengths = own[start:stop] + 1
            length = int(lengths.max())
            mask = None if length == int(lengths.min()) else self._mask(lengths, length)
            bins.append(Bin(start * self._heads, stop * self._heads, length, mask))
        rows = None if aligned and slots is None else self._by_head(chosen)
        write: int | Tensor = longest
        if rows is not None:
            write = self._tensor(rows * self._own[0].shape[1] + np.repeat(own, self._heads))
        return Step(
            company,
            positions=self._tensor(positions),
            bins=tuple(bins),
            longest=longest + 1,
            write=write,
            rows=None if slots is None or rows is None else self._tensor(rows),
        )

    def append(self, layer: int, key: Tensor, value: Tensor, step: Step) -> Cached:
        """Write the new keys and values [n, kv_heads, D]; returns all that the step's rows look at."""
        rows, own = key.shape[0] * self._heads, []
        for tensor, new in ((self._own[2 * layer], key), (self._own[2 * layer + 1], value)):
            if isinstance(step.write, int):
                tensor[:rows, step.write] = new.reshape(rows, self._head_dim)
            else:
                tensor.view(-1, self._head_dim).index_copy_(0, step.write, new.reshape(rows, self._head_dim))
            part = tensor.narrow(0, 0, rows) if step.rows is None else tensor.index_select(0, step.rows)
            own.append(part.narrow(1, 0, step.longest))
        seats, length = step.company.prompts * self._heads, step.company.longest
        keys, values = (
            t.narrow(0, 0, seats).narrow(1, 0, length) for t in self._prompt[2 * layer : 2 * layer + 2]
        )
        return Cached(own[0], own[1], keys, values)

    def _company_of(self, chosen: Indices, *, cached: bool) -> Company:
        if cached and self._company is not None and self._company[0] == len(chosen):
            return self._company[1]
        prompt_of, prompts, n = self._prompt_of[chosen], len(self._numbers), len(chosen)
        if int(prompt_of.min()) < 0:
            raise ValueError("decode was asked for a slot that holds no sequence")
        counts = np.bincount(prompt_of, minlength=prompts)
        seats = int(counts.max())
        order = np.argsort(prompt_of, kind="stable")
        seat = np.empty(n, dtype=np.int64)
        seat[order] = np.arange(n) - np.repeat(np.cumsum(counts) - counts, counts)
        heads = np.arange(self._heads)[None, :]
        grid = np.zeros((prompts, self._heads, seats), dtype=np.int64)
        grid[prompt_of[:, None], heads, seat[:, None]] = np.arange(n)[:, None] * self._heads + heads
        back = (prompt_of[:, None] * self._heads + heads) * seats + seat[:, None]
        lengths = self._prompt_lengths[prompt_of]
        longest = int(lengths.max())
        mask = None if longest == int(lengths.min()) else self._mask(lengths, longest)
        company = Company(
            self._tensor(grid.ravel()), self._tensor(back.ravel()), mask, prompts, longest, lengths
        )
        if cached:
            self._company = (n, company)
        return company

    # --- storage -------------------------------------------------------------------------------------------

    def _ensure_own(self, rows: int, length: int) -> None:
        have, room = self._own[0].shape[0] // self._heads, self._own[0].shape[1]
        if length > room:
            # Growing is also the moment to give back the rows of samples that finished.
            new_rows, new_room = rows, min(self.capacity, max(length, _FIRST_BLOCK, room + room // 2))
        elif rows > have:
            new_rows = min(self.rows, max(rows, have + have // 2))
            longest = max(length, int(self._own_lengths[self._prompt_of >= 0].max()))
            new_room = min(room, max(_FIRST_BLOCK, longest + longest // 2))
        else:
            return
        kept = min(room, new_room)
        self._own = [self._grown(t, min(have, new_rows), kept, new_rows, new_room) for t in self._own]

    def _grown(self, old: Tensor, entries: int, length: int, new_entries: int, new_length: int) -> Tensor:
        new = self._zeros(new_entries, new_length)
        new[: entries * self._heads, :length] = old[: entries * self._heads, :length]
        return new

    def _zeros(self, entries: int, length: int) -> Tensor:
        """Zeros, because a masked NaN would still be a NaN."""
        shape = (entries * self._heads, length, self._head_dim)
        if self._device.type == "cpu" and self._dtype == torch.float32:
            # The system hands out zeroed pages as they are touched; torch would write them all first.
            return torch.from_numpy(np.zeros(shape, dtype=np.float32))
        return torch.zeros(shape, dtype=self._dtype, device=self._device)

    def _by_head(self, slots: Indices) -> Indices:
        return (slots[:, None] * self._heads + np.arange(self._heads)).ravel()

    def _mask(self, lengths: Indices, width: int) -> Tensor:
        """[n, 1, width] additive mask that leaves the first lengths[i] of each row."""
        hidden = np.arange(width)[None, None, :] >= lengths[:, None, None]
        mask = torch.zeros(hidden.shape, dtype=self._dtype)
        return mask.masked_fill_(torch.from_numpy(hidden), -torch.inf).to(self._device)

    def _tensor(self, indices: Indices) -> Tensor:
        return torch.from_numpy(indices).to(self._device)
