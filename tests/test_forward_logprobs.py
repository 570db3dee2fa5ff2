"""Chunked log-probabilities equal log_softmax, and the logits of all positions never exist at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ahalab.policy.forward import logprobs as module
from ahalab.policy.forward import token_logprobs

N, H, V = 37, 8, 50


def inputs() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    torch.manual_seed(3)
    return (
        torch.randn(N, H, requires_grad=True),
        torch.randn(V, H, requires_grad=True),
        torch.randint(0, V, (N,)),
        torch.randn(N),
    )


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("temperature", [1.0, 0.7, 2.5])
@pytest.mark.parametrize("chunk", [1, 10, 37, 1024])
def test_token_logprobs_equal_log_softmax_with_gradients(
    chunk: int, temperature: float, softcap: float | None
) -> None:
    hidden, head, targets, upstream = inputs()
    logits = hidden @ head.t()
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    full = torch.log_softmax(logits / temperature, dim=-1)
    expected = full.gather(1, targets[:, None]).squeeze(1)
    wanted = torch.autograd.grad(expected, (hidden, head), upstream)
    logprobs, entropy = token_logprobs(hidden, head, targets, temperature, chunk, softcap)
    got = torch.autograd.grad(logprobs, (hidden, head), upstream)
    torch.testing.assert_close(logprobs, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(entropy, -(full.exp() * full).sum(-1), rtol=1e-5, atol=1e-5)
    for mine, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("softcap", [None, 2.0])
@pytest.mark.parametrize("block_columns", [1, 7, 25, 49])
def test_blocks_of_the_vocabulary_change_nothing(
    monkeypatch: pytest.MonkeyPatch, block_columns: int, softcap: float | None
) -> None:
    hidden, head, targets, upstream = inputs()
    with torch.no_grad():
        head[-3:] *= 20  # the largest logits come last, so that every sum so far has to be shrunk
        targets[:4] = torch.tensor([0, 6, 7, V - 1])  # on both sides of the blocks' edges
    results = []
    for columns in (V, block_columns):
        monkeypatch.setattr(module, "BLOCK_BYTES", {"cpu": 4 * 10 * columns})
        logprobs, entropy = token_logprobs(hidden, head, targets, 0.7, 10, softcap)
        results.append((logprobs, entropy, *torch.autograd.grad(logprobs, (hidden, head), upstream)))
    for whole, in_blocks in zip(*results, strict=True):
        torch.testing.assert_close(in_blocks, whole, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_sums_over_blocks_are_taken_in_float32(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    hidden, head, targets, upstream = (t.to(dtype) if t.is_floating_point() else t for t in inputs())
    hidden, head = hidden.detach().requires_grad_(), head.detach().requires_grad_()
    gradients = []
    for columns in (V, 1):
        monkeypatch.setattr(module, "BLOCK_BYTES", {"cpu": 4 * N * columns})
        logprobs, _ = token_logprobs(hidden, head, targets, 1.0)
        gradients.append(torch.autograd.grad(logprobs, hidden, upstream.float())[0])
    assert gradients[0].dtype == dtype
    # One column at a time rounds a product and, at the end, the sum: two units in the last place at most.
    tolerance = 4 * torch.finfo(dtype).eps
    torch.testing.assert_close(gradients[1], gradients[0], rtol=tolerance, atol=tolerance)


def test_the_heads_gradient_is_added_to_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, head, targets, upstream = inputs()
    monkeypatch.setattr(module, "BLOCK_BYTES", {"cpu": 4 * 10 * 20})

    def loss(add_to_grad: bool) -> Tensor:
        embedded = hidden + head[targets]  # tied: the head is also an embedding
        logprobs, _ = token_logprobs(embedded, head, targets, 1.0, 10, add_to_grad=add_to_grad)
        return (logprobs * upstream).sum()

    wanted = torch.autograd.grad(loss(False), (hidden, head))
    for times in (1.0, 2.0):  # the first finds no grad, the second one of its own
        loss(True).backward()
        for tensor, gradient in zip((hidden, head), wanted, strict=True):
            torch.testing.assert_close(tensor.grad, times * gradient, rtol=1e-5, atol=1e-5)


def test_a_head_that_is_made_of_a_parameter_gets_its_gradient_through_autograd() -> None:
    hidden, head, targets, upstream = inputs()
    logprobs, _ = token_logprobs(hidden, head, targets, 1.0)
    (wanted,) = torch.autograd.grad(logprobs, head, upstream)
    token_logprobs(hidden, (head / 3) * 3, targets, 1.0, add_to_grad=True)[0].backward(upstream)
    torch.testing.assert_close(head.grad, wanted)


def test_a_frozen_head_gets_no_grad() -> None:
    hidden, head, targets, _ = inputs()
    token_logprobs(hidden, head.detach(), targets, 1.0, add_to_grad=True)[0].sum().backward()
    assert head.grad is None
    assert hidden.grad is not None


def test_the_entropy_carries_no_gradient() -> None:
    hidden, head, targets, _ = inputs()
    logprobs, entropy = token_logprobs(hidden, head, targets, 1.0)
    assert logprobs.requires_grad
    assert not entropy.requires_grad


def test_a_token_with_no_weight_has_no_gradient() -> None:
    hidden, head, targets, _ = inputs()
    weights = torch.zeros(N)
    weights[4] = 1.0
    logprobs, _ = token_logprobs(hidden, head, targets, 1.0, 10)
    (gradient,) = torch.autograd.grad(logprobs, hidden, weights)
    assert gradient[4].abs().sum() > 0
    gradient[4] = 0
    assert gradient.abs().sum() == 0


def test_only_the_inputs_that_need_it_get_a_gradient() -> None:
    hidden, head, targets, upstream = inputs()
    logprobs, _ = token_logprobs(hidden.detach(), head, targets, 1.0, 10)
    torch.autograd.grad(logprobs, head, upstream)
    logprobs, _ = token_logprobs(hidden, head.detach(), targets, 1.0, 10)
    torch.autograd.grad(logprobs, hidden, upstream)


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation made."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.numel = max(self.numel, leaf.numel())
        return result


def test_the_logits_of_all_positions_never_exist_at_once() -> None:
    torch.manual_seed(0)
    n, v, chunk = 256, 300, 32
    hidden, head = torch.randn(n, H, requires_grad=True), torch.randn(v, H, requires_grad=True)
    targets = torch.randint(0, v, (n,))
    with Largest() as chunked:
        logprobs, _ = token_logprobs(hidden, head, targets, 0.9, chunk)
        logprobs.sum().backward()
    assert chunked.numel == chunk * v
    with Largest() as plain:
        torch.log_softmax(hidden @ head.t(), -1).sum().backward()
    assert plain.numel == n * v


def test_blocks_of_logits_do_not_grow_with_the_vocabulary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", {"cpu": 4 * 3000})
    largest = []
    for v in (300, 3000):
        hidden, head = torch.randn(64, 1, requires_grad=True), torch.randn(v, 1, requires_grad=True)
        with Largest() as seen:
            token_logprobs(hidden, head, torch.randint(0, v, (64,)), 0.9)[0].sum().backward()
        largest.append(seen.numel)
    assert max(largest) <= 3000  # of which [V, 1], the gradient of the head, is the largest in the second


def test_figures_out_of_range_are_refused() -> None:
    hidden, head, targets, _ = inputs()
    for temperature in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="temperature"):
            token_logprobs(hidden, head, targets, temperature)
    with pytest.raises(ValueError, match="chunk"):
        token_logprobs(hidden, head, targets, 1.0, 0)
    with pytest.raises(ValueError, match="expected"):
        token_logprobs(hidden, head[:, :-1], targets, 1.0)
    with pytest.raises(ValueError, match="expected"):
        token_logprobs(hidden, head, targets[:-1], 1.0)
