"""The variable-length kernel is given the right segments, and only where it runs. The kernel itself needs a GPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ahalab.policy.forward import attention, layout, make_decoder, mixed, varlen
from ahalab.policy.forward.attention import packed_attention
from ahalab.policy.forward.layout import Rectangle
from ahalab.policy.forward.mixed import MixedDecoder
from ahalab.policy.forward.varlen import runs_varlen, segment_bounds
from forward_models import LEAN, build, segments

CPU = torch.device("cpu")


def test_bounds_follow_the_rectangles_row_by_row() -> None:
    bounds, longest = segment_bounds((Rectangle(2, 3), Rectangle(1, 5), Rectangle(3, 1)), CPU)
    assert bounds.tolist() == [0, 3, 6, 11, 12, 13, 14]
    assert bounds.dtype == torch.int32
    assert longest == 5


def test_bounds_made_while_sampling_serve_the_backward_pass() -> None:
    segment_bounds.cache_clear()
    with torch.inference_mode():
        bounds, _ = segment_bounds((Rectangle(1, 4),), CPU)
    assert not bounds.is_inference()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_cpu_never_takes_the_kernel(dtype: torch.dtype) -> None:
    assert not runs_varlen(CPU, dtype, 64)


def loop_over_segments(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float,
    window_size: tuple[int, int],
    enable_gqa: bool = True,
) -> Tensor:
    """What torch documents of `varlen_attn`, one segment at a time."""
    assert torch.equal(cu_seq_q, cu_seq_k)
    assert max_q == max_k == int(cu_seq_q.diff().max())
    assert window_size == (-1, 0)
    assert int(cu_seq_q[-1]) == len(query)
    parts = []
    for start, stop in zip(cu_seq_q[:-1].tolist(), cu_seq_q[1:].tolist(), strict=True):
        q, k, v = (t[None, start:stop].transpose(1, 2) for t in (query, key, value))
        result = scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=enable_gqa)
        parts.append(result.transpose(1, 2)[0])
    return torch.cat(parts)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """As on a GPU, where no query is skipped, with a loop in the kernel's place; counts its calls."""
    monkeypatch.setattr(layout, "_SKIP_BLOCK", 1_000_000)
    calls: list[int] = []

    def counted(*tensors: Any, **settings: Any) -> Tensor:
        calls.append(len(tensors[3]) - 1)
        return loop_over_segments(*tensors, **settings)

    for module in (attention, mixed):
        monkeypatch.setattr(module, "runs_varlen", lambda *_: True)
    monkeypatch.setattr(varlen, "_varlen_attn", counted)
    return calls


def test_the_kernel_gives_what_the_rectangles_give(
    kernel: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rectangles = [Rectangle(3, 4), Rectangle(2, 7), Rectangle(1, 9)]
    random = torch.Generator().manual_seed(0)
    rows = sum(rectangle.keys for rectangle in rectangles)
    query, key, value = (torch.randn(rows, heads, 8, generator=random) for heads in (4, 2, 2))
    got = packed_attention(query, key, value, rectangles, 0.3)
    assert kernel == [6]
    monkeypatch.setattr(attention, "runs_varlen", lambda *_: False)
    torch.testing.assert_close(
        got, packed_attention(query, key, value, rectangles, 0.3), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", ["llama, grouped heads", "qwen3, norms, wide heads"])
def test_a_packed_pass_through_the_kernel_equals_one_without(
    kernel: list[int], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    kind, changes = LEAN[name]
    model = build(kind, **changes)
    parts = segments()
    tokens, lengths = torch.cat(parts), [len(part) for part in parts]
    for decoder in (make_decoder(model), MixedDecoder(model)):
        kernel.clear()
        monkeypatch.setattr(attention, "runs_varlen", lambda *_: True)
        got = decoder.packed_hidden(tokens, lengths)
        assert kernel == [len(parts)] * model.config.num_hidden_layers
        monkeypatch.setattr(attention, "runs_varlen", lambda *_: False)
        tolerance = 0.03 if isinstance(decoder, MixedDecoder) else 1e-5
        expected = decoder.packed_hidden(tokens, lengths)
        torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU on this machine")
@pytest.mark.parametrize("kv_heads", [4, 2])
def test_the_real_kernel_gives_what_the_rectangles_give(
    kv_heads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rectangles = [Rectangle(3, 40), Rectangle(2, 70), Rectangle(1, 90)]
    rows = sum(rectangle.keys for rectangle in rectangles)
    random = torch.Generator(device="cuda").manual_seed(0)
    tensors = [
        torch.randn(rows, h, 64, generator=random, device="cuda", dtype=torch.bfloat16).requires_grad_()
        for h in (4, kv_heads, kv_heads)
    ]
    results = []
    for takes in (True, False):
        monkeypatch.setattr(attention, "runs_varlen", lambda *_, takes=takes: takes)
        result = packed_attention(*tensors, rectangles, 0.125)
        gradients = torch.autograd.grad(result.float().square().sum(), tensors)
        results.append((result, *gradients))
    for got, expected in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=0.03, atol=0.03)
