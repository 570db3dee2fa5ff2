"""What every loss gets besides the policy's log-probs, and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True, slots=True)
class LossBatch:
    """The N completion tokens of one chunk, output after output; all tensors [N] float32, no gradient."""

    advantages: Tensor
    """Each output's advantage, repeated over its tokens, or one for each token."""
    weights: Tensor
    """Each token's share of the minibatch, from `Loss.weights`: a chunk's loss is a weighted sum, so the
    losses of all chunks add up to the loss of the minibatch."""
    old_logprobs: Tensor
    """The sampler's; where an output has none, the policy's own at this update."""
    reference_logprobs: Tensor | None
    sampler_logprobs: Tensor | None = None
    """Of the distribution that was really drawn from, where it is not that of `old_logprobs`."""


class Loss(Protocol):
    """A loss over the tokens of one chunk."""

    def weights(self, lengths: Sequence[int], n_outputs: int, n_tokens: int) -> list[float]:
        """Weight of every token of each output, [outputs]; denominators are the whole minibatch's."""
        ...

    def __call__(self, logprobs: Tensor, batch: LossBatch) -> tuple[Tensor, dict[str, float]]:
        """The chunk's part of the loss (scalar) and its metrics.

        Metrics are sums over the N tokens, which the learner divides by the trained tokens of the minibatch;
        names ending in `_max` are maxima and are kept as maxima.
        """
        ...
