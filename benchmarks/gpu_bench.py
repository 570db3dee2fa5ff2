"""What the sections of `gpu` share: a clock, a time budget, and figures that are on disk as soon as they are known."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

DRY = "not measured (dry run)"


class OutOfTime(Exception):
    """A section used up its budget; what it measured before is kept."""


class Bench:
    """One section's run. `figures` are written to `path` after each `put`."""

    def __init__(
        self, path: Path, *, dry: bool, budget: float, earlier: dict[str, Any] | None = None
    ) -> None:
        self.dry = dry
        self.device = torch.device("cpu" if dry else "cuda")
        self.figures: dict[str, Any] = {}
        self.earlier = earlier or {}
        """Figures of the sections before, by name."""
        self._path = path
        self._ends = time.monotonic() + budget

    def put(self, name: str, figures: Any) -> None:
        """Note what is known, at once on disk."""
        self.figures[name] = figures
        write(self._path, self.figures)

    def measured(self, value: Any) -> Any:
        """A figure that only a GPU gives."""
        return DRY if self.dry else value

    def check_time(self) -> None:
        """Raises OutOfTime once the budget is used up."""
        if time.monotonic() > self._ends:
            raise OutOfTime

    def seconds(self, function: Callable[[], object], *, repeats: int = 7, warmups: int = 2) -> float:
        """Median of the wall seconds of `function`, the GPU's work included."""
        if self.dry:
            repeats, warmups = 1, 0
        times = []
        for number in range(-warmups, repeats):
            self.check_time()
            self.wait()
            started = time.perf_counter()
            function()
            self.wait()
            if number >= 0:
                times.append(time.perf_counter() - started)
        return statistics.median(times)

    def wait(self) -> None:
        """Until the GPU has done what it was asked."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def peak_gb(self) -> Any:
        """Most memory held since the last call, in 10^9 bytes."""
        if self.device.type != "cuda":
            return DRY
        peak = torch.cuda.max_memory_allocated() / 1e9
        torch.cuda.reset_peak_memory_stats()
        return round(peak, 2)

    def free(self) -> None:
        """Give back memory that nothing refers to."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def write(path: Path, content: Any) -> None:
    """JSON, aside and renamed: a reader never sees half of it."""
    aside = path.with_suffix(".tmp")
    aside.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    aside.replace(path)


def error_of(got: torch.Tensor, expected: torch.Tensor) -> float:
    """‖got - expected‖ / ‖expected‖ in float64."""
    expected = expected.detach().double()
    return float((got.detach().double() - expected).norm() / expected.norm())
