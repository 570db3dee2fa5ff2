"""Supervised epochs: the order of rows, the learning rate's cosine, and the resumable loop of updates."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ahalab.counter import make_key, permutation
from ahalab.errors import Interrupted
from ahalab.stages.context import StageContext
from ahalab.stages.ledger import Ledger, RunState

SHOWN = ("loss", "learning_rate", "accuracy")
"""Figures of an update that the person watching sees."""


def cosine_rate(step: int, steps: int, peak: float, floor: float, warmup: int) -> float:
    """Learning rate of update `step` (0 … steps-1): linear warm-up to `peak`, then half a cosine to `floor`.

    The first `warmup` updates rise evenly and would reach the peak with the next, which has it; the last one has
    `floor` exactly (the paper prints the two ends, 5e-5 and 5e-6; that both are used is our choice). A single
    update has the peak.
    Raises ValueError for a step outside the range.
    """
    if not 0 <= step < steps:
        raise ValueError(f"step {step} is not one of 0 … {steps - 1}")
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, steps - 1 - warmup)
    return floor + (peak - floor) * 0.5 * (1.0 + math.cos(math.pi * progress))


def epoch_batches(n_rows: int, batch: int, epochs: int, key: int) -> list[list[int]]:
    """The rows of every update: each epoch a shuffle of its own by `key`, cut into batches; the last may be smaller.

    No batch crosses epochs, so that each row is seen exactly `epochs` times.
    Raises ValueError for an argument below 1.
    """
    if min(n_rows, batch, epochs) < 1:
        raise ValueError(f"rows {n_rows}, batch {batch} and epochs {epochs} must be at least 1")
    batches: list[list[int]] = []
    for epoch in range(epochs):
        order = permutation(make_key(key, "epoch", epoch), n_rows)
        batches += [order[start : start + batch] for start in range(0, n_rows, batch)]
    return batches


def run_updates(
    context: StageContext,
    ledger: Ledger,
    n_steps: int,
    update: Callable[[int], Mapping[str, Any]],
    write: Callable[[Path], None],
    load: Callable[[Path], None],
    checkpoint_every: int,
) -> RunState:
    """Make the updates that are not made yet, from the newest checkpoint on; the last one leaves a checkpoint.

    `update(step)` makes update `step` (from 0) and returns its figures, one row of `metrics.jsonl` with `step` and
    `rollout` before them; it must depend on nothing but the step and what `load` restores. `write` and `load` put a
    checkpoint's files into a folder and take them back. The caller ends with `ledger.finish()`, after whatever it
    still measures, and closes the ledger in any case.

    Raises Interrupted on Ctrl-C; the state is saved and the same command goes on.
    """
    state = ledger.resume(load)
    if state.step:
        context.event("resumed", stage=context.name, step=state.step)
        context.progress.note(f"{context.name}: going on from step {state.step}")
    context.progress.begin(context.name, n_steps, "step", state.step)
    try:
        while state.step < n_steps:
            began = time.monotonic()
            figures = update(state.step)
            state.step += 1
            ledger.write_metrics({"step": state.step, "rollout": 0, **figures})
            ledger.write_timing({"step": state.step, "seconds_learn": time.monotonic() - began})
            context.progress.advance(state.step, {name: figures[name] for name in SHOWN if name in figures})
            asked = context.interrupt.asked
            if state.step % checkpoint_every == 0 or state.step == n_steps or asked:
                state.saved_step = state.step
                ledger.save(state, write)
            if asked and state.step < n_steps:
                raise Interrupted(f"{context.name}: saved at step {state.step} of {n_steps}.")
    finally:
        context.progress.end()
    return state
