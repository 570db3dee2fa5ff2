"""Tiny random models and sequences for tests of what learns."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from ahalab.learning import TrainingOutput
from ahalab.policy.forward import make_decoder

VOCAB = 50
TEMPERATURE = 0.8


def tiny_model(seed: int = 0, *, tied: bool = True) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCAB,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=tied,
            initializer_range=0.2,
            attn_implementation="eager",
        )
    )


def policy_of(model: LlamaForCausalLM) -> SimpleNamespace:
    return SimpleNamespace(model=model, decoder=make_decoder(model))


def sequences(count: int = 24, seed: int = 0) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Groups of four completions a prompt; lengths from 1 to 40 tokens."""
    generator = torch.Generator().manual_seed(seed)

    def some(low: int, high: int) -> tuple[int, ...]:
        length = int(torch.randint(low, high, (1,), generator=generator))
        return tuple(torch.randint(0, VOCAB, (length,), generator=generator).tolist())

    prompts = [some(1, 12) for _ in range((count + 3) // 4)]
    return [(prompts[i // 4], some(1, 41)) for i in range(count)]


def counts(outputs: Sequence[TrainingOutput]) -> dict[str, int]:
    return {"n_outputs": len(outputs), "n_tokens": sum(len(output.token_ids) for output in outputs)}


def weights(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}
