"""How many CPU threads a run uses: probed once, recorded, and kept when the run goes on.

Promise 1 (identical bytes) holds for one thread count, so a resumed run must not probe again.
"""

from __future__ import annotations

import os
import time

import torch


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def probe_threads(parameters: int) -> int:
    """The quicker of one thread and all usable cores, on matrix products of the model's size.

    Small models are slower on many threads than on one, most of all beside a busy neighbour. `parameters` sets the
    size that is tried. Takes about half a second.
    """
    cores = usable_cores()
    if cores == 1:
        return 1
    width = 128 if parameters < 10_000_000 else 768
    before = torch.get_num_threads()
    try:
        seconds = {threads: _time(threads, width) for threads in (1, cores)}
    finally:
        torch.set_num_threads(before)
    # More threads must pay clearly: a tie on a quiet machine is a loss on a busy one.
    return cores if seconds[cores] < 0.9 * seconds[1] else 1


def _time(threads: int, width: int) -> float:
    torch.set_num_threads(threads)
    rows = torch.randn(4096, width)
    weight = torch.randn(width, 3 * width)
    best = float("inf")
    for _ in range(7):
        started = time.perf_counter()
        for _ in range(8):
            torch.nn.functional.silu(rows @ weight)
        best = min(best, time.perf_counter() - started)
    return best
