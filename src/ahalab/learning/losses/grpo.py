"""GRPO: a clipped token-level surrogate of group-relative advantages, with the KL to a reference in the loss.

Sources: DeepSeek-R1 (arXiv 2501.12948v2) 2.1 for the objective; PPO (arXiv 1707.06347) for the clipped
surrogate; DAPO (arXiv 2503.14476) for separate clip bounds ("clip-higher") and the mean over all tokens;
Schulman, "Approximating KL divergence" (2020), for the k3 estimator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ahalab.learning.losses.batch import LossBatch
from ahalab.learning.losses.importance import truncated_importance


@dataclass(frozen=True, slots=True)
class GRPOLoss:
    """`sum_t w_t * ( -min(rho_t A, clip(rho_t, 1 - clip_low, 1 + clip_high) A) + beta * k3_t )`.

    `rho_t = exp(logprob_t - old_logprob_t)`, one ratio per token: the paper prints the formula at
    sequence level, but its remark that a small bound truncates the gradient of many *tokens* implies this.
    The paper's clip bound 10 is kept literally: the lower bound is then -9 and never binds.
    Raises ValueError for a bound or coefficient below 0 or not finite.
    """

    clip_low: float
    clip_high: float
    kl_coefficient: float
    """beta; 0 leaves the KL out of the loss (it is still measured when reference log-probs are given)."""
    aggregate: Literal["token", "output"]
    """"token": mean over all tokens of the minibatch (DAPO). "output": mean over outputs of each output's
    token mean, our reading of the paper's (1/G) sum over outputs, which shows no sum over tokens."""
    importance_cap: float = 2.0
    """Bound of the importance weights where the batch has the sampler's log-probs (see `importance.py`)."""

    def __post_init__(self) -> None:
        for name in ("clip_low", "clip_high", "kl_coefficient"):
            value = getattr(self, name)
            if not 0.0 <= value < math.inf:
                raise ValueError(f"{name} must be finite and at least 0, got {value}")
        if not 1.0 <= self.importance_cap < math.inf:
            raise ValueError(f"importance_cap must be finite and at least 1, got {self.importance_cap}")
        if self.aggregate not in ("token", "output"):
            raise ValueError(f"aggregate must be 'token' or 'output', got {self.aggregate!r}")

    def weights(self, lengths: Sequence[int], n_outputs: int, n_tokens: int) -> list[float]:
        """Weight of every token of each output, given the outputs' `lengths` in tokens.

        `n_outputs` and `n_tokens` count all graded outputs of the minibatch, also those of dropped groups, so
        that neither dropping nor chunking changes the loss.
        """
        if self.aggregate == "token":
            return [1.0 / n_tokens] * len(lengths)
        return [1.0 / (n_outputs * length) for length in lengths]

    def __call__(self, logprobs: Tensor, batch: LossBatch) -> tuple[Tensor, dict[str, float]]:
        """Loss and metrics of N tokens; `logprobs` [N] with gradient.

        Metric sums: `ratio` (before clipping), `clip_low` and `clip_high` (tokens whose gradient the bound
        took away), `kl` (k3, where reference log-probs are given), `importance` and `importance_capped` (where
        the sampler's are given: they weigh the surrogate, not the KL); and `ratio_max`.
        Raises ValueError when the KL is asked for without reference log-probs.
        """
        ratio = torch.exp(logprobs - batch.old_logprobs)
        clipped = ratio.clamp(1.0 - self.clip_low, 1.0 + self.clip_high)
        per_token = -torch.minimum(ratio * batch.advantages, clipped * batch.advantages)

        raw = ratio.detach()
        metrics = {
            "ratio": raw.sum().item(),
            "ratio_max": raw.max().item(),
            "clip_low": float(((raw < 1.0 - self.clip_low) & (batch.advantages < 0)).sum().item()),
            "clip_high": float(((raw > 1.0 + self.clip_high) & (batch.advantages > 0)).sum().item()),
        }
        if batch.sampler_logprobs is not None:
            importance, of_importance = truncated_importance(
                batch.old_logprobs, batch.sampler_logprobs, self.importance_cap
            )
            per_token = per_token * importance
            metrics.update(of_importance)
        if batch.reference_logprobs is not None:
            log_ratio = batch.reference_logprobs - logprobs
            k3 = torch.expm1(log_ratio) - log_ratio  # r - log r - 1 without the cancellation near r = 1
            metrics["kl"] = k3.detach().sum().item()
            if self.kl_coefficient > 0.0:
                per_token = per_token + self.kl_coefficient * k3
        elif self.kl_coefficient > 0.0:
            raise ValueError("a KL coefficient above 0 needs the reference model's log-probs")
        return (per_token * batch.weights).sum(), metrics
