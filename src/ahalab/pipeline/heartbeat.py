"""A stage's progress, kept in its folder for readers in other processes (`aha status`). No result depends on it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ahalab.runs.progress import Progress

PROGRESS_NAME = "progress.json"
"""In an unfinished stage's folder: {"done", "total", "unit", "figures"}. Its time is the last sign of life."""

EVERY_SECONDS = 1.0

Figures = Mapping[str, float | int | str | None]


class RecordedProgress:
    """Passes everything on to the progress that is shown, and writes it down at most once a second."""

    def __init__(self, shown: Progress, folder: Path) -> None:
        self._shown, self._path = shown, folder / PROGRESS_NAME
        self._total, self._unit, self._written = 0, "", 0.0
        self._newest: tuple[int, Figures] | None = None

    def begin(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        """See `ahalab.runs.progress.Progress`."""
        self._total, self._unit = total, unit
        self._newest = (done, {})
        self._write(done, {})
        self._shown.begin(stage, total, unit, done)

    def advance(self, done: int, figures: Figures) -> None:
        """See `ahalab.runs.progress.Progress`."""
        # A stage may count prompts between the rows that have figures: those stay.
        self._newest = (done, figures or (self._newest[1] if self._newest else {}))
        if time.monotonic() - self._written >= EVERY_SECONDS:
            self._write(*self._newest)
        self._shown.advance(done, figures)

    def note(self, text: str) -> None:
        """See `ahalab.runs.progress.Progress`."""
        self._shown.note(text)

    def end(self) -> None:
        """See `ahalab.runs.progress.Progress`."""
        if self._newest is not None:
            self._write(*self._newest)
        self._shown.end()

    def remove(self) -> None:
        """The stage is finished: its manifest says the rest."""
        self._path.unlink(missing_ok=True)

    def _write(self, done: int, figures: Figures) -> None:
        self._written = time.monotonic()
        row = {"done": done, "total": self._total, "unit": self._unit, "figures": dict(figures)}
        temporary = self._path.with_name(f".tmp-{PROGRESS_NAME}")
        # On a full disk the stage's own writes say so; a display is no reason to end a run.
        with suppress(OSError):
            temporary.write_text(json.dumps(row, ensure_ascii=False, default=str), encoding="utf-8")
            temporary.replace(self._path)
