"""`aha safety run` and `aha safety judge`: ask, then judge, in one locked folder; the same command goes on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ahalab.runs.atomic import remove_leftovers
from ahalab.runs.lock import RunLock
from ahalab.runs.progress import Progress, SilentProgress
from ahalab.safety.folder import target_names
from ahalab.safety.protocols import Judge
from ahalab.safety.records import Part
from ahalab.safety.running.asked import Asked, begin, reopen
from ahalab.safety.running.asking import Asking
from ahalab.safety.running.judging import Counting, Judging
from ahalab.safety.running.rows import drop_failures
from ahalab.safety.running.targets import RunTarget


@dataclass(slots=True)
class SafetyRun:
    """One call of `aha safety run`, or of `aha safety judge` where nobody is asked."""

    folder: Path
    judge: Judge | None
    """None asks only."""
    parts: Sequence[Part]
    counting: Counting = lambda _benchmark: None
    retry_errors: bool = False
    """First open again what ended in an error."""
    progress: Progress = field(default_factory=SilentProgress)
    stopping: Callable[[], bool] = lambda: False

    def ask(self, asked: Asked, targets: Sequence[RunTarget]) -> None:
        """Ask and judge. Errors as `Asking.run` and `Judging.run`; UserError when another process is at work here."""
        with RunLock(self.folder):
            remove_leftovers(self.folder)
            asking = Asking(self.folder, asked.items, targets, self.progress, self.stopping)
            asking.check()
            self._check_judge()
            begin(self.folder, asked)
            names = [one.name for one in targets]
            self._open_again(names)
            asking.run()
            self._judge(asked, names)

    def judge_again(self, targets: Sequence[str] | None = None) -> None:
        """Judge the replies that are there. Errors as `Judging.run`; UserError when the folder is no evaluation."""
        asked = reopen(self.folder)
        with RunLock(self.folder):
            remove_leftovers(self.folder)
            self._open_again(targets or target_names(self.folder), replies=False)
            self._judge(asked, targets)

    def _check_judge(self) -> None:
        """A judge that cannot be asked is found out before replies are paid for."""
        ready = getattr(self.judge, "ready", None)
        if callable(ready):
            ready()

    def _open_again(self, names: Sequence[str], *, replies: bool = True) -> None:
        if self.retry_errors:
            count = drop_failures(self.folder, names, replies=replies)
            self.progress.note(f"opened again: {count} rows that ended in an error")

    def _judge(self, asked: Asked, targets: Sequence[str] | None) -> None:
        if self.judge is None:
            return
        Judging(
            self.folder,
            asked.items,
            asked.benchmarks,
            self.judge,
            self.parts,
            self.counting,
            targets,
            self.progress,
            self.stopping,
        ).run()
