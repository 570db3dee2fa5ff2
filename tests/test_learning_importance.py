"""Truncated importance sampling: hand-made numbers, and an estimate that is right where the plain one is not."""

from __future__ import annotations

import math

import pytest
import torch

from ahalab.learning.losses import GRPOLoss, LossBatch
from ahalab.learning.losses.importance import truncated_importance


def test_weights_are_the_ratio_of_probabilities_cut_at_the_cap() -> None:
    old = torch.tensor([0.5, 0.25, 0.9]).log()
    sampler = torch.tensor([0.25, 0.5, 0.1]).log()
    weights, metrics = truncated_importance(old, sampler, cap=2.0)
    assert weights.tolist() == pytest.approx([2.0, 0.5, 2.0])
    assert metrics["importance"] == pytest.approx(2.0 + 0.5 + 9.0)
    assert metrics["importance_capped"] == 1.0


def loss_of(logprobs: torch.Tensor, sampler: torch.Tensor | None, advantages: torch.Tensor) -> torch.Tensor:
    batch = LossBatch(
        advantages, torch.full_like(advantages, 1 / len(advantages)), logprobs.detach(), None, sampler
    )
    scalar, _ = GRPOLoss(0.2, 0.28, 0.0, "token", importance_cap=100.0)(logprobs, batch)
    return scalar


def test_the_surrogate_is_weighed_and_its_gradient_too() -> None:
    logprobs = torch.tensor([math.log(0.5), math.log(0.2)], requires_grad=True)
    sampler = torch.tensor([math.log(0.25), math.log(0.4)])
    loss_of(logprobs, sampler, torch.tensor([1.0, -1.0])).backward()  # type: ignore[no-untyped-call]
    assert logprobs.grad is not None
    # -A * importance / 2 tokens
    assert logprobs.grad.tolist() == pytest.approx([-1.0 * 2.0 / 2, 1.0 * 0.5 / 2])


def test_the_gradient_is_unbiased_although_another_policy_was_sampled() -> None:
    """All outcomes of one token, weighed by the sampler's probabilities: the expectation, without noise."""
    logits = torch.tensor([0.3, -0.2, 0.5, 0.0], requires_grad=True)
    sampler = torch.log_softmax(torch.tensor([0.8, -0.9, 0.1, 0.4]), 0)
    reward = torch.tensor([1.0, 0.0, 0.0, 2.0])

    def expected_gradient(drawn_from: torch.Tensor, corrected: bool) -> torch.Tensor:
        logits.grad = None
        policy = torch.log_softmax(logits, 0)
        for outcome in range(4):
            given = sampler[outcome : outcome + 1] if corrected else None
            one = loss_of(policy[outcome : outcome + 1], given, reward[outcome : outcome + 1])
            (one * drawn_from.exp()[outcome]).backward(retain_graph=True)
        assert logits.grad is not None
        return logits.grad.clone()

    truth = expected_gradient(torch.log_softmax(logits, 0).detach(), corrected=False)
    assert torch.allclose(expected_gradient(sampler, corrected=True), truth, atol=1e-6)
    assert not torch.allclose(expected_gradient(sampler, corrected=False), truth, atol=1e-2)


def test_a_cap_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="importance_cap"):
        GRPOLoss(0.2, 0.2, 0.0, "token", importance_cap=0.5)
