"""Weights laid out, or rounded, for sampling: a copy that is made at the start of a rollout and dropped at its end.

A decoding step multiplies a few rows by every weight, so it is bound by how fast weights arrive and not by
arithmetic. Three forms, by `Precision`:

- "fp32": the same numbers, transposed and fused (query, key and value in one product, gate and up in another).
- "bf16": half the bytes, for processors with bf16 products (AMX) and for GPUs.
- "int8": a quarter of the bytes and the integer units (AVX-512 VNNI). Weights are rounded once per output
  channel, activations once per row, both symmetrically: the plain W8A8 scheme of LLM.int8() (arXiv 2208.07339)
  without its outlier part (our choice). Products are exact integers, so the result does not depend on the batch.

Rounded weights sample from another distribution than the learner's: importance sampling makes up for it
(`ahalab.learning.losses.importance`).
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from ahalab.policy.forward.weights import Layer, Linear, SharedLayer, Weights

Precision = Literal["fp32", "bf16", "int8"]


class Product(Protocol):
    """x [N, in] → [N, out]."""

    def __call__(self, x: Tensor) -> Tensor: ...

    def added_to(self, residual: Tensor, x: Tensor) -> Tensor: ...


class TransposedLinear(NamedTuple):
    """fp32 with the weight as [in, out]: few rows times such a matrix is quicker in MKL."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        return torch.mm(x, self.weight) if self.bias is None else torch.addmm(self.bias, x, self.weight)

    def added_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """The sum with `residual`."""
        result = torch.addmm(residual, x, self.weight)
        return result if self.bias is None else result.add_(self.bias)


class HalfLinear(NamedTuple):
    """bf16 weights [out, in]; activations are rounded on the way in, sums come back in fp32."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        return linear(x.to(torch.bfloat16), self.weight, self.bias).float()

    def added_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """The sum with `residual`."""
        return self(x).add_(residual)


class Int8Linear(NamedTuple):
    """Weights as int8 [in, out] (a transposed view) times one scale per output channel [out]."""

    weight: Tensor
    scale: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        codes, row_scale = rounded_to_int8(x)
        result = torch.mul(torch._int_mm(codes, self.weight), self.scale).mul_(row_scale)
        return result if self.bias is None else result.add_(self.bias)

    def added_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """The sum with `residual`."""
        return self(x).add_(residual)


def rounded_to_int8(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Codes [N, K] int8 from -127 to 127 and scales [N, 1] float32: rows ≈ codes * scales. A row of zeros stays so."""
    scale = torch.linalg.vector_norm(rows, ord=torch.inf, dim=1, keepdim=True).clamp_min_(1e-30).div_(127.0)
    return (rows / scale).round_().to(torch.int8), scale


def _product(precision: Precision, *parts: Linear) -> Product:
    """The parts' outputs side by side, in one product."""
    weight = torch.cat([part.weight.detach() for part in parts])
    biases = [part.bias.detach() for part in parts if part.bias is not None]
    bias = torch.cat(biases) if len(biases) == len(parts) else None
    if biases and bias is None:
        raise ValueError("either all parts of a product have a bias or none")
    if precision == "fp32":
        return TransposedLinear(weight.t().contiguous(), bias)
    if precision == "bf16":
        return HalfLinear(weight.bfloat16(), None if bias is None else bias.bfloat16())
    codes, scale = rounded_to_int8(weight)
    return Int8Linear(codes.t(), scale.squeeze(1), bias)


class PreparedLayer(NamedTuple):
    """One layer with its products fused."""

    norm: Tensor
    query_norm: Tensor | None
    key_norm: Tensor | None
    mlp_norm: Tensor
    inputs: Product
    widths: tuple[int, int, int]
    """Of query, key and value in the output of `inputs`."""
    output: Product
    gate_up: Product
    down: Product

    def heads(self, normed: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See `Layer`."""
        query, key, value = torch.split(self.inputs(normed), list(self.widths), dim=1)
        return query, key, value

    def attended(self, residual: Tensor, attention: Tensor) -> Tensor:
        """See `Layer`."""
        return self.output.added_to(residual, attention)

    def mlp(self, residual: Tensor, normed: Tensor) -> Tensor:
        """See `Layer`."""
        gate, up = self.gate_up(normed).chunk(2, dim=1)
        return self.down.added_to(residual, silu(gate).mul_(up))


def prepared_weights(shared: Weights, precision: Precision) -> Weights:
    """A copy of the layers' products in this precision; embedding and norms stay those of the model."""
    layers: list[Layer] = []
    for layer in shared.layers:
        assert isinstance(layer, SharedLayer)
        query, key, value = layer.query, layer.key, layer.value
        layers.append(
            PreparedLayer(
                layer.norm,
                layer.query_norm,
                layer.key_norm,
                layer.mlp_norm,
                _product(precision, query, key, value),
                (len(query.weight), len(key.weight), len(value.weight)),
                _product(precision, layer.output),
                _product(precision, layer.gate, layer.up),
                _product(precision, layer.down),
            )
        )
    return Weights(shared.embedding, layers, shared.norm)


class PreparedHead:
    """The output head in this precision: hidden states [N, H] → logits [N, V] float32."""

    def __init__(self, weight: Tensor, precision: Precision) -> None:
        self._product = _product(precision, Linear(weight, None))

    def __call__(self, hidden: Tensor) -> Tensor:
        return self._product(hidden)
