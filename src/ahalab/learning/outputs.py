"""What the learner trains on: one output, its advantage, the log-probs fixed for the rollout."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class TrainingOutput:
    """One output of `n` tokens. Its tensors are made once per rollout and never written again.

    A worked answer to imitate has neither advantage nor log-probs: `TrainingOutput(prompt_ids, token_ids)`.

    Raises ValueError when the parts do not fit together.
    """

    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    """The `n` completion tokens, the stop token included where there was one."""
    advantage: float | Tensor = 0.0
    """One for all tokens of the output (paper 2.1, GRPO), or [n] float32, one a token (PPO)."""
    old_logprobs: Tensor | None = None
    """[n] float32, natural log, of the policy that sampled, at the sampling temperature. None: the policy as it is
    at the update, so that every ratio is 1 (what supervised losses never look at)."""
    reference_logprobs: Tensor | None = None
    """[n] float32 of the reference model at the same temperature; None where no KL is asked for."""
    sampler_logprobs: Tensor | None = None
    """[n] float32 of the distribution that was drawn from, where it is not the policy's (rounded weights): the loss
    then weighs the tokens by importance. None: it is that of `old_logprobs`."""

    def __post_init__(self) -> None:
        if not self.prompt_ids or not self.token_ids:
            raise ValueError("an output needs at least one prompt token and one completion token")
        per_token = self.advantage if isinstance(self.advantage, Tensor) else None
        finite = math.isfinite(self.advantage) if per_token is None else bool(torch.isfinite(per_token).all())
        if not finite:
            raise ValueError(f"the advantage must be finite, got {self.advantage}")
        named = (
            ("old log-probs", self.old_logprobs),
            ("reference log-probs", self.reference_logprobs),
            ("sampler log-probs", self.sampler_logprobs),
            ("advantages", per_token),
        )
        for name, values in named:
            if values is not None and values.shape != (len(self.token_ids),):
                raise ValueError(
                    f"{name} have shape {tuple(values.shape)}, expected ({len(self.token_ids)},)"
                )
