"""Log-probabilities with a bf16 output head: bf16 operands, sums that stay in fp32.

A logit of 20 rounded to bf16 is wrong by up to 0.06, and so would be its log-probability; with fp32 sums only the
operands' rounding is left. A GPU's products do this at full speed. A CPU's leave bf16 sums, so there the rounded
operands are multiplied in fp32: the same numbers, without a gain in speed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ahalab.policy.forward.fusion import any_rows, compiled, worth_fusing


def mixed_token_logprobs(
    hidden: Tensor,
    head_weight: Tensor,
    targets: Tensor,
    temperature: float,
    chunk: int = 1024,
    softcap: float | None = None,
    *,
    fused: bool | None = None,
) -> tuple[Tensor, Tensor]:
    """As `token_logprobs`, whose contract holds here too, from fp32 `hidden` and `head_weight` rounded to bf16.

    `fused` compiles the passes over the logits (`fusion.py`); None: where it is worth it.
    """
    if fused is None:
        fused = worth_fusing(hidden.device)
    result: tuple[Tensor, Tensor] = _MixedLogprobs.apply(  # type: ignore[no-untyped-call]
        hidden, head_weight, targets, temperature, chunk, softcap, fused
    )
    return result


def _operand(x: Tensor) -> Tensor:
    """x rounded to bf16, in the type that `_product` wants."""
    rounded = x.to(torch.bfloat16)
    return rounded if x.is_cuda else rounded.float()


def _product(left: Tensor, right: Tensor) -> Tensor:
    """The product of two operands with fp32 sums."""
    return torch.mm(left, right, out_dtype=torch.float32) if left.is_cuda else torch.mm(left, right)


class _MixedLogprobs(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        head_weight: Tensor,
        targets: Tensor,
        temperature: float,
        chunk: int,
        softcap: float | None,
        fused: bool,
    ) -> tuple[Tensor, Tensor]:
        statistics = compiled(_statistics) if fused else _statistics
        states, weight = _operand(hidden), _operand(head_weight)
        parts = []
        for some_states, some_targets in zip(
            *(torch.split(t, chunk) for t in (states, targets)), strict=True
        ):
            logits = _product(some_states, weight.t())
            if fused:
                any_rows(logits, some_targets)
            parts.append(statistics(logits, some_targets, temperature, softcap))
        logprobs, entropy, normalisers = (torch.cat(columns) for columns in zip(*parts, strict=True))
        ctx.save_for_backward(states, head_weight, targets, normalisers)
        ctx.settings = temperature, chunk, softcap, fused
        ctx.mark_non_differentiable(entropy)
        return logprobs, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        states, head_weight, targets, normalisers = ctx.saved_tensors
        temperature, chunk, softcap, fused = ctx.settings
        slope = compiled(_slope) if fused else _slope
        weight = _operand(head_weight)
        grad_hidden = []
        grad_weight = torch.zeros_like(head_weight) if ctx.needs_input_grad[1] else None
        for parts in zip(*(torch.split(t, chunk) for t in (states, targets, normalisers, grad)), strict=True):
            some_states, some_targets, some_normalisers, some_grad = parts
            logits = _product(some_states, weight.t())
            if fused:
                any_rows(logits, some_targets, some_normalisers, some_grad)
            gradient = slope(logits, some_targets, some_normalisers, some_grad, temperature, softcap)
            if not gradient.is_cuda:
                gradient = gradient.float()
            if ctx.needs_input_grad[0]:
                grad_hidden.append(_product(gradient, weight))
            if grad_weight is not None:
                grad_weight.add_(_product(gradient.t(), some_states))
        return torch.cat(grad_hidden) if grad_hidden else None, grad_weight, *(None,) * 5


def _tempered(logits: Tensor, temperature: float, softcap: float | None) -> Tensor:
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    return logits if temperature == 1.0 else logits / temperature


def _statistics(
    logits: Tensor, targets: Tensor, temperature: float, softcap: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    """(log-probs, entropy, log of the normaliser), [N] each, of raw logits [N, V] float32."""
    logits = _tempered(logits, temperature, softcap)
    normaliser = torch.logsumexp(logits, dim=-1)
    logprobs = logits.gather(1, targets[:, None]).squeeze(1) - normaliser
    probabilities = (logits - normaliser[:, None]).exp()
    return logprobs, normaliser - (probabilities * logits).sum(dim=-1), normaliser


def _slope(
    logits: Tensor,
    targets: Tensor,
    normalisers: Tensor,
    grad: Tensor,
    temperature: float,
    softcap: float | None,
) -> Tensor:
    """d loss / d raw logits [N, V] bf16, from d loss / d log-probs [N]."""
    tempered = _tempered(logits, temperature, softcap)
    scale = (grad / temperature)[:, None]
    # d logprob / d logits = (one-hot - probabilities) / temperature
    gradient = -scale * (tempered - normalisers[:, None]).exp()
    chosen = torch.arange(logits.shape[1], device=logits.device)[None, :] == targets[:, None]
    gradient = torch.where(chosen, gradient + scale, gradient)
    if softcap is not None:
        gradient = gradient * (1 - (tempered * (temperature / softcap)).square())
    return gradient.to(torch.bfloat16)
