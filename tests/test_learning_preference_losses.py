"""The two losses of reward models: hand-made numbers, gradients, and sums over chunks."""

from __future__ import annotations

import math

import pytest
import torch

from ahalab.learning.losses.pairwise import pairwise_loss
from ahalab.learning.losses.pointwise import pointwise_loss


def _double(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def test_the_pairwise_loss_of_hand_made_margins() -> None:
    # Margins 0, ln 3 and -ln 3: sigmoid 1/2, 3/4 and 1/4.
    loss, metrics = pairwise_loss(_double(1.0, math.log(3), 0.0), _double(1.0, 0.0, math.log(3)), 3)
    assert loss.item() == pytest.approx((math.log(2) + math.log(4 / 3) + math.log(4)) / 3)
    assert metrics == {"accuracy": 1.5, "margin": pytest.approx(0.0)}


def test_the_gradient_of_the_pairwise_loss_is_the_chance_of_being_wrong() -> None:
    chosen, rejected = _double(math.log(3), 2.0), _double(0.0, 2.0)
    pairwise_loss(chosen, rejected, 2)[0].backward()
    assert chosen.grad is not None
    assert chosen.grad.tolist() == pytest.approx([-0.25 / 2, -0.5 / 2])
    assert rejected.grad is not None
    assert rejected.grad.tolist() == pytest.approx([0.25 / 2, 0.5 / 2])
    assert torch.autograd.gradcheck(lambda c, r: pairwise_loss(c, r, 2)[0], (chosen, rejected))


def test_only_the_difference_of_a_pair_counts() -> None:
    first = pairwise_loss(_double(1.0, -2.0), _double(0.5, 3.0), 2)[0]
    moved = pairwise_loss(_double(101.0, 98.0), _double(100.5, 103.0), 2)[0]
    assert first.item() == pytest.approx(moved.item())


def test_the_pointwise_loss_of_hand_made_scores() -> None:
    scores, labels = (
        _double(math.log(3), math.log(3), 0.0),
        torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64),
    )
    loss, metrics = pointwise_loss(scores, labels, 3)
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(4) + math.log(2)) / 3)
    assert metrics == {"accuracy": 1.5, "score": pytest.approx(2 * math.log(3))}


def test_the_gradient_of_the_pointwise_loss_is_chance_minus_label() -> None:
    scores, labels = _double(math.log(3), -math.log(3)), torch.tensor([1.0, 1.0], dtype=torch.float64)
    pointwise_loss(scores, labels, 2)[0].backward()
    assert scores.grad is not None
    assert scores.grad.tolist() == pytest.approx([-0.25 / 2, -0.75 / 2])
    assert torch.autograd.gradcheck(lambda s: pointwise_loss(s, labels, 2)[0], (scores,))


def test_losses_of_chunks_add_up_to_the_loss_of_the_minibatch() -> None:
    chosen, rejected = torch.randn(7), torch.randn(7)
    whole = pairwise_loss(chosen, rejected, 7)[0]
    parts = pairwise_loss(chosen[:3], rejected[:3], 7)[0] + pairwise_loss(chosen[3:], rejected[3:], 7)[0]
    assert parts.item() == pytest.approx(whole.item(), abs=1e-6)
    labels = (torch.randn(7) > 0).float()
    whole = pointwise_loss(chosen, labels, 7)[0]
    parts = pointwise_loss(chosen[:3], labels[:3], 7)[0] + pointwise_loss(chosen[3:], labels[3:], 7)[0]
    assert parts.item() == pytest.approx(whole.item(), abs=1e-6)


def test_huge_scores_give_a_finite_loss() -> None:
    assert pairwise_loss(torch.tensor([-1e4]), torch.tensor([1e4]), 1)[0].item() == pytest.approx(2e4)
    assert pointwise_loss(torch.tensor([-1e4]), torch.tensor([1.0]), 1)[0].item() == pytest.approx(1e4)


@pytest.mark.parametrize("loss", [pairwise_loss, pointwise_loss])
def test_shapes_and_counts_that_do_not_fit_are_refused(loss) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="vectors"):
        loss(torch.zeros(2), torch.zeros(3), 3)
    with pytest.raises(ValueError, match="whole minibatch"):
        loss(torch.zeros(2), torch.zeros(2), 1)
