"""The GRPO loss on numbers worked by hand: value, gradient, metrics."""

import math

import pytest
import torch

from ahalab.learning.losses import GRPOLoss, LossBatch

OLD = -2.0


def evaluate(
    loss: GRPOLoss,
    ratios: list[float],
    advantages: list[float],
    *,
    weights: list[float] | None = None,
    reference_ratios: list[float] | None = None,
) -> tuple[float, list[float], dict[str, float]]:
    """Loss, its gradient by log-prob, metrics; `reference_ratios` are reference over policy."""
    logprobs = torch.tensor([OLD + math.log(ratio) for ratio in ratios], dtype=torch.float64)
    reference = None
    if reference_ratios is not None:
        reference = logprobs + torch.tensor(reference_ratios, dtype=torch.float64).log()
    logprobs.requires_grad_()
    batch = LossBatch(
        advantages=torch.tensor(advantages, dtype=torch.float64),
        weights=torch.tensor(weights or [1.0] * len(ratios), dtype=torch.float64),
        old_logprobs=torch.full((len(ratios),), OLD, dtype=torch.float64),
        reference_logprobs=reference,
    )
    value, metrics = loss(logprobs, batch)
    value.backward()
    assert logprobs.grad is not None
    return value.item(), logprobs.grad.tolist(), metrics


def grpo(low: float = 0.2, high: float = 0.28, beta: float = 0.0) -> GRPOLoss:
    return GRPOLoss(clip_low=low, clip_high=high, kl_coefficient=beta, aggregate="token")


@pytest.mark.parametrize(
    ("ratio", "advantage", "value", "gradient"),
    [
        (1.0, 2.0, -2.0, -2.0),  # on policy: plain policy gradient
        (1.0, -2.0, 2.0, 2.0),
        (1.25, 2.0, -2.5, -2.5),  # inside the upper bound, which is higher than 1.2
        (1.5, 2.0, -2.56, 0.0),  # good and already likelier: held at 1.28
        (0.5, 2.0, -1.0, -1.0),  # good but less likely: not held
        (0.5, -2.0, 1.6, 0.0),  # bad and already less likely: held at 0.8
        (1.5, -2.0, 3.0, 3.0),  # bad but likelier: not held
        (1.5, 0.0, 0.0, 0.0),
    ],
)
def test_surrogate_is_clipped_only_on_the_side_the_advantage_pushes_to(
    ratio: float, advantage: float, value: float, gradient: float
) -> None:
    got, slope, _ = evaluate(grpo(), [ratio], [advantage])
    assert got == pytest.approx(value, abs=1e-12)
    assert slope == pytest.approx([gradient], abs=1e-12)


@pytest.mark.parametrize(
    ("ratio", "advantage", "value", "gradient"),
    [
        (10.5, 1.0, -10.5, -10.5),
        (12.0, 1.0, -11.0, 0.0),  # capped at 1 + 10
        (12.0, -1.0, 12.0, 12.0),
        (1e-9, -1.0, 1e-9, 1e-9),  # the lower bound 1 - 10 = -9 never binds
        (1e-9, 1.0, -1e-9, -1e-9),
    ],
)
def test_clip_bound_10_caps_ratios_at_11_and_never_binds_below(
    ratio: float, advantage: float, value: float, gradient: float
) -> None:
    got, slope, metrics = evaluate(grpo(low=10.0, high=10.0), [ratio], [advantage])
    assert got == pytest.approx(value, rel=1e-9)
    assert slope == pytest.approx([gradient], rel=1e-9)
    assert metrics["clip_low"] == 0.0


def test_kl_is_k3_in_the_loss_and_its_gradient_pulls_to_the_reference() -> None:
    # r = ref/policy: r - ln r - 1, slope by the policy's log-prob: 1 - r
    ratios = [1.0, 2.0, 0.5]
    value, slope, metrics = evaluate(grpo(beta=0.1), [1.0] * 3, [0.0] * 3, reference_ratios=ratios)
    k3 = 0.0 + (1.0 - math.log(2.0)) + (math.log(2.0) - 0.5)
    assert value == pytest.approx(0.1 * k3, abs=1e-12)
    assert slope == pytest.approx([0.0, -0.1, 0.05], abs=1e-12)
    assert metrics["kl"] == pytest.approx(k3, abs=1e-12)


def test_kl_and_surrogate_add_up_with_the_papers_coefficients() -> None:
    value, slope, _ = evaluate(grpo(10.0, 10.0, 0.001), [2.0], [1.5], reference_ratios=[3.0])
    assert value == pytest.approx(-3.0 + 0.001 * (3.0 - math.log(3.0) - 1.0), abs=1e-12)
    assert slope == pytest.approx([-3.0 - 0.001 * 2.0], abs=1e-12)


def test_kl_is_measured_but_pulls_nothing_with_coefficient_0() -> None:
    value, slope, metrics = evaluate(grpo(), [1.0], [0.0], reference_ratios=[2.0])
    assert (value, slope) == (0.0, [0.0])
    assert metrics["kl"] == pytest.approx(1.0 - math.log(2.0))


def test_k3_of_nearly_equal_models_is_not_negative_in_float32() -> None:
    logprobs = torch.linspace(-8.0, -1.0, 1001)
    batch = LossBatch(torch.zeros(1001), torch.ones(1001), logprobs, logprobs + 1e-6)
    value, metrics = grpo(beta=1.0)(logprobs, batch)
    assert 0.0 <= value.item() <= 1001 * 1e-11
    assert metrics["kl"] >= 0.0


def test_ratio_metrics_are_taken_before_clipping() -> None:
    _, _, metrics = evaluate(grpo(), [4.0, 0.5, 0.5, 4.0, 1.0], [1.0, -1.0, 1.0, -1.0, 1.0])
    assert metrics["ratio"] == pytest.approx(10.0)
    assert metrics["ratio_max"] == pytest.approx(4.0)
    assert (metrics["clip_high"], metrics["clip_low"]) == (1.0, 1.0)


def test_token_weights_count_all_tokens_and_output_weights_all_outputs_of_the_minibatch() -> None:
    token = GRPOLoss(0.2, 0.28, 0.0, "token")
    output = GRPOLoss(0.2, 0.28, 0.0, "output")
    # two of four outputs are left; all four had 20 tokens
    assert token.weights([2, 8], n_outputs=4, n_tokens=20) == [1 / 20, 1 / 20]
    assert output.weights([2, 8], n_outputs=4, n_tokens=20) == [1 / 8, 1 / 32]


def test_token_mean_favours_long_outputs_and_output_mean_does_not() -> None:
    # outputs of 1 and 3 tokens with advantages 1 and -1, on policy
    lengths, advantages = [1, 3], [1.0, -1.0, -1.0, -1.0]
    expected = {"token": -(1 - 3) / 4, "output": -(1 - 1) / 2}
    for aggregate, value in expected.items():
        loss = GRPOLoss(0.2, 0.28, 0.0, aggregate)  # type: ignore[arg-type]
        first, second = loss.weights(lengths, 2, 4)
        got, _, _ = evaluate(loss, [1.0] * 4, advantages, weights=[first, second, second, second])
        assert got == pytest.approx(value, abs=1e-12)


def test_a_kl_term_without_a_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="reference"):
        evaluate(grpo(beta=0.001), [1.0], [1.0])


@pytest.mark.parametrize("field", ["clip_low", "clip_high", "kl_coefficient"])
def test_coefficients_out_of_range_are_refused(field: str) -> None:
    settings = {"clip_low": 0.2, "clip_high": 0.2, "kl_coefficient": 0.0, field: -0.1}
    with pytest.raises(ValueError, match=field):
        GRPOLoss(**settings, aggregate="token")
