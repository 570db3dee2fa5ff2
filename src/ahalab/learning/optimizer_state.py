"""AdamW's state as one safetensors file: fp32 moments by parameter name; same state, same bytes."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ahalab.errors import EnvironmentFailure, UserError

STATE_FILE = "optimizer.safetensors"
MOMENTS = ("exp_avg", "exp_avg_sq")


def save_adamw(optimizer: torch.optim.AdamW, parameters: Mapping[str, nn.Parameter], folder: Path) -> None:
    """Write `folder/optimizer.safetensors`: `step` (int64 scalar), `exp_avg/<name>`, `exp_avg_sq/<name>`.

    Before the first update there is only `step`. No metadata is written: its order is not deterministic.
    Raises EnvironmentFailure when the file cannot be written.
    """
    tensors: dict[str, Tensor] = {"step": torch.tensor(_steps_done(optimizer), dtype=torch.int64)}
    for name, parameter in parameters.items():
        state = optimizer.state.get(parameter)
        if state:
            for moment in MOMENTS:
                tensors[f"{moment}/{name}"] = state[moment].detach().contiguous()
    path = folder / STATE_FILE
    try:
        save_file(tensors, path)
    except (OSError, SafetensorError) as failure:
        full = os.strerror(errno.ENOSPC) in str(failure)
        what = "the disk is full" if full else "it cannot be written"
        raise EnvironmentFailure(
            f"{path}: {what} ({failure}). Nothing already written was lost: "
            f"{'free some space' if full else 'make the folder writable'} and run the same command again."
        ) from failure


def load_adamw(optimizer: torch.optim.AdamW, parameters: Mapping[str, nn.Parameter], folder: Path) -> None:
    """Read what `save_adamw` wrote: the next updates are bit by bit those the saved optimizer would make.

    Nothing changes unless the whole file fits. Raises EnvironmentFailure when the file is missing or broken,
    UserError when it belongs to a model with other parameters.
    """
    path = folder / STATE_FILE
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as failure:
        raise EnvironmentFailure(
            f"{path}: the optimizer state is missing or broken ({failure}). Go on from another checkpoint."
        ) from failure
    if "step" not in tensors:
        raise UserError(f"{path}: there is no key 'step'; this is not a state that ahalab wrote.")
    step = int(tensors.pop("step").item())
    expected = {f"{moment}/{name}": p for moment in MOMENTS for name, p in parameters.items()} if step else {}
    for key in sorted(tensors.keys() | expected.keys()):
        if key not in tensors or key not in expected:
            holder = "model" if key in expected else "file"
            raise UserError(f"{path}: only the {holder} has {key!r}. Use the checkpoint of this very model.")
        if tensors[key].shape != expected[key].shape or tensors[key].dtype != torch.float32:
            raise UserError(
                f"{path}: {key!r} is {tensors[key].dtype} {list(tensors[key].shape)}, expected torch.float32 "
                f"{list(expected[key].shape)}. Use the checkpoint of this very model."
            )
    state: dict[int, dict[str, Tensor]] = {}
    if step:
        for index, name in enumerate(parameters):
            state[index] = {moment: tensors[f"{moment}/{name}"] for moment in MOMENTS}
            state[index]["step"] = torch.tensor(float(step))
    # Hyper-parameters stay those of this learner: a recipe may change them between runs of a stage.
    current: dict[str, Any] = optimizer.state_dict()
    optimizer.load_state_dict({"state": state, "param_groups": current["param_groups"]})


def _steps_done(optimizer: torch.optim.AdamW) -> int:
    steps = {int(state["step"].item()) for state in optimizer.state.values()}
    if len(steps) > 1:
        raise ValueError(f"the parameters were updated unequally often: {sorted(steps)}")
    return steps.pop() if steps else 0
