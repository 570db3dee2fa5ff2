"""Pairwise Bradley–Terry loss: the helpful reward model learns which of two answers was preferred.

Sources: DeepSeek-R1 (arXiv 2501.12948v2) §3.1, "a pairwise loss"; Bradley and Terry (1952) for the model; Ouyang et al.
(arXiv 2203.02155) for its use on answers. No margin enters the loss (our choice: the paper does not say).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid


def pairwise_loss(chosen: Tensor, rejected: Tensor, n_pairs: int) -> tuple[Tensor, dict[str, float]]:
    """`sum_i -log sigmoid(chosen_i - rejected_i) / n_pairs` over the B pairs of one chunk.

    Args:
        chosen: [B] scores of the preferred answers, with gradient.
        rejected: [B] scores of the others.
        n_pairs: pairs in the whole minibatch: the losses of its chunks add up to the minibatch's.

    Returns:
        The chunk's part of the loss (scalar), and metrics as sums over its pairs: `accuracy` (a tie counts one
        half) and `margin` (chosen - rejected).

    Raises:
        ValueError: shapes that differ, or fewer pairs in the minibatch than here.
    """
    if chosen.shape != rejected.shape or chosen.dim() != 1:
        raise ValueError(f"two vectors [B] expected, not {tuple(chosen.shape)} and {tuple(rejected.shape)}")
    if n_pairs < max(1, len(chosen)):
        raise ValueError(
            f"n_pairs counts the whole minibatch: {n_pairs} is fewer than the {len(chosen)} here"
        )
    margin = chosen - rejected
    raw = margin.detach()
    metrics = {
        "accuracy": ((raw > 0).sum() + 0.5 * (raw == 0).sum()).item(),
        "margin": raw.sum().item(),
    }
    return -logsigmoid(margin).sum() / n_pairs, metrics
