"""Attention in two forms: over packed segments, and of one new token per row against cached keys and values."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from ahalab.policy.forward.varlen import runs_varlen, varlen_attention

if TYPE_CHECKING:
    from ahalab.policy.forward.cache import Cached, Step
    from ahalab.policy.forward.layout import Rectangle


def packed_attention(
    query: Tensor, key: Tensor, value: Tensor, rectangles: Sequence[Rectangle], scale: float
) -> Tensor:
    """Causal attention within each segment of packed rows: one kernel where there is one, else by rectangles.

    Args:
        query: [Q, heads, D], rows in the order of `rectangles`.
        key, value: [A, kv_heads, D].
        rectangles: right padding needs no mask, because no real query looks right.
        scale: of the scores.

    Returns:
        [Q, heads * D].
    """
    if runs_varlen(query.device, query.dtype, query.shape[2]):
        return varlen_attention(query, key, value, rectangles, scale)
    asked, kept = ([getattr(one, name) for one in rectangles] for name in ("queries", "keys"))
    results = []
    # One split each: slicing would give every slice a gradient as large as the whole tensor.
    for (count, length, skip), q, k, v in zip(
        rectangles, torch.split(query, asked), torch.split(key, kept), torch.split(value, kept), strict=True
    ):
        q, k, v = (t.view(count, -1, t.shape[1], t.shape[2]).transpose(1, 2) for t in (q, k, v))
        groups = q.shape[1] // k.shape[1]
        grouped = groups > 1
        if grouped and query.is_cuda and query.dtype == torch.float32:
            # On CUDA only the half-precision kernels take grouped heads; fp32 would fall to the slow one.
            k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
            grouped = False
        mask = None if skip == 0 else late_queries_mask(length, skip, q.dtype, q.device)
        result = scaled_dot_product_attention(
            q, k, v, mask, is_causal=mask is None, scale=scale, enable_gqa=grouped
        )
        results.append(result.transpose(1, 2).flatten(0, 1).flatten(1))
    return results[0] if len(results) == 1 else torch.cat(results)


@functools.lru_cache(maxsize=64)
def late_queries_mask(length: int, skip: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Additive [length - skip, length]: the query at place skip + i sees the keys up to its own place.

    Every layer of a packed call asks for the same, so the last ones are kept.
    """
    # Outside inference mode: the backward pass keeps it, whoever asked first.
    with torch.inference_mode(False):
        mask = torch.zeros(length - skip, length, dtype=dtype, device=device)
        later = torch.ones_like(mask, dtype=torch.bool).triu(skip + 1)
        return mask.masked_fill_(later, -torch.inf)


def decode_attention(query: Tensor, cached: Cached, step: Step) -> Tensor:
    """Attention of one query per row over its prompt (kept once for all rows of it) and its own tokens.

    The rows of one prompt read its keys together, as one matrix product, so the prompt passes through the
    memory once per prompt and not once per row. One softmax runs over both parts.

    Args:
        query: [n * kv_heads, groups, D], already scaled.
        cached: the keys and values to look at.
        step: which row reads which prompt, how far each looks back, and the masks.

    Returns:
        [n * kv_heads, groups, D].
    """
    groups, width = query.shape[1:]
    company = step.company
    prompts, length, _ = cached.prompt_keys.shape
    together = query.index_select(0, company.grid).view(prompts, -1, width)
    prompt_scores = torch.bmm(together, cached.prompt_keys.transpose(1, 2))
    prompt_scores = prompt_scores.view(-1, groups, length).index_select(0, company.back)
    if company.mask is not None:
        prompt_scores.view(len(company.mask), -1, length).add_(company.mask)
    results, prompt_weights = [], []
    for start, stop, own_length, mask in step.bins:
        rows = stop - start
        keys = cached.own_keys.narrow(0, start, rows).narrow(1, 0, own_length)
        own_scores = torch.bmm(query.narrow(0, start, rows), keys.transpose(1, 2))
        if mask is not None:
            own_scores.view(len(mask), -1, own_length).add_(mask)
        scores = torch.cat((prompt_scores.narrow(0, start, rows), own_scores), dim=2)
        weights = torch.softmax(scores, dim=2, dtype=torch.float32).to(query.dtype)
        values = cached.own_values.narrow(0, start, rows).narrow(1, 0, own_length)
        results.append(torch.bmm(weights.narrow(2, length, own_length), values))
        prompt_weights.append(weights.narrow(2, 0, length))
    result, weights = (
        parts[0] if len(parts) == 1 else torch.cat(parts) for parts in (results, prompt_weights)
    )
    together = weights.index_select(0, company.grid).view(prompts, -1, length)
    from_prompt = torch.bmm(together, cached.prompt_values).view(-1, groups, width)
    return result.add_(from_prompt.index_select(0, company.back))
