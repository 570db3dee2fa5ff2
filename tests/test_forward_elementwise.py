"""The hand-written backward passes equal the plain formulas in float64."""

from __future__ import annotations

import pytest
import torch

from ahalab.policy.forward.elementwise import rms_norm, rotate


@pytest.mark.parametrize("shape", [(7, 16), (5, 3, 16)])
def test_rms_norm_equals_the_formula(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x, weight, upstream = torch.randn(shape) * 3, torch.rand(16) + 0.5, torch.randn(shape)
    wide_x, wide_weight = x.double().requires_grad_(), weight.double().requires_grad_()
    expected = wide_weight * wide_x / torch.sqrt(wide_x.square().mean(-1, keepdim=True) + 1e-3)
    expected.backward(upstream.double())
    x.requires_grad_()
    weight.requires_grad_()
    result = rms_norm(x, weight, 1e-3)
    result.backward(upstream)
    torch.testing.assert_close(result, expected.float())
    torch.testing.assert_close(x.grad.double(), wide_x.grad, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(weight.grad.double(), wide_weight.grad, rtol=1e-5, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(rms_norm(x, weight, 1e-3), expected.float())


def test_rms_norm_of_half_precision_follows_transformers() -> None:
    from transformers.models.llama.modeling_llama import LlamaRMSNorm

    torch.manual_seed(0)
    module = LlamaRMSNorm(16, eps=1e-6).bfloat16()
    x = torch.randn(5, 16, dtype=torch.bfloat16)
    assert torch.equal(rms_norm(x, module.weight, 1e-6), module(x))


def test_rotation_equals_transformers_and_turns_gradients_back() -> None:
    from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

    torch.manual_seed(0)
    angles = torch.randn(6, 4)
    cos, sin = torch.cat((angles.cos(),) * 2, -1), torch.cat((angles.sin(),) * 2, -1)
    x, upstream = torch.randn(6, 3, 8, requires_grad=True), torch.randn(6, 3, 8)
    expected, _ = apply_rotary_pos_emb(x, x, cos, sin, unsqueeze_dim=1)
    (wanted,) = torch.autograd.grad(expected, x, upstream)
    result = rotate(x, cos[:, None], sin[:, None, :4])
    (got,) = torch.autograd.grad(result, x, upstream)
    torch.testing.assert_close(result, expected)
    torch.testing.assert_close(got, wanted)
    with torch.no_grad():
        torch.testing.assert_close(rotate(x, cos[:, None], sin[:, None, :4]), expected)
