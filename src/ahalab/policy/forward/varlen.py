"""Packed attention in one kernel on a GPU: torch's variable-length flash attention, which takes half precision only."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ahalab.policy.forward.layout import Rectangle

_varlen_attn: Any
try:
    from torch.nn.attention.varlen import varlen_attn as _varlen_attn
except ImportError:  # before torch 2.10
    _varlen_attn = None
_PARAMETERS = frozenset(inspect.signature(_varlen_attn).parameters) if _varlen_attn else frozenset()


def runs_varlen(device: torch.device, dtype: torch.dtype, head_dim: int) -> bool:
    """Whether `varlen_attention` can run: the kernel is a flash attention for NVIDIA GPUs from Ampere on."""
    return (
        {"scale", "window_size"} <= _PARAMETERS
        and device.type == "cuda"
        and dtype in (torch.bfloat16, torch.float16)
        and head_dim <= 256
        and head_dim % 8 == 0
        and torch.cuda.get_device_capability(device) >= (8, 0)
    )


def varlen_attention(
    query: Tensor, key: Tensor, value: Tensor, rectangles: Sequence[Rectangle], scale: float
) -> Tensor:
    """Causal attention within each segment; arguments and result as `packed_attention`, without skipped queries."""
    bounds, longest = segment_bounds(tuple(rectangles), query.device)
    # The kernel has always taken grouped heads; torch 2.12 and newer want to be told.
    grouped = {"enable_gqa": True} if "enable_gqa" in _PARAMETERS else {}
    attended: Tensor = _varlen_attn(
        query, key, value, bounds, bounds, longest, longest, scale=scale, window_size=(-1, 0), **grouped
    )
    return attended.flatten(1)


@functools.lru_cache(maxsize=8)
def segment_bounds(rectangles: tuple[Rectangle, ...], device: torch.device) -> tuple[Tensor, int]:
    """Where each segment begins, and where the last one ends [S + 1] int32; and the longest segment's length.

    Every layer of a packed call asks for the same, so the last few are kept.
    """
    lengths = np.repeat([one.length for one in rectangles], [one.segments for one in rectangles])
    bounds = np.concatenate(([0], np.cumsum(lengths))).astype(np.int32)
    # Outside inference mode: the backward pass keeps them, whoever asked first.
    with torch.inference_mode(False):
        return torch.from_numpy(bounds).to(device), int(lengths.max())
