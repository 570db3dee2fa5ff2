"""What `gpu` runs, and the bytes and operations it counts: model shapes, traffic of a decoding step, FLOPs of training.

Counted from the shapes alone, so the counts are the same with and without a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

BF16 = 2

PEAK_BF16 = {"H100": 989e12, "H200": 989e12}
"""Dense bf16 FLOP/s by NVIDIA's datasheet of the SXM parts."""
PEAK_BANDWIDTH = {"H100": 3.35e12, "H200": 4.8e12}
"""Bytes/s of the memory, by the same."""


@dataclass(frozen=True)
class Shape:
    """A decoder-only model: hidden size H, layers, heads, key/value heads, head width D, MLP width I, vocabulary V."""

    kind: str
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    inner: int
    vocabulary: int
    rope_theta: float = 10_000.0
    epsilon: float = 1e-5

    def config(self) -> dict[str, Any]:
        """For `AutoConfig.for_model`. All three tie their head to the embedding."""
        return {
            "model_type": self.kind,
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "intermediate_size": self.inner,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": 32_768,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta},
            "rms_norm_eps": self.epsilon,
            "tie_word_embeddings": True,
            "bos_token_id": None,
            "eos_token_id": None,
            "pad_token_id": None,
        }

    def toy(self) -> Shape:
        """The same architecture at a size for a dry run on a CPU."""
        return replace(self, hidden=48, layers=2, heads=4, kv_heads=2, head_dim=16, inner=64, vocabulary=211)

    @property
    def layer_weights(self) -> int:
        """Numbers in the matrices of all layers: query, key, value, output, gate, up, down."""
        attention = 2 * self.hidden * (self.heads + self.kv_heads) * self.head_dim
        return self.layers * (attention + 3 * self.hidden * self.inner)

    @property
    def head_weights(self) -> int:
        return self.hidden * self.vocabulary

    @property
    def kv_bytes_per_token(self) -> int:
        """Of keys and values in bf16, all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * BF16


SMOLLM2_135M = Shape("llama", 576, 30, 9, 3, 64, 1536, 49_152, 100_000.0)
QWEN2_1_5B = Shape("qwen2", 1536, 28, 12, 2, 128, 8960, 151_936, 1_000_000.0, 1e-6)
QWEN3_0_6B = Shape("qwen3", 1024, 28, 16, 8, 128, 3072, 151_936, 1_000_000.0, 1e-6)


def random_model(shape: Shape, dtype: torch.dtype, device: torch.device) -> Any:
    """A transformers model of this shape with random weights."""
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**shape.config()), dtype=dtype)
    return model.to(device).eval()


def decode_bytes(shape: Shape, rows: int, context: float) -> float:
    """Bytes that one decoding step must read: every matrix once, the head included, and each row's keys and values.

    `context` is how many tokens a row looks at on the mean. Norms, biases, the `rows` looked-up embeddings, and all
    that is written are left out: less than 1 % together.
    """
    return BF16 * (shape.layer_weights + shape.head_weights) + rows * context * shape.kv_bytes_per_token


def training_flops(shape: Shape, documents: Sequence[int]) -> float:
    """Floating-point operations of one forward and backward pass over documents of these lengths.

    6 for each weight of a matrix and token, the output head included; attention 6 * heads * D * n * (n + 1) a layer
    for a document of n tokens (two products of n * (n + 1) / 2 causal pairs, twice as much again backward, two
    operations each). What is computed a second time in the backward pass is not counted: this is MFU, not HFU.
    """
    products = 6 * (shape.layer_weights + shape.head_weights) * sum(documents)
    pairs = sum(n * (n + 1) for n in documents)
    return products + 6 * shape.layers * shape.heads * shape.head_dim * pairs


def part_number(name: str) -> str | None:
    """ "H100" or "H200" in a device's name; None for others, whose datasheet is not known here."""
    return next((part for part in PEAK_BF16 if part in name), None)
