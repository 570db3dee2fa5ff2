"""What a run's events say of each stage, for whoever shows where a run stands."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ahalab.runs.clock import BEGINNINGS, ENDINGS, LEFT, StageClock
from ahalab.runs.folder import RunFolder
from ahalab.runs.jsonl import read_jsonl

WARNINGS = ("warning", "reward_hacking")
"""Events of a stage at work that a person should hear of."""


class History:
    """What happened to the stages up to the last event read."""

    def __init__(self) -> None:
        self.current: str | None = None
        """The stage begun last, unless it ended."""
        self.reused: dict[str, str] = {}
        """Stage → where it was taken from."""
        self.ended: dict[str, str] = {}
        """Stage → why it ended early, if it has not gone on since."""
        self.warnings: dict[str, list[str]] = {}
        self._clock = StageClock()

    def read(self, run: RunFolder) -> None:
        """Take in all events of the run; those before a broken one stay.

        Raises:
            UserError: a line is no JSON object.
            ValueError: a time is none.
        """
        for event in read_jsonl(run.events_path) if run.events_path.exists() else ():
            stage, kind = event.get("stage"), str(event.get("kind"))
            if isinstance(stage, str):
                self._saw(stage, kind, event)

    def alive(self, stage: str, time: datetime) -> None:
        """The attempt at hand was at work then."""
        self._clock.alive(stage, time)

    def seconds(self, stage: str) -> float:
        """Wall time over all attempts."""
        return self._clock.totals().get(stage, 0.0)

    def _saw(self, stage: str, kind: str, event: Mapping[str, Any]) -> None:
        self._clock.saw(event)
        if kind in (*BEGINNINGS, *LEFT):
            self.reused.pop(stage, None)
            self.ended.pop(stage, None)
        if kind in ("stage_started", *LEFT):
            self.warnings.pop(stage, None)
        if kind in WARNINGS:
            self.warnings.setdefault(stage, []).append(str(event.get("reason") or event.get("text")))
        if kind in BEGINNINGS:
            self.current = stage
        elif kind in ENDINGS and self.current == stage:
            self.current = None
        if kind == "stage_reused":
            self.reused[stage] = str(event.get("source"))
        elif kind == "stage_ended_early":
            self.ended[stage] = str(event.get("reason"))
