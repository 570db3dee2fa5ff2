"""A memory estimate from the model's config alone, printed before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from ahalab.policy.load import load_config

FP32 = 4


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
    tokens_per_chunk: int,
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
    layers, hidden, heads = text.num_hidden_layers, text.hidden_size, text.num_attention_heads
    key_value_heads = getattr(text, "num_key_value_heads", None) or heads
    head_size = getattr(text, "head_dim", None) or hidden // heads
    inner = getattr(text, "intermediate_size", None) or 4 * hidden
    chunk = max(tokens_per_chunk, sequence_tokens)
    # Per token and layer the backward keeps: two norms, q, k, v, attention output, projections, three of the MLP.
    kept = 5 * hidden + 2 * (heads + key_value_heads) * head_size + 4 * inner
    return MemoryEstimate(
        parameters=parameters,
        weights=FP32 * parameters,
        gradients_and_optimizer=3 * FP32 * parameters,
        reference=FP32 * parameters if with_reference else 0,
        key_value_cache=2 * FP32 * rows * sequence_tokens * layers * key_value_heads * head_size,
        activations=FP32 * chunk * (layers * kept + 4 * hidden),
        logits=3 * FP32 * min(logprob_chunk, chunk) * text.vocab_size,
    )
