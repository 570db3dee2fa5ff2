"""AdamW over named fp32 parameters: clipped steps, and a refusal of those that are not finite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from ahalab.errors import AhaError
from ahalab.learning.optimizer_state import load_adamw, save_adamw


class Optimization:
    """What turns gradients into steps. The paper names no optimizer: AdamW and its defaults are our choice."""

    def __init__(
        self,
        parameters: Mapping[str, nn.Parameter],
        *,
        learning_rate: float,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.95),
        adam_epsilon: float = 1e-8,
        max_grad_norm: float = 1.0,
    ) -> None:
        """Raises ValueError when a parameter is not fp32 or `max_grad_norm` is not above 0."""
        if not max_grad_norm > 0.0:
            raise ValueError(f"max_grad_norm must be above 0, got {max_grad_norm}")
        for name, parameter in parameters.items():
            if parameter.dtype != torch.float32:
                raise ValueError(f"master weights must be float32, but {name} is {parameter.dtype}")
        self.parameters = dict(parameters)
        self.learning_rate = learning_rate
        self.max_grad_norm = max_grad_norm
        # Fused: on 2 CPU cores and 38 tensors of 0.9M numbers 0.6 ms, against 2.6 (plain) and 8.7 (foreach).
        self.adamw = torch.optim.AdamW(
            list(self.parameters.values()),
            lr=learning_rate,
            betas=betas,
            eps=adam_epsilon,
            weight_decay=weight_decay,
            fused=True,
        )

    def step(self, metrics: dict[str, float], learning_rate: float | None = None) -> None:
        """One step from the gradients that lie in the parameters; a parameter without one gets zeros.

        Adds `grad_norm` (before clipping) and `learning_rate` to `metrics`. `learning_rate` overrides the
        optimization's own for this step. Raises AhaError when the gradient is not finite: the weights and the
        optimizer stay as they are.
        """
        rate = self.learning_rate if learning_rate is None else learning_rate
        for parameter in self.parameters.values():
            if parameter.grad is None:  # AdamW would skip it, and its steps would no longer be counted
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        metrics["grad_norm"] = norm.item()
        metrics["learning_rate"] = rate
        if not math.isfinite(metrics["grad_norm"]):
            raise refusal(f"the gradient norm is {metrics['grad_norm']}{self._culprit()}", metrics)
        nn.utils.clip_grads_with_norm_(self.parameters.values(), self.max_grad_norm, norm)
        for group in self.adamw.param_groups:
            group["lr"] = rate
        self.adamw.step()

    def clear(self) -> None:
        """Drop the gradients; this also frees their memory for the next rollout."""
        self.adamw.zero_grad(set_to_none=True)

    def save(self, folder: Path) -> None:
        """Write the optimizer's state into `folder`; see `save_adamw`. The weights are not in it."""
        save_adamw(self.adamw, self.parameters, folder)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote; see `load_adamw`."""
        load_adamw(self.adamw, self.parameters, folder)

    def _culprit(self) -> str:
        for name, parameter in self.parameters.items():
            if parameter.grad is not None and not parameter.grad.isfinite().all():
                return f" (first in {name})"
        return " (each entry is finite; their squares overflow)"


def refusal(what: str, quantities: Mapping[str, float]) -> AhaError:
    """The error for an update that is not made because of `what`, with the figures at that point."""
    figures = ", ".join(f"{name} {figure:.6g}" for name, figure in quantities.items())
    return AhaError(
        f"This update was refused, the weights and the optimizer are unchanged: {what}. At this point: "
        f"{figures}. Earlier updates were probably too large: go on from an earlier checkpoint with a "
        f"lower learning rate. If this is the first update, the base's weights or log-probs are at fault."
    )
