"""What the learner trains on: one graded output, its advantage, the log-probs fixed for the rollout."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class TrainingOutput:
    """One sampled output of `n` tokens. Its tensors are made once per rollout and never written again.

    Raises ValueError when the parts do not fit together.
    """

    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    """The `n` completion tokens, the stop token included where there was one."""
    advantage: float
    """The same for all tokens of the output (paper 2.1, GRPO)."""
    old_logprobs: Tensor
    """[n] float32, natural log, of the policy that sampled, at the sampling temperature."""
    reference_logprobs: Tensor | None
    """[n] float32 of the reference model at the same temperature; None where no KL is asked for."""

    def __post_init__(self) -> None:
        if not self.prompt_ids or not self.token_ids:
            raise ValueError("an output needs at least one prompt token and one completion token")
        if not math.isfinite(self.advantage):
            raise ValueError(f"the advantage must be finite, got {self.advantage}")
        for name, logprobs in (("old", self.old_logprobs), ("reference", self.reference_logprobs)):
            if logprobs is not None and logprobs.shape != (len(self.token_ids),):
                raise ValueError(
                    f"{name} log-probs have shape {tuple(logprobs.shape)}, expected ({len(self.token_ids)},)"
                )
