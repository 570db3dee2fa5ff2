"""Supervised fine-tuning: the mean negative log-likelihood of the reply's tokens, prompts excluded by packing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ahalab.learning.losses.batch import LossBatch


@dataclass(frozen=True, slots=True)
class SFTLoss:
    """`-sum_t logprob_t / n_tokens` over all reply tokens of the minibatch, the stop token included.

    A mean over tokens and not over rows is our choice: the paper (B.4.2) says only that it fine-tunes.
    """

    def weights(self, lengths: Sequence[int], n_outputs: int, n_tokens: int) -> list[float]:  # noqa: ARG002
        """Every token weighs the same, whatever row and chunk it is in."""
        return [1.0 / n_tokens] * len(lengths)

    def __call__(self, logprobs: Tensor, batch: LossBatch) -> tuple[Tensor, dict[str, float]]:
        """Loss of N tokens; `logprobs` [N] with gradient. The loss itself is the only figure."""
        return -(logprobs * batch.weights).sum(), {}
