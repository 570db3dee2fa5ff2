"""Progress of long work: two live lines on a terminal, plain lines elsewhere (logs, CI)."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

Figures = Mapping[str, float | int | str | None]

LABELS = {
    "thinking_tokens": "thinking",
    "reflective_per_answer": "reflective",
    "effective_groups": "groups",
}

PLAIN_SECONDS = 10.0
"""A plain line is printed at most this often, and always at the ends."""


class RichProgress:
    """A bar, and below it the newest figures, redrawn in place. The last state of a stage stays on the screen."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None
        self._bar = Progress()
        self._task = TaskID(0)
        self._figures = Text()

    def begin(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        """See `ahalab.runs.progress.Progress`."""
        self._bar = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=30),
            TextColumn(f"{{task.completed}}/{{task.total}} {unit}s"),
            TimeElapsedColumn(),
            TextColumn("so far,"),
            TimeRemainingColumn(elapsed_when_finished=False),
            TextColumn("left"),
            console=self._console,
        )
        self._task = self._bar.add_task(escape(stage), total=total, completed=done)
        self._figures = Text(no_wrap=True, overflow="ellipsis", style="dim")
        self._live = Live(Group(self._bar, self._figures), console=self._console, refresh_per_second=5)
        self._live.start()

    def advance(self, done: int, figures: Figures) -> None:
        """See `ahalab.runs.progress.Progress`."""
        self._bar.update(self._task, completed=done)
        if figures:
            self._figures.plain = f"  {describe(figures)}"

    def note(self, text: str) -> None:
        """See `ahalab.runs.progress.Progress`."""
        self._console.print(escape(text), highlight=False)

    def end(self) -> None:
        """See `ahalab.runs.progress.Progress`."""
        if self._live is not None:
            self._live.stop()
            self._live = None


class PlainProgress:
    """A line now and then; nothing is redrawn."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._stage = self._unit = ""
        self._total = self._first = 0
        self._started = 0.0
        self._printed = -math.inf

    def begin(self, stage: str, total: int, unit: str, done: int = 0) -> None:
        """See `ahalab.runs.progress.Progress`."""
        self._stage, self._unit, self._total, self._first = stage, unit, total, done
        self._started, self._printed = time.monotonic(), -math.inf
        self.note(f"{stage}: {done}/{total} {unit}s")

    def advance(self, done: int, figures: Figures) -> None:
        """See `ahalab.runs.progress.Progress`."""
        now = time.monotonic()
        if not figures or (now - self._printed < PLAIN_SECONDS and done < self._total):
            return
        self._printed = now
        spent = now - self._started
        left = spent / max(1, done - self._first) * (self._total - done)
        self.note(
            f"{self._stage}: {done}/{self._total} {self._unit}s, {_clock(spent)} so far, {_clock(left)} left  "
            f"{describe(figures)}"
        )

    def note(self, text: str) -> None:
        """See `ahalab.runs.progress.Progress`."""
        self._console.print(escape(text), highlight=False)

    def end(self) -> None:
        """See `ahalab.runs.progress.Progress`."""


def make_progress(console: Console) -> RichProgress | PlainProgress:
    """The rich form on a terminal, the plain one elsewhere."""
    return RichProgress(console) if console.is_terminal else PlainProgress(console)


def describe(figures: Figures) -> str:
    """The figures in one line, at most 100 columns for an RL stage; those that do not apply are left out.

    Reward parts stand behind their sum: "reward 1.52 (accuracy 0.61, format 0.91)".
    """
    shown = []
    for name, value in figures.items():
        if value is None or name.startswith("reward/") or (name == "format" and "reward/format" in figures):
            continue
        if name == "tokens_per_second":
            shown.append(f"{float(value):,.0f} tok/s")
            continue
        text = f"{LABELS.get(name, name)} {_figure(value)}"
        if name == "reward":
            parts = [
                f"{part.removeprefix('reward/')} {_figure(earned)}"
                for part, earned in figures.items()
                if part.startswith("reward/") and earned is not None
            ]
            text += f" ({', '.join(parts)})" if parts else ""
        shown.append(text)
    return "  ".join(shown)


def _figure(value: float | int | str) -> str:
    """Three digits are enough at a glance: 0.0078, 0.61, 16.1, 1234."""
    if not isinstance(value, float):
        return str(value)
    if 0 < abs(value) < 0.01:
        return f"{value:.1g}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:.0f}"


def _clock(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
