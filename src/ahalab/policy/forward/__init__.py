"""The forward pass that engine and learner share."""

from __future__ import annotations

from typing import Any

from ahalab.policy.forward.decoder import Decoder, KVCache
from ahalab.policy.forward.generic import GenericDecoder
from ahalab.policy.forward.lean import LeanDecoder, lean_refusal
from ahalab.policy.forward.logprobs import head_logits, token_logprobs
from ahalab.policy.forward.prepared import Precision

__all__ = [
    "Decoder",
    "GenericDecoder",
    "KVCache",
    "LeanDecoder",
    "Precision",
    "head_logits",
    "lean_refusal",
    "make_decoder",
    "token_logprobs",
]


def make_decoder(model: Any) -> Decoder:
    """The decoder for a transformers causal LM: the lean one where it is exact, transformers' own otherwise.

    Raises:
        UserError: a model whose logits or cache neither can reproduce.
    """
    reason = lean_refusal(model)
    return LeanDecoder(model) if reason is None else GenericDecoder(model, reason)
