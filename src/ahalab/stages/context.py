"""What the pipeline hands a stage: its folder, its inputs, where to report, and when to stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from ahalab.runs.progress import Progress, SilentProgress
from ahalab.sandbox.settings import SandboxSettings

STOPPING = (
    "stopping at the next safe point, so that nothing is lost. Ctrl-C once more stops at once: "
    "then the work since the last checkpoint is done again."
)


class Interrupt:
    """Ctrl-C or SIGTERM asks once; the stage saves at the next safe point. A second Ctrl-C is immediate."""

    def __init__(self) -> None:
        self.asked = False

    def __enter__(self) -> Interrupt:
        self._previous = {
            number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True
        # A handler may interrupt a print: Python's own streams must not be used here.
        with suppress(OSError):
            os.write(2, f"{chr(10) if os.isatty(2) else ''}{STOPPING}\n".encode())


@dataclass(slots=True)
class StageContext:
    """Everything a stage may touch besides its config."""

    name: str
    folder: Path
    """Work folder `stages/<name>.partial`; the pipeline renames it when the stage returns."""
    inputs: Mapping[str, str]
    """Input name → where it lies: a model's base name or `checkpoint/` folder, a data set's `data/` folder, the
    stage folder of an evaluation. E.g. {"from": "builtin:tiny", "data[0]": "runs/x/stages/cold_start/data"}."""
    seed: int
    progress: Progress = field(default_factory=SilentProgress)
    event: Callable[..., None] = lambda kind, **data: None  # noqa: ARG005
    interrupt: Interrupt = field(default_factory=Interrupt)
    skip_bad_rows: bool = False
    data_folder: Path = Path()
    """Relative data files of the recipe are looked for here: the recipe's own folder."""
    endpoints: Mapping[str, Any] = field(default_factory=dict)
    """The recipe's `endpoints:` by name (`ahalab.endpoints.config.EndpointConfig`)."""
    sandbox: SandboxSettings = field(default_factory=SandboxSettings.from_environment)
    """Where the programs of answers run."""


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a finished stage says of itself, for its manifest."""

    figures: Mapping[str, Any]
    reproducible: bool = True
    """False when a wall-clock time-out decided something: the manifest says so."""
