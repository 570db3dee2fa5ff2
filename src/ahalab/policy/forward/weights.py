"""The parameters of a Llama-like model as the lean forward reads them, looked up afresh at each call.

`prepared.py` holds the other form: a copy laid out, or rounded, for sampling.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from ahalab.policy.forward.elementwise import gated_down


class Layer(Protocol):
    """One decoder layer: N rows of width H in, the parts of the forward out."""

    @property
    def norm(self) -> Tensor: ...
    @property
    def query_norm(self) -> Tensor | None: ...
    @property
    def key_norm(self) -> Tensor | None: ...
    @property
    def mlp_norm(self) -> Tensor: ...

    def heads(self, normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [N, heads * D], keys and values [N, kv_heads * D] of normed rows."""

    def attended(self, residual: Tensor, attention: Tensor) -> Tensor:
        """`residual` plus the output projection of attention [N, heads * D]."""

    def mlp(self, residual: Tensor, normed: Tensor) -> Tensor:
        """`residual` plus the gated MLP of normed rows."""


class Weights(NamedTuple):
    """All that a forward pass reads."""

    embedding: Tensor
    """[V, H]"""
    layers: list[Layer]
    norm: Tensor
    """Of the final norm."""


class Linear(NamedTuple):
    """A linear layer over a model's own parameters."""

    weight: Tensor
    """[out, in]"""
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)

    def added_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """The sum with `residual`, inside the matrix product where there is no bias."""
        if self.bias is None:
            return torch.addmm(residual, x, self.weight.t())
        return residual + linear(x, self.weight, self.bias)


class SharedLayer(NamedTuple):
    """The parameters of one layer as they are in the model."""

    norm: Tensor
    query: Linear
    key: Linear
    value: Linear
    output: Linear
    query_norm: Tensor | None
    key_norm: Tensor | None
    mlp_norm: Tensor
    gate: Linear
    up: Linear
    down: Linear

    def heads(self, normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Layer`."""
        return self.query(normed), self.key(normed), self.value(normed)

    def attended(self, residual: Tensor, attention: Tensor) -> Tensor:
        """See `Layer`."""
        return self.output.added_to(residual, attention)

    def mlp(self, residual: Tensor, normed: Tensor) -> Tensor:
        """See `Layer`."""
        gate, up = self.gate(normed), self.up(normed)
        if self.down.bias is None:
            return gated_down(residual, gate, up, self.down.weight)
        return self.down.added_to(residual, silu(gate) * up)


def shared_weights(model: Any) -> Weights:
    """The model's own parameters, so that one that was replaced is never missed."""
    layers: list[Layer] = []
    for layer in model.model.layers[: model.config.num_hidden_layers]:
        attention, mlp = layer.self_attn, layer.mlp
        query_norm, key_norm = getattr(attention, "q_norm", None), getattr(attention, "k_norm", None)
        query, key, value, output, gate, up, down = (
            Linear(module.weight, module.bias)
            for module in (
                attention.q_proj,
                attention.k_proj,
                attention.v_proj,
                attention.o_proj,
                mlp.gate_proj,
                mlp.up_proj,
                mlp.down_proj,
            )
        )
        layers.append(
            SharedLayer(
                layer.input_layernorm.weight,
                query,
                key,
                value,
                output,
                None if query_norm is None else query_norm.weight,
                None if key_norm is None else key_norm.weight,
                layer.post_attention_layernorm.weight,
                gate,
                up,
                down,
            )
        )
    return Weights(model.model.embed_tokens.weight, layers, model.model.norm.weight)
