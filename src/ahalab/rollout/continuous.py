"""Continuous batching for a server: replies of different clients join and leave one running batch at any step.

Twin of `EmbeddedEngine` for work that is not known beforehand: each row has its own settings, key and end. A row's
random numbers hang on its key and its own token count alone, so company never changes a reply beyond promise 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ahalab.counter import uniforms
from ahalab.policy.forward import Decoder
from ahalab.rollout.embedded import compaction
from ahalab.rollout.engine import Sampling
from ahalab.rollout.sampling import draw


@dataclass(eq=False, slots=True)
class Row:
    """One reply under way."""

    prompt: tuple[int, ...]
    sampling: Sampling
    key: int
    """64 bits that name its random numbers (`ahalab.counter.row_key`)."""
    cancelled: bool = False
    """Set by anyone at any time: the row leaves with the next step."""
    count: int = 0
    """Tokens drawn."""
    number: int = -1
    """Of its prompt in the cache."""

    @property
    def longest(self) -> int:
        """Tokens it may come to, its prompt included."""
        return len(self.prompt) + self.sampling.max_new_tokens


class Drawn(NamedTuple):
    """One token of one row. The stop token is among them."""

    row: Row
    token: int
    finish: Literal["", "stop", "length"]


class ContinuousBatch:
    """Rows that are decoded together. Not thread-safe.

    After an exception it is in no defined state: drop it and make a new one.

    Args:
        rows: most rows at a time.
        capacity: most tokens of a row, its prompt included.
    """

    def __init__(self, decoder: Decoder, rows: int, capacity: int) -> None:
        self._decoder, self._most = decoder, rows
        self._cache = decoder.new_cache(rows, capacity)
        self._rows: list[Row] = []
        self._hidden: Tensor | None = None
        self._prompts = 0

    @property
    def rows(self) -> Sequence[Row]:
        """Those at work."""
        return self._rows

    @torch.inference_mode()
    def enter(self, rows: Sequence[Row]) -> None:
        """Run their prompts in one pass and put them beside the others.

        Raises:
            ValueError: more rows than there is room for; `forbidden_first`, which is for experiments in batches.
        """
        active = len(self._rows)
        if active + len(rows) > self._most:
            raise ValueError(f"{len(rows)} rows to enter, but {active} of {self._most} are at work")
        if any(row.sampling.forbidden_first for row in rows):
            raise ValueError("forbidden_first is not offered here")
        slots = [[active + offset] for offset in range(len(rows))]
        hidden = self._decoder.prefill([row.prompt for row in rows], self._cache, slots)
        for row in rows:
            row.number, self._prompts = self._prompts, self._prompts + 1
        self._rows.extend(rows)
        self._hidden = hidden if self._hidden is None else torch.cat((self._hidden, hidden))

    @torch.inference_mode()
    def step(self) -> list[Drawn]:
        """Draw one token for every row; those that ended or were cancelled leave. The cancelled are not returned."""
        if not self._rows:
            return []
        assert self._hidden is not None
        tokens = self._draw(self._decoder.logits(self._hidden))
        drawn = []
        done = np.zeros(len(self._rows), dtype=bool)
        for slot, (row, token) in enumerate(zip(self._rows, tokens.tolist(), strict=True)):
            row.count += 1
            if row.cancelled:
                done[slot] = True
                continue
            ended = row.count >= row.sampling.max_new_tokens
            finish: Literal["", "stop", "length"] = "length" if ended else ""
            if token in row.sampling.stop_ids:
                finish = "stop"
            done[slot] = finish != ""
            drawn.append(Drawn(row, token, finish))
        if done.any():
            tokens = self._leave(done, tokens)
        self._hidden = self._next(tokens) if len(self._rows) else None
        return drawn

    def _draw(self, logits: Tensor) -> Tensor:
        """[B] on the CPU. Rows with the same settings are drawn together."""
        rows = self._rows
        keys = np.array([row.key for row in rows], dtype=np.uint64)
        counts = np.array([row.count for row in rows], dtype=np.int64)
        numbers = torch.from_numpy(uniforms(keys, counts)).to(logits.device)
        groups: dict[tuple[float, float, int], list[int]] = {}
        for slot, row in enumerate(rows):
            settings = row.sampling
            groups.setdefault((settings.temperature, settings.top_p, settings.top_k), []).append(slot)
        if len(groups) == 1:
            return draw(logits, numbers, rows[0].sampling)[0].cpu()
        tokens = torch.empty(len(rows), dtype=torch.int64)
        for slots in groups.values():
            at = torch.tensor(slots, device=logits.device)
            found, _ = draw(logits[at], numbers[at], rows[slots[0]].sampling)
            tokens[slots] = found.cpu()
        return tokens

    def _leave(self, done: npt.NDArray[np.bool_], tokens: Tensor) -> Tensor:
        """Take rows out; the last ones move into their slots. Returns the others' tokens."""
        holes, movers = compaction(done)
        left = len(done) - int(done.sum())
        gone = [self._rows[slot] for slot in np.flatnonzero(done)]
        self._cache.free(np.flatnonzero(done).tolist())
        self._cache.move(movers.tolist(), holes.tolist())
        for hole, mover in zip(holes.tolist(), movers.tolist(), strict=True):
            self._rows[hole] = self._rows[mover]
            tokens[hole] = tokens[mover]
        del self._rows[left:]
        for row in gone:
            self._cache.forget(row.number)
        self._cache.shrink(left)
        return tokens[:left]

    def _next(self, tokens: Tensor) -> Tensor:
        order = self._cache.tidy(len(tokens))
        if order is not None:
            self._rows = [self._rows[slot] for slot in order.tolist()]
            tokens = tokens[torch.from_numpy(order)]
        return self._decoder.decode(tokens.to(self._decoder.device), None, self._cache)
