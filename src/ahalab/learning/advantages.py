"""Advantages: relative to a group (GRPO), or by a value model for each token (PPO, GAE).

Both are made over the whole rollout before outputs are split into updates or dropped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

Scale = Literal["std", "none"]


def group_advantages(
    totals: Sequence[float | None], *, scale: Scale, ddof: int, epsilon: float
) -> list[float | None]:
    """Advantage of each of the G outputs of one question, in their order.

    `totals` [G]: total rewards; None where a grader failed. Such an output leaves the mean, the standard
    deviation and the loss (its advantage is None). With fewer than two graded outputs all are None.
    `scale="std"`: `(r - mean) / (std + epsilon)`, the paper's formula (2.1); `ddof` 0 divides the squared
    deviations by the number of graded outputs, 1 by one less. The paper gives neither ddof nor epsilon: both
    are our choice, stated by the preset. `scale="none"`: `r - mean` (Dr. GRPO, arXiv 2503.20783).

    A group of equal rewards gets exact zeros: rounding must not turn it into a group with a gradient.
    Raises ValueError for a reward that is not finite, a ddof other than 0 and 1, or a negative epsilon.
    """
    if ddof not in (0, 1):
        raise ValueError(f"ddof must be 0 or 1, got {ddof}")
    if not 0.0 <= epsilon < math.inf:
        raise ValueError(f"epsilon must be finite and at least 0, got {epsilon}")
    graded = [total for total in totals if total is not None]
    for total in graded:
        if not math.isfinite(total):
            raise ValueError(f"a total reward must be finite, got {total}")
    if len(graded) < 2:
        return [None] * len(totals)
    if max(graded) == min(graded):
        return [None if total is None else 0.0 for total in totals]
    mean = math.fsum(graded) / len(graded)
    divisor = 1.0
    if scale == "std":
        squares = math.fsum((total - mean) ** 2 for total in graded)
        divisor = math.sqrt(squares / (len(graded) - ddof)) + epsilon
    return [None if total is None else (total - mean) / divisor for total in totals]


def has_gradient(advantages: Sequence[float | None]) -> bool:
    """Whether a group moves the policy at all: some graded output has an advantage other than zero.

    A group without gradient may be dropped when the KL coefficient is 0; with a KL term it still pulls.
    """
    return any(advantage is not None and advantage != 0.0 for advantage in advantages)


def token_rewards(
    total: float,
    n: int,
    *,
    kl_coefficient: float = 0.0,
    old_logprobs: Tensor | None = None,
    reference_logprobs: Tensor | None = None,
) -> Tensor:
    """Rewards [n] float32 of an output's tokens: the total on the last, less the KL to the reference on each.

    `kl_coefficient * (old - reference)` is taken off every token, the single-sample estimate of InstructGPT
    (arXiv 2203.02155). This is PPO's way, which the paper sets against its own KL in the loss (A.3): the longer an
    output, the more KL it pays, so that length is held down. Raises ValueError for a coefficient above 0 without
    log-probs, a reward that is not finite, or n below 1.
    """
    if n < 1 or not math.isfinite(total):
        raise ValueError(f"a finite total reward and at least one token are needed, got {total} and {n}")
    rewards = torch.zeros(n, dtype=torch.float32)
    if kl_coefficient > 0.0:
        if old_logprobs is None or reference_logprobs is None:
            raise ValueError("a KL in the reward needs the old and the reference log-probs")
        rewards -= kl_coefficient * (old_logprobs - reference_logprobs).to("cpu", torch.float32)
    rewards[-1] += total
    return rewards


def generalised_advantages(
    rewards: Tensor, values: Tensor, *, lam: float, gamma: float = 1.0
) -> tuple[Tensor, Tensor]:
    """(advantages [n], returns [n]) float32 of one output's n tokens (GAE, arXiv 1506.02438).

    `rewards` [n]: what each token brought; `values` [n]: the value model's estimate before each token. After the
    last token there is nothing more to come, also where the output was cut off (our choice: its reward is final).
    `A_t = sum_k (gamma lam)^k delta_{t+k}` with `delta_t = r_t + gamma V_{t+1} - V_t`; returns are `A + V`. With
    lam 1 and gamma 1 the return is the sum of the rewards to come, and nothing is taken from the values (the
    paper's better PPO, A.3). Raises ValueError for shapes that differ or a figure outside 0 … 1.
    """
    if rewards.shape != values.shape or rewards.dim() != 1:
        raise ValueError(f"rewards {tuple(rewards.shape)} and values {tuple(values.shape)} must be [n] alike")
    if not (0.0 <= lam <= 1.0 and 0.0 <= gamma <= 1.0):
        raise ValueError(f"lam and gamma must be within 0 and 1, got {lam} and {gamma}")
    reward, value = rewards.double().tolist(), values.double().tolist()
    advantages = [0.0] * len(reward)
    later = next_value = 0.0
    for step in reversed(range(len(reward))):
        delta = reward[step] + gamma * next_value - value[step]
        later = delta + gamma * lam * later
        advantages[step], next_value = later, value[step]
    found = torch.tensor(advantages, dtype=torch.float64)
    return found.float(), (found + values.double().cpu()).float()


def normalised(advantages: Sequence[Tensor], *, epsilon: float = 1e-8) -> list[Tensor]:
    """Advantages of all tokens of a rollout with mean 0 and standard deviation 1 (common for PPO; our choice).

    Where all are equal they become zeros.
    """
    every = torch.cat(list(advantages)).double()
    mean, deviation = every.mean(), every.std(correction=0)
    return [((one.double() - mean) / (deviation + epsilon)).float() for one in advantages]
