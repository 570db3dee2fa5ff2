"""A memory estimate from the model's config alone, printed before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from ahalab.policy.load import default_device, load_config

FP32 = 4
FEWEST, MOST = 1024, 4096
"""Tokens of one forward and backward where the recipe does not say. Fewer than 1,024 are slower on a CPU; more than
4,096 are not quicker (our measurements, docs/lab-notes.md)."""
KEPT_BYTES = 2**30
"""What the backward pass may keep of one chunk, by the estimate below, before a chunk is made smaller (our choice)."""


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """Bytes by purpose. Our model of it: an upper bound for our own forward, rough for other architectures."""

    parameters: int
    """Number of parameters, not bytes."""
    weights: int
    gradients_and_optimizer: int
    reference: int
    key_value_cache: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """Peak: the cache and the learner's activations do not live at the same time."""
        fixed = self.weights + self.gradients_and_optimizer + self.reference
        return fixed + max(self.key_value_cache, self.activations + self.logits)


def count_parameters(base: str) -> int:
    """Number of parameters, from the config alone: nothing is allocated. Raises UserError as `locate`."""
    return _parameters(load_config(base))


def _parameters(config: Any) -> int:
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return sum(parameter.numel() for parameter in model.parameters())


def estimate_memory(
    base: str,
    *,
    rows: int,
    sequence_tokens: int,
    tokens_per_chunk: int | None,
    logprob_chunk: int,
    with_reference: bool,
) -> MemoryEstimate:
    """Estimate an RL stage on `base`: `rows` sampled side by side, each of at most `sequence_tokens` tokens.

    Raises:
        UserError: the base cannot be found.
    """
    config = load_config(base)
    parameters = _parameters(config)
    text: Any = config.get_text_config()
    chunk = max(tokens_per_chunk or automatic_chunk(config, default_device()), sequence_tokens)
    key_value_heads, head_size = _key_value_heads(text)
    return MemoryEstimate(
        parameters=parameters,
        weights=FP32 * parameters,
        gradients_and_optimizer=3 * FP32 * parameters,
        reference=FP32 * parameters if with_reference else 0,
        key_value_cache=2
        * FP32
        * rows
        * sequence_tokens
        * text.num_hidden_layers
        * key_value_heads
        * head_size,
        activations=chunk * _kept_bytes(text),
        logits=3 * FP32 * min(logprob_chunk, chunk) * text.vocab_size,
    )


def automatic_chunk(config: Any, device: torch.device) -> int:
    """`tokens_per_chunk` where the recipe does not say: 4,096, on a CPU fewer for a model that keeps much per token.

    It depends on the model and the kind of device alone, so that the same recipe cuts its batches in the same places.
    """
    if device.type != "cpu":
        return MOST
    return min(MOST, max(FEWEST, KEPT_BYTES // _kept_bytes(config.get_text_config())))


def _kept_bytes(text: Any) -> int:
    """What the backward pass keeps of a token."""
    layers, hidden, heads = text.num_hidden_layers, text.hidden_size, text.num_attention_heads
    key_value_heads, head_size = _key_value_heads(text)
    inner = getattr(text, "intermediate_size", None) or 4 * hidden
    # Per layer: two norms, q, k, v, attention output, projections, gate and up (see `gated_down`).
    kept = 5 * hidden + 2 * (heads + key_value_heads) * head_size + 2 * inner
    return int(FP32 * (layers * kept + 4 * hidden))


def _key_value_heads(text: Any) -> tuple[int, int]:
    """How many, and how wide."""
    heads = text.num_attention_heads
    key_value_heads = getattr(text, "num_key_value_heads", None) or heads
    return key_value_heads, getattr(text, "head_dim", None) or text.hidden_size // heads
