"""Weights laid out, or rounded, for sampling: a copy that is made at the start of a rollout and dropped at its end.

A decoding step multiplies a few rows by every weight, so it is bound by how fast weights arrive and not by
arithmetic. Three forms, by `Precision`:

- "fp32": the same numbers, transposed and fused (query, key and value in one product, gate and up in another).
- "bf16": half the bytes, for processors with bf16 products (AMX) and for GPUs.
- "int8": a quarter of the bytes and the integer units (AVX-512 VNNI), after LLM.int8() (arXiv 2208.07339): weights
  are rounded once per output channel, activations once per row, both symmetrically, and the few input columns with
  the largest activations stay fp32 (`OUTLIERS`, chosen on the rollout's own first prompts: our choice).

Rounded weights sample from another distribution than the learner's: importance sampling makes up for it
(`ahalab.learning.losses.importance`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from ahalab.policy.forward.weights import Layer, Linear, SharedLayer, Weights

Precision = Literal["fp32", "bf16", "int8"]

OUTLIERS = 32
"""Input columns of each product that int8 leaves in fp32. Measured on SmolLM2-135M (four GSM8K rows, KL of the next
token in nats): none 0.051, 8 columns 0.0084, 32 columns 0.0041; bf16 has 0.0006."""


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
    """Weights as int8 [in, out] (a transposed view) times one scale per output channel [out], outliers apart."""

    weight: Tensor
    """Zero in the outlier columns."""
    scale: Tensor
    bias: Tensor | None
    outliers: Tensor
    """[OUTLIERS] int64, input columns."""
    outlier_weight: Tensor
    """[OUTLIERS, out] float32."""

    def __call__(self, x: Tensor) -> Tensor:
        codes, row_scale = rounded_to_int8(x.index_fill(1, self.outliers, 0.0))
        result = torch.mul(torch._int_mm(codes, self.weight), self.scale).mul_(row_scale)
        result.addmm_(x.index_select(1, self.outliers), self.outlier_weight)
        return result if self.bias is None else result.add_(self.bias)

    def added_to(self, residual: Tensor, x: Tensor) -> Tensor:
        """The sum with `residual`."""
        return self(x).add_(residual)


def rounded_to_int8(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Codes [N, K] int8 from -127 to 127 and scales [N, 1] float32: rows ≈ codes * scales. A row of zeros stays so."""
    # Ten times as quick as the infinity norm, which torch does not vectorise along rows.
    scale = rows.abs().amax(dim=1, keepdim=True).clamp_min_(1e-30).div_(127.0)
    return (rows * scale.reciprocal()).round_().to(torch.int8), scale


class _Watched:
    """The parts' own product, which keeps the largest absolute activation of each input column."""

    def __init__(self, parts: Sequence[Linear]) -> None:
        self._parts = parts
        self.largest = torch.zeros(parts[0].weight.shape[1])

    def __call__(self, x: Tensor) -> Tensor:
        self.largest = torch.maximum(self.largest, x.abs().amax(dim=0))
        return torch.cat([part(x) for part in self._parts], dim=1)

    def added_to(self, residual: Tensor, x: Tensor) -> Tensor:
        return self(x).add_(residual)


Make = Callable[[Sequence[Linear]], Product]
"""How parts become one product with their outputs side by side."""


def maker(precision: Precision, watched: Sequence[_Watched] = ()) -> Make:
    """Makes products of this precision. int8 needs what `watching` saw, product by product in the same order."""
    if precision != "int8":
        return _transposed if precision == "fp32" else _halved
    seen = iter(watched)
    return lambda parts: _int8(parts, next(seen).largest)


def watching() -> tuple[Make, list[_Watched]]:
    """Makes products that watch their inputs, and the list of those made."""
    made: list[_Watched] = []

    def make(parts: Sequence[Linear]) -> Product:
        made.append(_Watched(parts))
        return made[-1]

    return make, made


def _joined(parts: Sequence[Linear]) -> tuple[Tensor, Tensor | None]:
    biases = [part.bias.detach() for part in parts if part.bias is not None]
    if len(biases) not in (0, len(parts)):
        raise ValueError("either all parts of a product have a bias or none")
    return torch.cat([part.weight.detach() for part in parts]), torch.cat(biases) if biases else None


def _transposed(parts: Sequence[Linear]) -> Product:
    weight, bias = _joined(parts)
    return TransposedLinear(weight.t().contiguous(), bias)


def _halved(parts: Sequence[Linear]) -> Product:
    weight, bias = _joined(parts)
    return HalfLinear(weight.bfloat16(), None if bias is None else bias.bfloat16())


def _int8(parts: Sequence[Linear], largest: Tensor) -> Product:
    weight, bias = _joined(parts)
    columns = largest.topk(min(OUTLIERS, len(largest))).indices.sort().values
    apart = weight.index_select(1, columns).t().contiguous()
    codes, scale = rounded_to_int8(weight.index_fill(1, columns, 0.0))
    return Int8Linear(codes.t(), scale.squeeze(1), bias, columns, apart)


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


def prepared_weights(shared: Weights, make: Make) -> Weights:
    """The layers with products made by `make`; embedding and norms stay those of the model."""
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
                make([query, key, value]),
                (len(query.weight), len(key.weight), len(value.weight)),
                make([layer.output]),
                make([layer.gate, layer.up]),
                make([layer.down]),
            )
        )
    return Weights(shared.embedding, layers, shared.norm)
