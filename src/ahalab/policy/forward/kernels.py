"""The parts of a decoding step as Triton kernels, for a GPU. `step_ops.PlainOps` says what each computes.

A step reads every weight and every key and value once, and should do little else. So each part is one kernel, nothing
is padded or masked in memory, and a row reads exactly its prompt's keys and its own. Rows of one prompt run side by
side, so that the prompt comes from the GPU's cache for all but the first of them.
"""

# mypy: ignore-errors
from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ahalab.policy.forward.step_ops import Geometry, StepRows

_PROGRAMS = 768
"""Attention is cut into at least so many programs, about six for each of an H100's 132 processors (our estimate; not
measured yet)."""


@triton.jit
def _add_norm(residual, delta, weight, out, width, epsilon, HAS_DELTA: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < width
    x = tl.load(residual + row * width + column, mask=inside, other=0.0)
    if HAS_DELTA:
        x += tl.load(delta + row * width + column, mask=inside, other=0.0).to(tl.float32)
        tl.store(residual + row * width + column, x, mask=inside)
    inverse = tl.rsqrt(tl.sum(x * x, 0) / width + epsilon)
    scale = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row * width + column, (x * inverse * scale).to(out.dtype.element_ty), mask=inside)


@triton.jit
def _gated(gate_up, out, width, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < width
    gate = tl.load(gate_up + row * 2 * width + column, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(gate_up + row * 2 * width + width + column, mask=inside, other=0.0).to(tl.float32)
    product = gate / (1.0 + tl.exp(-gate)) * up
    tl.store(out + row * width + column, product.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _place_heads(
    joint, query_norm, key_norm, cosines, sines, slots, prompt_lengths, own, query, keys, values,
    own_stride, epsilon, scale,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, DIM: tl.constexpr, HAS_NORMS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    HALF: tl.constexpr = DIM // 2
    column = tl.arange(0, HALF)
    source = joint + (row * (HEADS + 2 * KV_HEADS) + head) * DIM
    first = tl.load(source + column)
    second = tl.load(source + HALF + column)
    slot = tl.load(slots + row)
    at = tl.load(own + row)
    if head >= HEADS + KV_HEADS:
        target = values + (slot * KV_HEADS + head - HEADS - KV_HEADS) * own_stride + at * DIM
        tl.store(target + column, first.to(values.dtype.element_ty))
        tl.store(target + HALF + column, second.to(values.dtype.element_ty))
    else:
        a = first.to(tl.float32)
        b = second.to(tl.float32)
        if HAS_NORMS:
            inverse = tl.rsqrt((tl.sum(a * a, 0) + tl.sum(b * b, 0)) / DIM + epsilon)
            norm = query_norm
            if head >= HEADS:
                norm = key_norm
            a = a * inverse * tl.load(norm + column).to(tl.float32)
            b = b * inverse * tl.load(norm + HALF + column).to(tl.float32)
        position = tl.load(prompt_lengths + row) + at
        cosine = tl.load(cosines + position * HALF + column)
        sine = tl.load(sines + position * HALF + column)
        turned_a = a * cosine - b * sine
        turned_b = b * cosine + a * sine
        if head < HEADS:
            target = query + (row * HEADS + head) * DIM
            tl.store(target + column, (turned_a * scale).to(query.dtype.element_ty))
            tl.store(target + HALF + column, (turned_b * scale).to(query.dtype.element_ty))
        else:
            target = keys + (slot * KV_HEADS + head - HEADS) * own_stride + at * DIM
            tl.store(target + column, turned_a.to(keys.dtype.element_ty))
            tl.store(target + HALF + column, turned_b.to(keys.dtype.element_ty))


@triton.jit
def _attend(
    query, own_keys, own_values, prompt_keys, prompt_values, slots, places, prompt_lengths, own,
    out, partial, logs, own_stride, prompt_stride,
    KV_HEADS: tl.constexpr, GROUPS: tl.constexpr, DIM: tl.constexpr, SPLITS: tl.constexpr,
    GROUP_BLOCK: tl.constexpr, BLOCK: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """One (row, kv head, split): its prompt's blocks of keys first, then its own; a split takes a run of blocks."""
    row = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    split = tl.program_id(2)
    prompt_length = tl.load(prompt_lengths + row)
    own_length = tl.load(own + row) + 1
    prompt_blocks = tl.cdiv(prompt_length, BLOCK)
    blocks = prompt_blocks + tl.cdiv(own_length, BLOCK)
    each = tl.cdiv(blocks, SPLITS)
    start = split * each
    stop = tl.minimum(start + each, blocks)
    prompt_at = (tl.load(places + row) * KV_HEADS + head) * prompt_stride
    own_at = (tl.load(slots + row) * KV_HEADS + head) * own_stride

    group = tl.arange(0, GROUP_BLOCK)
    column = tl.arange(0, DIM)
    line = tl.arange(0, BLOCK)
    at_query = (row * KV_HEADS + head) * GROUPS
    real = group < GROUPS
    q = tl.load(query + (at_query + group)[:, None] * DIM + column[None, :], mask=real[:, None], other=0.0)
    highest = tl.full([GROUP_BLOCK], float("-inf"), tl.float32)
    total = tl.zeros([GROUP_BLOCK], tl.float32)
    result = tl.zeros([GROUP_BLOCK, DIM], tl.float32)
    for block in range(start, stop):
        of_prompt = block < prompt_blocks
        first = tl.where(of_prompt, block, block - prompt_blocks) * BLOCK
        left = tl.where(of_prompt, prompt_length, own_length) - first
        at = tl.where(of_prompt, prompt_at, own_at) + first * DIM
        inside = line < left
        keys = tl.where(of_prompt, prompt_keys, own_keys) + at
        values = tl.where(of_prompt, prompt_values, own_values) + at
        k = tl.load(keys + line[:, None] * DIM + column[None, :], mask=inside[:, None], other=0.0)
        scores = tl.dot(q, tl.trans(k), input_precision=PRECISION)
        scores = tl.where(inside[None, :], scores, float("-inf"))
        higher = tl.maximum(highest, tl.max(scores, 1))
        weights = tl.exp(scores - higher[:, None])
        fade = tl.exp(highest - higher)
        total = total * fade + tl.sum(weights, 1)
        v = tl.load(values + line[:, None] * DIM + column[None, :], mask=inside[:, None], other=0.0)
        result = result * fade[:, None] + tl.dot(weights.to(v.dtype), v, input_precision=PRECISION)
        highest = higher
    if SPLITS == 1:
        target = out + (at_query + group)[:, None] * DIM + column[None, :]
        tl.store(target, (result / total[:, None]).to(out.dtype.element_ty), mask=real[:, None])
    else:
        place = (at_query + group) * SPLITS + split
        tl.store(partial + place[:, None] * DIM + column[None, :], result, mask=real[:, None])
        # The log of the split's share of the softmax; a split without blocks has none. Its result is not normalised.
        tl.store(logs + place * 2, highest, mask=real)
        tl.store(logs + place * 2 + 1, total, mask=real)


@triton.jit
def _combine(partial, logs, out, DIM: tl.constexpr, SPLITS: tl.constexpr, SPLIT_BLOCK: tl.constexpr):
    """One (row, head): the splits' results, each weighed by its share of the softmax."""
    at = tl.program_id(0).to(tl.int64)
    split = tl.arange(0, SPLIT_BLOCK)
    column = tl.arange(0, DIM)
    inside = split < SPLITS
    highest = tl.load(logs + (at * SPLITS + split) * 2, mask=inside, other=float("-inf"))
    total = tl.load(logs + (at * SPLITS + split) * 2 + 1, mask=inside, other=0.0)
    share = tl.exp(highest - tl.max(highest, 0))
    parts = tl.load(
        partial + (at * SPLITS + split)[:, None] * DIM + column[None, :], mask=inside[:, None], other=0.0
    )
    result = tl.sum(parts * share[:, None], 0) / tl.sum(share * total, 0)
    tl.store(out + at * DIM + column, result.to(out.dtype.element_ty))


class TritonOps:
    """See `StepOps`.

    Attention is cut into at least `programs` programs, each of which reads `block` keys at a time, `stages` - 1 blocks
    ahead. A block of 64 keys leaves place for four to six programs on each of an H100's processors.
    """

    seated = False

    def __init__(
        self, geometry: Geometry, *, programs: int = _PROGRAMS, block: int = 64, stages: int = 3
    ) -> None:
        self._geometry = geometry
        self._programs, self._block, self._stages = programs, block, stages

    def begin(self, rows: StepRows, dtype: torch.dtype) -> StepRows:  # noqa: ARG002
        """See `StepOps`. Nothing to do: the kernels look at lengths themselves."""
        return rows

    def splits(self, rows: int) -> int:
        """Programs for each (row, kv head): enough to fill the GPU, a power of two, at most 32."""
        splits = 1
        while splits < 32 and rows * self._geometry.kv_heads * splits < self._programs:
            splits *= 2
        return splits

    def add_norm(self, residual: Tensor, delta: Tensor | None, weight: Tensor, dtype: torch.dtype) -> Tensor:
        """See `StepOps`."""
        rows, width = residual.shape
        out = torch.empty(rows, width, dtype=dtype, device=residual.device)
        block = triton.next_power_of_2(width)
        _add_norm[(rows,)](
            residual,
            residual if delta is None else delta,
            weight,
            out,
            width,
            self._geometry.epsilon,
            HAS_DELTA=delta is not None,
            BLOCK=block,
            num_warps=4 if block <= 2048 else 8,
        )
        return out

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
        query = torch.empty(len(rows), g.heads, g.head_dim, dtype=joint.dtype, device=joint.device)
        query_norm, key_norm = (joint, joint) if norms is None else norms
        _place_heads[(len(rows), g.heads + 2 * g.kv_heads)](
            joint,
            query_norm,
            key_norm,
            table[0],
            table[1],
            rows.slots,
            rows.prompt_lengths,
            rows.own,
            query,
            keys,
            values,
            keys.stride(0),
            g.epsilon,
            g.scale,
            HEADS=g.heads,
            KV_HEADS=g.kv_heads,
            DIM=g.head_dim,
            HAS_NORMS=norms is not None,
            num_warps=1,
        )
        return query

    def attend(
        self, query: Tensor, own: tuple[Tensor, Tensor], prompt: tuple[Tensor, Tensor], rows: StepRows
    ) -> Tensor:
        """See `StepOps`."""
        g, n = self._geometry, len(rows)
        splits = self.splits(n)
        out = torch.empty(n, g.heads * g.head_dim, dtype=query.dtype, device=query.device)
        partial = logs = out
        if splits > 1:
            partial = torch.empty(n * g.heads * splits, g.head_dim, dtype=torch.float32, device=query.device)
            logs = torch.empty(n * g.heads * splits, 2, dtype=torch.float32, device=query.device)
        _attend[(n, g.kv_heads, splits)](
            query,
            *own,
            *prompt,
            rows.slots,
            rows.places,
            rows.prompt_lengths,
            rows.own,
            out,
            partial,
            logs,
            own[0].stride(0),
            prompt[0].stride(0),
            KV_HEADS=g.kv_heads,
            GROUPS=g.heads // g.kv_heads,
            DIM=g.head_dim,
            SPLITS=splits,
            GROUP_BLOCK=max(16, triton.next_power_of_2(g.heads // g.kv_heads)),
            BLOCK=self._block,
            PRECISION="ieee" if query.dtype == torch.float32 else "tf32",
            num_warps=4,
            num_stages=self._stages,
        )
        if splits > 1:
            _combine[(n * g.heads,)](
                partial,
                logs,
                out,
                DIM=g.head_dim,
                SPLITS=splits,
                SPLIT_BLOCK=triton.next_power_of_2(splits),
                num_warps=1,
            )
        return out

    def gated(self, gate_up: Tensor) -> Tensor:
        """See `StepOps`."""
        rows, width = len(gate_up), gate_up.shape[1] // 2
        out = torch.empty(rows, width, dtype=gate_up.dtype, device=gate_up.device)
        block = min(1024, triton.next_power_of_2(width))
        _gated[(rows, triton.cdiv(width, block))](gate_up, out, width, BLOCK=block, num_warps=4)
        return out
