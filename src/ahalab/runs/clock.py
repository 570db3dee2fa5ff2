"""Time spent on stages, read from a run's events."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

BEGINNINGS = ("stage_started", "stage_continued")
"""Kinds of event that open an attempt at a stage."""

ENDINGS = ("stage_finished", "stage_ended_early")
"""Those that close it."""

LEFT = ("stage_reused", "stage_set_aside")
"""Those with which nothing of a stage was at work any more."""


class StageClock:
    """Wall time of stages over all their attempts: each from its beginning to its last sign of life.

    That is its end, or of a killed attempt its last event or what the next beginning says of it (`last_sign`: when it
    last wrote its progress). What it did after that is not known and not counted.
    """

    def __init__(self) -> None:
        self._closed: dict[str, float] = {}
        self._open: dict[str, tuple[datetime, datetime]] = {}

    def saw(self, event: Mapping[str, Any]) -> None:
        """Take note of one event of a stage, in the order in which they happened. ValueError for a broken time."""
        stage, kind = str(event["stage"]), str(event.get("kind"))
        time = datetime.fromisoformat(str(event.get("time")))
        if kind in BEGINNINGS:
            last_sign = event.get("last_sign")
            if last_sign is not None:
                self.alive(stage, datetime.fromisoformat(str(last_sign)))
            self._close(stage)
            self._open[stage] = (time, time)
            return
        if kind not in LEFT:
            self.alive(stage, time)
        if kind in (*ENDINGS, *LEFT):
            self._close(stage)

    def alive(self, stage: str, time: datetime) -> None:
        """The attempt at hand, if there is one, was at work then."""
        if stage in self._open:
            start, end = self._open[stage]
            self._open[stage] = (start, max(end, time))

    def totals(self) -> dict[str, float]:
        """Seconds by stage, where anything is known."""
        sums = dict(self._closed)
        for stage, (start, end) in self._open.items():
            sums[stage] = sums.get(stage, 0.0) + (end - start).total_seconds()
        return {stage: seconds for stage, seconds in sums.items() if seconds > 0}

    def _close(self, stage: str) -> None:
        if stage in self._open:
            start, end = self._open.pop(stage)
            self._closed[stage] = self._closed.get(stage, 0.0) + (end - start).total_seconds()
