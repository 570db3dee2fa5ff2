"""Log-probabilities of chosen tokens, without ever holding the logits of all positions at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def token_logprobs(
    hidden: Tensor,
    head_weight: Tensor,
    targets: Tensor,
    temperature: float,
    chunk: int = 1024,
    softcap: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Log-probability of each target, and the entropy, both of the tempered distribution and in float32.

    The logits are those of `Decoder`: `hidden @ head_weight.T`, soft-capped where the model does so, over
    `temperature`. Only [chunk, V] of them exist at any moment: the backward pass makes them a second time.

    Args:
        hidden: [N, H].
        head_weight: [V, H].
        targets: [N] int64.
        temperature: above 0.
        chunk: positions per slice.
        softcap: `Decoder.softcap`.

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
    result: tuple[Tensor, Tensor] = _TokenLogprobs.apply(  # type: ignore[no-untyped-call]
        hidden, head_weight, targets, temperature, chunk, softcap
    )
    return result


def head_logits(hidden: Tensor, head_weight: Tensor, softcap: float | None) -> Tensor:
    """Logits [N, V] in float32 of hidden states [N, H] by `Decoder`'s contract. Not for autograd."""
    logits = torch.mm(hidden, head_weight.t()).float()
    if softcap is not None:
        logits.div_(softcap).tanh_().mul_(softcap)
    return logits


def _tempered_logits(
    hidden: Tensor, head_weight: Tensor, temperature: float, softcap: float | None
) -> Tensor:
    logits = head_logits(hidden, head_weight, softcap)
    return logits if temperature == 1.0 else logits.div_(temperature)


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
    ) -> tuple[Tensor, Tensor]:
        n = hidden.shape[0]
        logprobs = torch.empty(n, dtype=torch.float32, device=hidden.device)
        entropy = torch.empty_like(logprobs)
        normalisers = torch.empty_like(logprobs)
        for start in range(0, n, chunk):
            part = slice(start, start + chunk)
            logits = _tempered_logits(hidden[part], head_weight, temperature, softcap)
            normaliser = torch.logsumexp(logits, dim=-1)
            logprobs[part] = logits.gather(1, targets[part, None]).squeeze(1) - normaliser
            probabilities = (logits - normaliser[:, None]).exp_()
            entropy[part] = normaliser - probabilities.mul_(logits).sum(dim=-1)
            normalisers[part] = normaliser
        ctx.save_for_backward(hidden, head_weight, targets, normalisers)
        ctx.temperature, ctx.chunk, ctx.softcap = temperature, chunk, softcap
        ctx.mark_non_differentiable(entropy)
        return logprobs, entropy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        hidden, head_weight, targets, normalisers = ctx.saved_tensors
        temperature, softcap = ctx.temperature, ctx.softcap
        grad_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        grad_weight = (
            torch.zeros(head_weight.shape, dtype=torch.float32, device=head_weight.device)
            if ctx.needs_input_grad[1]
            else None
        )
        for start in range(0, hidden.shape[0], ctx.chunk):
            part = slice(start, start + ctx.chunk)
            slice_hidden = hidden[part]
            logits = _tempered_logits(slice_hidden, head_weight, temperature, softcap)
            slope = None if softcap is None else 1 - (logits * (temperature / softcap)).square_()
            scale = grad[part] / temperature
            # d logprob / d logits = (one-hot - probabilities) / temperature
            gradient = logits.sub_(normalisers[part, None]).exp_().mul_(-scale[:, None])
            gradient.scatter_add_(1, targets[part, None], scale[:, None])
            if slope is not None:
                gradient.mul_(slope)
            if grad_hidden is not None:
                torch.mm(gradient.to(head_weight.dtype), head_weight, out=grad_hidden[part])
            if grad_weight is not None:
                grad_weight.addmm_(gradient.t(), slice_hidden.float())
        return (
            grad_hidden,
            None if grad_weight is None else grad_weight.to(head_weight.dtype),
            None,
            None,
            None,
            None,
        )
