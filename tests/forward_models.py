"""Tiny random models of several architectures, for the tests of the forward pass and the engine."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from torch import Tensor

VOCABULARY = 97
_SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
_YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32}
_NAMES = {k: v for k, v in _SIZES.items() if k.endswith("token_id")} | {"vocab_size": VOCABULARY}

LEAN: dict[str, tuple[str, dict[str, Any]]] = {
    "llama, grouped heads": ("Llama", {}),
    "llama, one kv head each, tied": ("Llama", {"num_key_value_heads": 4, "tie_word_embeddings": True}),
    "llama, biases everywhere": ("Llama", {"attention_bias": True, "mlp_bias": True}),
    "llama, llama3 rope": ("Llama", {"rope_parameters": _LLAMA3}),
    "llama, yarn rope": ("Llama", {"rope_parameters": _YARN}),
    "qwen2, biases, tied": ("Qwen2", {"tie_word_embeddings": True}),
    "qwen3, norms, wide heads": ("Qwen3", {"head_dim": 16}),
    "mistral": ("Mistral", {"sliding_window": None}),
}
GENERIC: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}),
    "gpt-neox, part of each head": ("GPTNeoX", {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}}),
    "gemma": ("Gemma", {"head_dim": 8}),
    "gemma2, soft-cap and window": ("Gemma2", {"head_dim": 8, "sliding_window": 8}),
    "mistral, sliding window": ("Mistral", {"sliding_window": 8}),
    "cohere, logit scale": ("Cohere", {}),
    "granite, logits scaling": ("Granite", {"logits_scaling": 3.0}),
    "phi, biased head": ("Phi", {}),
}  # fmt: skip
_HEADED = {"GPT2": "GPT2LMHeadModel"}


def build(kind: str, **changes: Any) -> Any:
    """A model with weights large enough that its distributions are far from uniform."""
    torch.manual_seed(7)
    sizes = _NAMES if kind == "GPT2" else _SIZES
    config = getattr(transformers, f"{kind}Config")(**{**sizes, **changes})
    model = getattr(transformers, _HEADED.get(kind, f"{kind}ForCausalLM"))(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += torch.randn_like(parameter) * 0.15
    return model


def segments(seed: int = 0) -> list[Tensor]:
    """Segments of mixed lengths, some equal in length, some beginning alike, two identical."""
    random = torch.Generator().manual_seed(seed)

    def tokens(n: int) -> Tensor:
        return torch.randint(0, VOCABULARY, (n,), generator=random)

    prompt = tokens(11)
    alike = [torch.cat((prompt, tokens(n))) for n in (7, 9, 1, 30)]
    return [
        tokens(5),
        tokens(17),
        alike[0],
        tokens(17),
        prompt,
        alike[1],
        tokens(1),
        alike[2],
        alike[3],
        alike[0],
    ]


def logits_of(decoder: Any, hidden: Tensor) -> Tensor:
    """Differentiable logits by `Decoder`'s contract."""
    logits = hidden @ decoder.head_weight.t()
    return logits if decoder.softcap is None else decoder.softcap * torch.tanh(logits / decoder.softcap)
