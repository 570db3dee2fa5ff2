"""The parts of one decoding step at fixed sizes, and their plain form.

`TritonOps` (`kernels.py`) is the quick form on a GPU; a test holds each of its parts to the plain one here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import silu

from ahalab.policy.forward.attention import decode_attention
from ahalab.policy.forward.cache import Bin, Cached, Company, Step
from ahalab.policy.forward.elementwise import rms_norm, rotate


@dataclass(frozen=True)
class Geometry:
    """Sizes that all layers share."""

    heads: int
    kv_heads: int
    head_dim: int
    scale: float
    """Of the attention scores."""
    epsilon: float
    """Of the norms."""


@dataclass(frozen=True)
class Seats:
    """For the plain form: who reads which prompt together (see `cache.Company`), and how far a row can look."""

    grid: Tensor
    back: Tensor
    prompts: int
    prompt_length: int
    own_length: int
    prompt_mask: Tensor | None = None
    """[R, 1, P] additive; made at the beginning of each step, as is the other."""
    own_mask: Tensor | None = None
    """[R, 1, L]"""


@dataclass(frozen=True)
class StepRows:
    """R rows at fixed addresses; what is in the tensors changes from step to step. int64 [R] each."""

    slots: Tensor
    """The row's slot; the spare one for rows that only fill up the batch."""
    places: Tensor
    """Place of its prompt."""
    prompt_lengths: Tensor
    """0 for rows that only fill up."""
    own: Tensor
    """Own tokens written before: the new one goes there."""
    dense: bool
    """Whether row i is slot i, but for those that only fill up."""
    seats: Seats | None

    def __len__(self) -> int:
        return len(self.slots)


class StepOps(Protocol):
    """The parts of a layer. Own keys and values are [slots * kv_heads, L, D], prompts' [prompts * kv_heads, P, D]."""

    seated: bool
    """Whether `attend` needs `StepRows.seats`."""

    def begin(self, rows: StepRows, dtype: torch.dtype) -> StepRows:
        """What the layers of one step share is made once."""

    def add_norm(self, residual: Tensor, delta: Tensor | None, weight: Tensor, dtype: torch.dtype) -> Tensor:
        """Add `delta` [R, H] to the fp32 `residual` in place; returns its RMS norm in `dtype`."""

    def place_heads(
        self,
        joint: Tensor,
        norms: tuple[Tensor, Tensor] | None,
        table: tuple[Tensor, Tensor],
        rows: StepRows,
        keys: Tensor,
        values: Tensor,
    ) -> Tensor:
        """Write each row's new key and value into its own keys and values; returns queries [R, heads, D].

        `joint` [R, (heads + 2 * kv_heads) * D] holds queries, keys, values; `norms` are those of queries and keys
        where the model has them; `table` cosines and sines [positions, D / 2]. Queries and keys are rotated, and the
        queries scaled.
        """

    def attend(
        self, query: Tensor, own: tuple[Tensor, Tensor], prompt: tuple[Tensor, Tensor], rows: StepRows
    ) -> Tensor:
        """Attention [R, heads * D] of each row over its prompt and its own tokens, the new one included."""

    def gated(self, gate_up: Tensor) -> Tensor:
        """silu(gate) * up [R, I] of [R, 2 * I]."""


class PlainOps:
    """torch's own operations."""

    seated = True

    def __init__(self, geometry: Geometry) -> None:
        self._geometry = geometry

    def begin(self, rows: StepRows, dtype: torch.dtype) -> StepRows:
        """See `StepOps`."""
        assert rows.seats is not None
        seats = replace(
            rows.seats,
            prompt_mask=_mask(rows.prompt_lengths, rows.seats.prompt_length, dtype),
            own_mask=_mask(rows.own + 1, rows.seats.own_length, dtype),
        )
        return replace(rows, seats=seats)

    def add_norm(self, residual: Tensor, delta: Tensor | None, weight: Tensor, dtype: torch.dtype) -> Tensor:
        """See `StepOps`."""
        if delta is not None:
            residual.add_(delta)
        return rms_norm(residual, weight.float(), self._geometry.epsilon).to(dtype)

    def place_heads(
        self,
        joint: Tensor,
        norms: tuple[Tensor, Tensor] | None,
        table: tuple[Tensor, Tensor],
        rows: StepRows,
        keys: Tensor,
        values: Tensor,
    ) -> Tensor:
        """See `StepOps`."""
        g = self._geometry
        heads = joint.view(len(rows), -1, g.head_dim)
        query, key, value = torch.split(heads.float(), [g.heads, g.kv_heads, g.kv_heads], dim=1)
        if norms is not None:
            query, key = (rms_norm(x, w.float(), g.epsilon) for x, w in zip((query, key), norms, strict=True))
        cos, sin = (part.index_select(0, rows.prompt_lengths + rows.own)[:, None] for part in table)
        cos = torch.cat((cos, cos), dim=-1)
        by_head = rows.slots[:, None] * g.kv_heads + torch.arange(g.kv_heads, device=joint.device)
        where = (by_head * keys.shape[1] + rows.own[:, None]).flatten()
        for tensor, new in ((keys, rotate(key, cos, sin)), (values, value)):
            tensor.view(-1, g.head_dim).index_copy_(0, where, new.to(tensor.dtype).flatten(0, 1))
        return rotate(query, cos, sin).mul_(g.scale).to(joint.dtype)

    def attend(
        self, query: Tensor, own: tuple[Tensor, Tensor], prompt: tuple[Tensor, Tensor], rows: StepRows
    ) -> Tensor:
        """See `StepOps`. Masks hide what lies beyond each row's own length and its prompt's."""
        g, seats = self._geometry, rows.seats
        assert seats is not None
        entries = len(rows) * g.kv_heads
        if not rows.dense:
            by_head = rows.slots[:, None] * g.kv_heads + torch.arange(g.kv_heads, device=query.device)
            own = own[0].index_select(0, by_head.flatten()), own[1].index_select(0, by_head.flatten())
        cached = Cached(
            *(t.narrow(0, 0, entries).narrow(1, 0, seats.own_length) for t in own),
            *(t.narrow(0, 0, seats.prompts * g.kv_heads).narrow(1, 0, seats.prompt_length) for t in prompt),
        )
        company = Company(
            seats.grid, seats.back, seats.prompt_mask, seats.prompts, seats.prompt_length, _UNUSED
        )
        step = Step(
            company,
            positions=rows.own,
            bins=(Bin(0, entries, seats.own_length, seats.own_mask),),
            longest=seats.own_length,
            write=0,
            rows=None,
        )
        grouped = query.view(entries, g.heads // g.kv_heads, g.head_dim)
        return decode_attention(grouped, cached, step).view(len(rows), -1)

    def gated(self, gate_up: Tensor) -> Tensor:
        """See `StepOps`."""
        gate, up = gate_up.chunk(2, dim=1)
        return silu(gate) * up


_UNUSED = np.zeros(0, dtype=np.int64)


def _mask(lengths: Tensor, width: int, dtype: torch.dtype) -> Tensor:
    """[R, 1, width] additive mask that leaves the first lengths[i] of each row."""
    hidden = torch.arange(width, device=lengths.device)[None, None, :] >= lengths[:, None, None]
    return torch.zeros(hidden.shape, dtype=dtype, device=lengths.device).masked_fill_(hidden, -torch.inf)
