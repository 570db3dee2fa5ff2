"""Mixed precision for the learner: bf16 matrix products over fp32 master weights.

What is rounded to bf16 and what is not (our choice; the paper does not say):

- The parameters stay fp32. Each is rounded once per packed call, inside autograd, so that its gradient arrives
  in fp32 in the parameter itself.
- Every product takes bf16 operands, attention too. The residual stream, the norms and the rotation of queries
  and keys are fp32, and so is what leaves the forward.
- The output head (`mixed_head.py`) takes bf16 operands and keeps its sums in fp32.

What the rounding does to the log-probs is logged as `sampler_mismatch_mean`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.nn.functional import embedding, linear, silu

from ahalab.policy.forward.attention import packed_attention
from ahalab.policy.forward.decoder import Decoder
from ahalab.policy.forward.elementwise import rms_norm, rotate
from ahalab.policy.forward.fusion import any_rows, compiled, worth_fusing
from ahalab.policy.forward.layout import Layout, plan_layout
from ahalab.policy.forward.lean import LeanDecoder
from ahalab.policy.forward.varlen import runs_varlen
from ahalab.policy.forward.weights import Linear, SharedLayer

ComputeDtype = Literal["fp32", "bf16"]
HALF = torch.bfloat16


class PackedForward(Protocol):
    """As much of a `Decoder` as the learner uses."""

    @property
    def device(self) -> torch.device: ...

    @property
    def head_weight(self) -> Tensor: ...

    @property
    def softcap(self) -> float | None: ...

    def packed_hidden(self, tokens: Tensor, lengths: Sequence[int]) -> Tensor: ...


def mixed_forward(decoder: Decoder, *, fused: bool | None = None) -> PackedForward:
    """The packed forward of this decoder's model with bf16 products; its hidden states are fp32.

    Models of the lean decoder run through `MixedDecoder`, others through transformers under torch's autocast.
    """
    if isinstance(decoder, LeanDecoder):
        return MixedDecoder(decoder.model, fused=fused)
    return AutocastForward(decoder)


class MixedDecoder(LeanDecoder):
    """`LeanDecoder` whose packed pass multiplies in bf16; the rest is the lean decoder's own.

    `fused` compiles what lies between the attentions (`fusion.py`): True, False, or None for where it is worth it.
    """

    def __init__(self, model: Any, *, fused: bool | None = None) -> None:
        super().__init__(model)
        self.description = f"{self.description}, bf16 products"
        self.fused = worth_fusing(self.device) if fused is None else fused

    def packed_hidden(self, tokens: Tensor, lengths: Sequence[int]) -> Tensor:
        """See `Decoder`: [T, H] float32."""
        layout, weights = self._layout(tokens, lengths), self._weights()
        before, after = (compiled(_before), compiled(_after)) if self.fused else (_before, _after)
        hidden = embedding(self._indices(layout.tokens), weights.embedding)
        cos, sin = self._rope(self._indices(layout.positions), int(layout.positions.max()) + 1)
        gather = None if layout.gather is None else self._indices(layout.gather)
        queries = None if layout.queries is None else self._indices(layout.queries)
        scatter = None if layout.scatter is None else self._indices(layout.scatter)
        for layer in weights.layers:
            assert isinstance(layer, SharedLayer)
            half = _rounded(layer)
            if self.fused:
                any_rows(hidden, cos, sin)
            query, key, value = before(hidden, half, cos, sin, self._head_dim, self._epsilon, self.fused)
            if gather is not None and queries is not None:
                query = query.index_select(0, queries)
                key, value = (t.index_select(0, gather) for t in (key, value))
            attended = packed_attention(query, key, value, layout.rectangles, self._scale)
            if scatter is not None:
                attended = attended.index_select(0, scatter)
            if self.fused:
                any_rows(attended)
            hidden = after(hidden, attended, half, self._epsilon, self.fused)
        hidden = rms_norm(hidden, weights.norm, self._epsilon)
        return hidden.index_select(0, self._indices(layout.output))

    def _layout(self, tokens: Tensor, lengths: Sequence[int]) -> Layout:
        if runs_varlen(self.device, HALF, self._head_dim):
            # One kernel takes segments of any length: nothing is padded.
            return plan_layout(tokens.cpu().numpy(), lengths, overhead=0)
        return super()._layout(tokens, lengths)


class AutocastForward:
    """Any other decoder's packed pass under torch's autocast, which chooses what runs in bf16."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    @property
    def device(self) -> torch.device:
        return self._decoder.device

    @property
    def head_weight(self) -> Tensor:
        return self._decoder.head_weight

    @property
    def softcap(self) -> float | None:
        return self._decoder.softcap

    def packed_hidden(self, tokens: Tensor, lengths: Sequence[int]) -> Tensor:
        """See `Decoder`: [T, H] float32."""
        with torch.autocast(self.device.type, HALF):
            return self._decoder.packed_hidden(tokens, lengths).float()


def _rounded(layer: SharedLayer) -> SharedLayer:
    """The layer with its products in bf16 and its norms as they are; gradients go through to the fp32 weights."""

    def half(product: Linear) -> Linear:
        return Linear(product.weight.to(HALF), None if product.bias is None else product.bias.to(HALF))

    return layer._replace(
        query=half(layer.query),
        key=half(layer.key),
        value=half(layer.value),
        output=half(layer.output),
        gate=half(layer.gate),
        up=half(layer.up),
        down=half(layer.down),
    )


def _before(
    hidden: Tensor, layer: SharedLayer, cos: Tensor, sin: Tensor, head_dim: int, epsilon: float, plain: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """From the residual stream [U, H] fp32 to rotated queries and keys and values [U, heads, D], all bf16.

    `plain` writes norms and rotation out in single operations, for the compiler to fuse.
    """
    norm, turn = (_plain_norm, _plain_rotation) if plain else (rms_norm, rotate)
    normed = norm(hidden, layer.norm, epsilon).to(HALF)
    query, key, value = (
        linear(normed, part.weight, part.bias).view(len(normed), -1, head_dim)
        for part in (layer.query, layer.key, layer.value)
    )
    query, key = query.float(), key.float()
    if layer.query_norm is not None and layer.key_norm is not None:
        query, key = norm(query, layer.query_norm, epsilon), norm(key, layer.key_norm, epsilon)
    return turn(query, cos, sin).to(HALF), turn(key, cos, sin).to(HALF), value


def _after(hidden: Tensor, attended: Tensor, layer: SharedLayer, epsilon: float, plain: bool) -> Tensor:
    """The residual stream [U, H] fp32 after attention [U, heads * D] bf16 and the gated MLP."""
    norm = _plain_norm if plain else rms_norm
    hidden = hidden + linear(attended, layer.output.weight, layer.output.bias)
    normed = norm(hidden, layer.mlp_norm, epsilon).to(HALF)
    gate, up = (linear(normed, part.weight, part.bias) for part in (layer.gate, layer.up))
    return hidden + linear(silu(gate) * up, layer.down.weight, layer.down.bias)


def _plain_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon) * weight


def _plain_rotation(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat((-second * sin, first * sin), dim=-1)
    return x * cos + turned
