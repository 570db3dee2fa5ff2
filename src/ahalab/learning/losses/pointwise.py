"""Point-wise binary cross-entropy: the safety reward model learns to tell safe responses from unsafe ones.

Source: DeepSeek-R1 (arXiv 2501.12948v2) §3.1, which calls it point-wise. That it is the binary cross-entropy is our
choice: the paper does not print the loss.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def pointwise_loss(scores: Tensor, labels: Tensor, n_rows: int) -> tuple[Tensor, dict[str, float]]:
    """`sum_i -(y_i log sigmoid(s_i) + (1 - y_i) log sigmoid(-s_i)) / n_rows` over the B rows of one chunk.

    Args:
        scores: [B] logits, with gradient.
        labels: [B] float, 1 for safe and 0 for unsafe.
        n_rows: rows in the whole minibatch: the losses of its chunks add up to the minibatch's.

    Returns:
        The chunk's part of the loss (scalar), and metrics as sums over its rows: `accuracy` (safe is a score
        above 0; a score of exactly 0 counts one half) and `score`.

    Raises:
        ValueError: shapes that differ, or fewer rows in the minibatch than here.
    """
    if scores.shape != labels.shape or scores.dim() != 1:
        raise ValueError(f"two vectors [B] expected, not {tuple(scores.shape)} and {tuple(labels.shape)}")
    if n_rows < max(1, len(scores)):
        raise ValueError(f"n_rows counts the whole minibatch: {n_rows} is fewer than the {len(scores)} here")
    raw = scores.detach()
    right = ((raw > 0) & (labels > 0.5)) | ((raw < 0) & (labels < 0.5))
    metrics = {
        "accuracy": (right.sum() + 0.5 * (raw == 0).sum()).item(),
        "score": raw.sum().item(),
    }
    return binary_cross_entropy_with_logits(scores, labels, reduction="sum") / n_rows, metrics
