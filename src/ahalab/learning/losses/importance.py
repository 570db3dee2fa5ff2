"""Truncated importance sampling: the sampler drew from another distribution than the learner's, made up for.

Where the sampler rounds its weights (bf16, int8) or the learner its products, a token drawn with probability q is
learned from as if it had been drawn with p. Weighing it by p/q makes the estimate unbiased again; cutting the ratio
at a bound keeps its variance in hand (Ionides 2008, "Truncated importance sampling"; for rollouts of language models
Yao et al. 2025, "Your efficient RL framework secretly brings you off-policy RL training").
"""

from __future__ import annotations

import torch
from torch import Tensor


def truncated_importance(
    old_logprobs: Tensor, sampler_logprobs: Tensor, cap: float
) -> tuple[Tensor, dict[str, float]]:
    """`min(exp(old - sampler), cap)` [N] float32 without gradient, and metrics as sums over the N tokens.

    `old_logprobs` are the learner's of the policy that was sampled. Metrics: `importance` (before the cut: its mean
    is 1 where the two agree on average) and `importance_capped` (tokens that were cut).
    """
    ratio = torch.exp(old_logprobs.detach() - sampler_logprobs)
    metrics = {"importance": ratio.sum().item(), "importance_capped": float((ratio > cap).sum().item())}
    return ratio.clamp(max=cap), metrics
