"""PPO (arXiv 1707.06347): the clipped surrogate with an advantage for each token, and the value model's loss."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ahalab.learning.losses.grpo import GRPOLoss


def ppo_loss(clip_low: float, clip_high: float, kl_coefficient: float = 0.0) -> GRPOLoss:
    """The policy's loss, a mean over all tokens of the minibatch.

    Per token it is GRPO's surrogate: what differs is the advantage, one a token (see `ppo_outputs`), and that the
    KL usually stands in the reward: `kl_coefficient` is for those who want it in the loss instead.
    """
    return GRPOLoss(clip_low, clip_high, kl_coefficient, "token")


@dataclass(frozen=True, slots=True)
class ValueLoss:
    """`0.5 * sum_t w_t * max((v - R)^2, (clip(v, v_old ± clip) - R)^2)`: values do not run away from the sampled.

    The clipped form is that of PPO's reference implementation; `clip=None` leaves the plain squared error.
    Raises ValueError for a clip that is not above 0.
    """

    clip: float | None = 0.2

    def __post_init__(self) -> None:
        if self.clip is not None and not 0.0 < self.clip < math.inf:
            raise ValueError(f"clip must be above 0, got {self.clip}")

    def __call__(
        self, values: Tensor, old_values: Tensor, returns: Tensor, weights: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        """Loss of N tokens, all arguments [N]; `values` with gradient.

        Metric sums: `value_error` (squared error, before clipping) and `value_clipped` (tokens whose gradient the
        bound took away).
        """
        error = (values - returns).square()
        worst = error
        if self.clip is not None:
            held = old_values + (values - old_values).clamp(-self.clip, self.clip)
            worst = torch.maximum(error, (held - returns).square())
        metrics = {
            "value_error": error.detach().sum().item(),
            "value_clipped": float((worst > error).sum().item()),
        }
        return 0.5 * (worst * weights).sum(), metrics
