"""Drawing tokens from logits with given uniforms: inverse of the cumulative distribution, in float64."""

from __future__ import annotations

import torch
from torch import Tensor

from ahalab.rollout.engine import Sampling


def draw(logits: Tensor, uniforms: Tensor, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Draw one token per row.

    A row's token is the first whose cumulative probability exceeds its uniform, tokens in the order of their
    ids. So it depends on the row's logits and uniform alone.

    Args:
        logits: [B, V] float32.
        uniforms: [B] float64 in [0, 1), on the same device.
        sampling: temperature 0 takes the largest logit, the lowest id among equals.

    Returns:
        (tokens [B] int64, log-probs [B] float32 of the distribution drawn from; at temperature 0 those at
        temperature 1).
    """
    logprobs = tempered_logprobs(logits, sampling)
    if sampling.temperature == 0.0:
        tokens = logits.argmax(dim=-1, keepdim=True)
    else:
        cumulative = logprobs.exp().cumsum(dim=-1, dtype=torch.float64)
        # Times the total instead of dividing by it. At 53 bits a uniform below 1 stays below it after rounding,
        # so the index found always has a probability above 0.
        threshold = uniforms[:, None] * cumulative[:, -1:]
        tokens = torch.searchsorted(cumulative, threshold, right=True)
    return tokens.squeeze(1), logprobs.gather(1, tokens).squeeze(1)


def forbid_first(logits: Tensor, first: Tensor, sampling: Sampling) -> Tensor:
    """`logits` [B, V] without `sampling.forbidden_first` in the rows where `first` [B] is true."""
    if not sampling.forbidden_first:
        return logits
    forbidden = torch.zeros(logits.shape[1], dtype=torch.bool, device=logits.device)
    forbidden[list(sampling.forbidden_first)] = True
    return logits.masked_fill(first[:, None] & forbidden, -torch.inf)


def tempered_logprobs(logits: Tensor, sampling: Sampling) -> Tensor:
    """Log-probs [B, V] float32 of the distribution drawn from; -inf for tokens that truncation rules out."""
    if sampling.temperature not in (0.0, 1.0):
        logits = logits / sampling.temperature
    if sampling.truncated and sampling.temperature > 0.0:
        logits = _truncated(logits, sampling)
    return torch.log_softmax(logits, dim=-1)


def _truncated(logits: Tensor, sampling: Sampling) -> Tensor:
    """Top-k first, then top-p of what is left (the order transformers uses); equal logits by lowest id."""
    ordered, ids = logits.sort(dim=-1, descending=True, stable=True)
    keep = torch.ones_like(ordered, dtype=torch.bool)
    if sampling.top_k > 0:
        keep[:, sampling.top_k :] = False
        ordered = ordered.masked_fill(~keep, -torch.inf)
    if sampling.top_p < 1.0:
        probabilities = torch.softmax(ordered, dim=-1)
        before = probabilities.cumsum(dim=-1, dtype=torch.float64) - probabilities
        keep &= before < sampling.top_p
    return logits.masked_fill(~torch.zeros_like(keep).scatter_(1, ids, keep), -torch.inf)
