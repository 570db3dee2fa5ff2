"""The memory estimate, and the chunk size that follows from it."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig

from ahalab.policy.memory import FEWEST, KEPT_BYTES, MOST, automatic_chunk

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def config(layers: int, hidden: int, inner: int) -> LlamaConfig:
    return LlamaConfig(
        num_hidden_layers=layers, hidden_size=hidden, intermediate_size=inner, num_attention_heads=8
    )


def test_a_small_model_takes_the_largest_chunk() -> None:
    assert automatic_chunk(config(4, 128, 384), CPU) == MOST


def test_a_model_that_keeps_much_a_token_takes_fewer_by_hand() -> None:
    # Floats a token and layer: 5 * 512 + 2 * (8 + 8) * 64 + 2 * 1536 = 7,680; 30 layers and 4 * 512: 232,448.
    assert automatic_chunk(config(30, 512, 1536), CPU) == KEPT_BYTES // (4 * 232_448) == 1154


def test_a_large_model_takes_no_fewer_than_are_quick() -> None:
    assert automatic_chunk(config(48, 4096, 11008), CPU) == FEWEST


def test_a_gpu_takes_the_largest_chunk_whatever_the_model() -> None:
    assert automatic_chunk(config(48, 4096, 11008), GPU) == MOST


@pytest.mark.parametrize("base", ["builtin:tiny"])
def test_the_estimate_of_a_base_uses_the_same_chunk(base: str) -> None:
    from ahalab.policy.memory import estimate_memory

    def estimate(tokens_per_chunk: int | None) -> int:
        return estimate_memory(
            base,
            rows=8,
            sequence_tokens=100,
            tokens_per_chunk=tokens_per_chunk,
            logprob_chunk=64,
            with_reference=False,
        ).activations

    assert estimate(None) == estimate(MOST) > estimate(512)
