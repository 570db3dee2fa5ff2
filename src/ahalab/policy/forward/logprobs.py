"""Log-probabilities of chosen tokens, without ever holding the logits of all positions at once."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK_BYTES = {"cpu": 8 << 20}
"""Of one block of float32 logits; a second block of the same size exists beside it. One that stays in the processor's
cache is quickest: 1,024 rows of width 576 and 49,152 tokens on one core took 0.53 s forward and 1.26 s backward with 8
MiB, 0.75 and 1.39 with 64, and 0.83 and 1.36 with no blocks at all."""
GPU_BLOCK_BYTES = 256 << 20
"""The same on any other device, where small blocks cost launches (our choice, not measured)."""


def token_logprobs(
    hidden: Tensor,
    head_weight: Tensor,
    targets: Tensor,
    temperature: float,
    chunk: int = 1024,
    softcap: float | None = None,
    *,
    add_to_grad: bool = False,
) -> tuple[Tensor, Tensor]:
    """Log-probability of each target, and the entropy, both of the tempered distribution and in float32.

    The logits are those of `Decoder`: `hidden @ head_weight.T`, soft-capped where the model does so, over
    `temperature`. They are made block by block, `chunk` rows and as many columns as fit `BLOCK_BYTES`, and in the
    backward pass a second time: what this takes does not grow with N or with V (the gradients do).

    Args:
        hidden: [N, H].
        head_weight: [V, H].
        targets: [N] int64.
        temperature: above 0.
        chunk: rows of a block.
        softcap: `Decoder.softcap`.
        add_to_grad: where `head_weight` is itself an fp32 parameter, `backward()` adds its gradient to its `grad` at
            once and hands autograd none. With tied embeddings autograd would hold that [V, H] through the whole
            backward pass, until the embedding's is there to be added. Not for `torch.autograd.grad`.

    Returns:
        (logprobs [N], entropy [N] in nats). Gradients flow from logprobs to hidden and head_weight; the entropy
        carries none.

    Raises:
        ValueError: a temperature or chunk that is not above 0, or shapes that do not fit.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0 for log-probabilities, not {temperature}")
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, not {chunk}")
    if hidden.shape[:1] != targets.shape or hidden.shape[1:] != head_weight.shape[1:]:
        raise ValueError(
            f"hidden [N, H], head_weight [V, H] and targets [N] expected, not "
            f"{tuple(hidden.shape)}, {tuple(head_weight.shape)} and {tuple(targets.shape)}"
        )
    add_to_grad = add_to_grad and head_weight.is_leaf and head_weight.dtype == torch.float32
    result: tuple[Tensor, Tensor] = _TokenLogprobs.apply(  # type: ignore[no-untyped-call]
        hidden, head_weight, targets, temperature, chunk, softcap, add_to_grad
    )
    return result


def head_logits(hidden: Tensor, head_weight: Tensor, softcap: float | None) -> Tensor:
    """Logits [N, V] in float32 of hidden states [N, H] by `Decoder`'s contract. Not for autograd."""
    logits = torch.mm(hidden, head_weight.t()).float()
    if softcap is not None:
        logits.div_(softcap).tanh_().mul_(softcap)
    return logits


class _TokenLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        head_weight: Tensor,
        targets: Tensor,
        temperature: float,
        chunk: int,
        softcap: float | None,
        add_to_grad: bool,
    ) -> tuple[Tensor, Tensor]:
        n = hidden.shape[0]
        logprobs = torch.empty(n, dtype=torch.float32, device=hidden.device)
        entropy = torch.empty_like(logprobs)
        normalisers = torch.empty_like(logprobs)
        for start in range(0, n, chunk):
            part = slice(start, start + chunk)
            logprobs[part], entropy[part], normalisers[part] = _statistics(
                hidden[part], head_weight, targets[part], temperature, softcap
            )
        ctx.save_for_backward(hidden, head_weight, targets, normalisers)
        ctx.temperature, ctx.chunk, ctx.softcap = temperature, chunk, softcap
        ctx.parameter = head_weight if add_to_grad else None
        ctx.mark_non_differentiable(entropy)
        return logprobs, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        hidden, head_weight, targets, normalisers = ctx.saved_tensors
        temperature, softcap = ctx.temperature, ctx.softcap
        # Sums over blocks stay in fp32, whatever the dtype of the operands.
        grad_hidden = _fp32_zeros(hidden) if ctx.needs_input_grad[0] else None
        grad_weight = None
        if ctx.needs_input_grad[1]:
            grad_weight = _grad_of(ctx.parameter) if ctx.parameter is not None else _fp32_zeros(head_weight)
        for start in range(0, hidden.shape[0], ctx.chunk):
            part = slice(start, start + ctx.chunk)
            slice_hidden = hidden[part]
            scale = grad[part] / temperature
            for block in _blocks(slice_hidden, head_weight):
                weight = head_weight[block]
                logits = _tempered_logits(slice_hidden, weight, temperature, softcap)
                slope = None if softcap is None else 1 - (logits * (temperature / softcap)).square_()
                # d logprob / d logits = (one-hot - probabilities) / temperature
                gradient = logits.sub_(normalisers[part, None]).exp_().mul_(-scale[:, None])
                place, inside = _places(targets[part], block)
                gradient.scatter_add_(1, place, (scale * inside)[:, None])
                if slope is not None:
                    gradient.mul_(slope)
                if grad_hidden is not None:
                    _add_product(grad_hidden[part], gradient.to(weight.dtype), weight)
                if grad_weight is not None:
                    grad_weight[block].addmm_(gradient.t(), slice_hidden.float())
        if grad_weight is not None:
            grad_weight = None if ctx.parameter is not None else grad_weight.to(head_weight.dtype)
        return None if grad_hidden is None else grad_hidden.to(hidden.dtype), grad_weight, *(None,) * 5


def _statistics(
    hidden: Tensor, head_weight: Tensor, targets: Tensor, temperature: float, softcap: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    """(log-prob of the target, entropy, log of the normaliser), each [n] float32.

    One pass over the vocabulary: sums are taken relative to the largest logit so far and adjusted when a larger one
    comes (Milakov and Gimelshein 2018, "Online normalizer calculation for softmax").
    """
    n = hidden.shape[0]
    largest = torch.full((n,), torch.finfo(torch.float32).min, device=hidden.device)
    total, weighted, chosen = (torch.zeros_like(largest) for _ in range(3))
    for block in _blocks(hidden, head_weight):
        logits = _tempered_logits(hidden, head_weight[block], temperature, softcap)
        place, inside = _places(targets, block)
        chosen += logits.gather(1, place).squeeze(1) * inside
        before, largest = largest, torch.maximum(largest, logits.amax(dim=1))
        difference = before - largest
        shrunk = difference.exp()
        weighted.add_(total * difference).mul_(shrunk)
        total.mul_(shrunk)
        exponentials = logits.sub_(largest[:, None]).exp()
        total += exponentials.sum(dim=1)
        weighted += exponentials.mul_(logits).sum(dim=1)
    log_total = total.log()
    normaliser = largest + log_total
    return chosen - normaliser, log_total - weighted / total, normaliser


def _blocks(hidden: Tensor, head_weight: Tensor) -> list[slice]:
    """Ranges of the vocabulary whose float32 logits of all rows of `hidden` stay within `BLOCK_BYTES`."""
    vocabulary = head_weight.shape[0]
    most = max(1, BLOCK_BYTES.get(hidden.device.type, GPU_BLOCK_BYTES) // (4 * hidden.shape[0]))
    width = math.ceil(vocabulary / math.ceil(vocabulary / most))
    return [slice(first, min(first + width, vocabulary)) for first in range(0, vocabulary, width)]


def _places(targets: Tensor, block: slice) -> tuple[Tensor, Tensor]:
    """Column [n, 1] of each target in the block, 0 where it lies outside, and whether it lies inside [n]."""
    inside = (targets >= block.start) & (targets < block.stop)
    return ((targets - block.start) * inside)[:, None], inside


def _tempered_logits(
    hidden: Tensor, head_weight: Tensor, temperature: float, softcap: float | None
) -> Tensor:
    logits = head_logits(hidden, head_weight, softcap)
    return logits if temperature == 1.0 else logits.div_(temperature)


def _fp32_zeros(like: Tensor) -> Tensor:
    return torch.zeros(like.shape, dtype=torch.float32, device=like.device)


def _grad_of(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total.add_(torch.mm(left, right))
