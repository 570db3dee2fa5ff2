"""torch's compiler for the chains of small operations between matrix products.

Run one by one on a GPU, each of them passes through the memory: at 16,384 tokens of a 0.6B model that is as much
time as the products take. On a CPU the hand-written forms of `elementwise.py` are the quick ones.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, TypeVar

import torch
from torch import Tensor

Function = TypeVar("Function", bound=Callable[..., Any])


def worth_fusing(device: torch.device) -> bool:
    """Whether compiled forms are quicker here and can be made: on a GPU with Triton."""
    return device.type == "cuda" and find_spec("triton") is not None


@functools.cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function, fullgraph=True)


def compiled(function: Function) -> Function:
    """`function`, compiled at its first call; the same object each time."""
    return _compiled(function)  # type: ignore[return-value]


def any_rows(*tensors: Tensor) -> None:
    """Let compiled functions take any number of rows (dimension 0) of these without compiling again."""
    for tensor in tensors:
        torch._dynamo.maybe_mark_dynamic(tensor, 0)
