"""How long work is shown: the command line has a rich and a plain form, tests a silent one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Progress(Protocol):
    """Shows long work. The command line has a rich and a plain form; tests have a silent one."""

    def begin(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        """A stage starts (or goes on at `done`) and will make `total` units."""

    def advance(self, done: int, figures: Mapping[str, float | int | str | None]) -> None:
        """`done` units are finished; `figures` are the newest numbers to show."""

    def note(self, text: str) -> None:
        """One line for the person watching."""

    def end(self) -> None:
        """The stage is over, well or not."""


class SilentProgress:
    """Shows nothing."""

    def begin(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        """Nothing."""

    def advance(self, done: int, figures: Mapping[str, float | int | str | None]) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""
