"""The hand-written backward passes equal the plain formulas in float64."""

from __future__ import annotations

import pytest
import torch

from ahalab.policy.forward.elementwise import gated_down, rms_norm, rotate


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


def test_the_gated_product_equals_the_formula_and_keeps_only_its_inputs() -> None:
    torch.manual_seed(0)
    rows = [torch.randn(5, 6), torch.randn(5, 8), torch.randn(5, 8), torch.randn(6, 8)]
    upstream = torch.randn(5, 6)
    wide = [tensor.double().requires_grad_() for tensor in rows]
    expected = wide[0] + (torch.nn.functional.silu(wide[1]) * wide[2]) @ wide[3].T
    expected.backward(upstream.double())
    kept: list[int] = []
    plain = [tensor.clone().requires_grad_() for tensor in rows]
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.data_ptr()) or t, lambda t: t):
        result = gated_down(*plain)
    result.backward(upstream)
    torch.testing.assert_close(result, expected.float())
    for got, wanted in zip(plain, wide, strict=True):
        torch.testing.assert_close(got.grad.double(), wanted.grad, rtol=1e-5, atol=1e-5)
    assert sorted(kept) == sorted(tensor.data_ptr() for tensor in plain[1:])
    with torch.no_grad():
        torch.testing.assert_close(gated_down(*plain), expected.float())


def test_the_gated_product_leaves_out_gradients_that_nobody_asks_for() -> None:
    residual, gate, up = torch.randn(5, 6), torch.randn(5, 8), torch.randn(5, 8)
    weight = torch.randn(6, 8, requires_grad=True)
    (grad,) = torch.autograd.grad(gated_down(residual, gate, up, weight).sum(), weight)
    torch.testing.assert_close(grad, torch.ones(6, 5) @ (torch.nn.functional.silu(gate) * up))
