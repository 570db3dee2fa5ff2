"""Time spent on stages, read from a run's events."""

from __future__ import annotations

from datetime import datetime

BEGINNINGS = ("stage_started", "stage_continued")
"""Kinds of event that open an attempt at a stage."""


class StageClock:
    """Wall time of stages over all their attempts: each from its beginning to its last sign of life.

    That is its last event before the next beginning, or what the next beginning says of it (`last_sign`: when a killed
    attempt last wrote its progress). What a killed attempt did after that is not known and not counted.
    """

    def __init__(self) -> None:
        self._closed: dict[str, float] = {}
        self._open: dict[str, tuple[datetime, datetime]] = {}

    def saw(self, stage: str, kind: str, time: datetime, last_sign: datetime | None = None) -> None:
        """Take note of one event of a stage, in the order in which they happened."""
        if kind in BEGINNINGS:
            if last_sign is not None:
                self.alive(stage, last_sign)
            self._closed[stage] = self._closed.get(stage, 0.0) + self._of_open(stage)
            self._open[stage] = (time, time)
        else:
            self.alive(stage, time)

    def alive(self, stage: str, time: datetime) -> None:
        """The attempt at hand was still at work then."""
        if stage in self._open:
            start, end = self._open[stage]
            self._open[stage] = (start, max(end, time))

    def close(self, stage: str) -> None:
        """The attempt at hand is over: later events of the stage are not its work."""
        self._closed[stage] = self._closed.get(stage, 0.0) + self._of_open(stage)
        self._open.pop(stage, None)

    def totals(self) -> dict[str, float]:
        """Seconds by stage, where anything is known."""
        names = [*self._closed, *(name for name in self._open if name not in self._closed)]
        sums = {stage: self._closed.get(stage, 0.0) + self._of_open(stage) for stage in names}
        return {stage: seconds for stage, seconds in sums.items() if seconds > 0}

    def _of_open(self, stage: str) -> float:
        if stage not in self._open:
            return 0.0
        start, end = self._open[stage]
        return max(0.0, (end - start).total_seconds())
