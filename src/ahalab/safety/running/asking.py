"""Every target answers every item once, side by side; each reply is written the moment it comes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from ahalab.errors import AhaError, Interrupted
from ahalab.runs.held import hold
from ahalab.runs.progress import Progress, SilentProgress
from ahalab.safety.folder import REPLIES_NAME
from ahalab.safety.records import SafetyItem, TargetReply
from ahalab.safety.running.rows import OnceRows
from ahalab.safety.running.targets import RunTarget

_ADVICE = (
    "A target's replies come from one model and one set of settings: put it back, give the target another name, or "
    "choose another folder with --output"
)


@dataclass(slots=True)
class Asking:
    """The replies of several targets. The folder is locked and begun by the caller."""

    folder: Path
    items: Sequence[SafetyItem]
    targets: Sequence[RunTarget]
    progress: Progress = field(default_factory=SilentProgress)
    stopping: Callable[[], bool] = lambda: False
    _errors: dict[str, BaseException] = field(default_factory=dict)
    _done: int = 0
    _failed: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self) -> None:
        """What can be known to be wrong beforehand. UserError."""
        for target in self.targets:
            if note := target.check(self.items):
                self.progress.note(f"target {target.name}: {note}")

    def run(self) -> None:
        """Ask whatever has no reply yet. One target's trouble does not stop the others.

        Raises:
            UserError: another target of that name has answered here; nothing was asked then.
            AhaError: what stopped a target (the kind of the first), told when all others are through.
            Interrupted: `stopping` said so; every reply that came is kept.
        """
        for target in self.targets:
            hold(self._target(target) / "target.json", self.described(target), _ADVICE)
        with ExitStack() as stack:
            files = {
                one.name: stack.enter_context(
                    OnceRows(self._target(one) / REPLIES_NAME, TargetReply, self._counted)
                )
                for one in self.targets
            }
            todo = {
                name: [item for item in self.items if (item.id, "") not in rows.keys]
                for name, rows in files.items()
            }
            total = len(self.items) * len(self.targets)
            self._done = total - sum(map(len, todo.values()))
            if self._done == total:
                return
            self.progress.begin("replies", total, "answer", self._done)
            try:
                self._side_by_side(todo, files)
            finally:
                self.progress.end()
        self._tell()

    @staticmethod
    def described(target: RunTarget) -> dict[str, object]:
        """What `target.json` says."""
        paired = {"control_of": target.control_of} if target.control_of else {}
        return {"name": target.name, **target.identity(), **paired}

    def _target(self, target: RunTarget) -> Path:
        return self.folder / "targets" / target.name

    def _side_by_side(
        self, todo: dict[str, list[SafetyItem]], files: dict[str, OnceRows[TargetReply]]
    ) -> None:
        """Servers each in a thread of their own; what computes here does so in turn, in this one."""
        away = [one for one in self.targets if one.endpoint is not None]
        threads = [
            threading.Thread(
                target=self._one,
                args=(one, todo[one.name], files[one.name]),
                name=f"target-{one.name}",
            )
            for one in away
        ]
        for thread in threads:
            thread.start()
        try:
            for one in self.targets:
                if one.endpoint is None:
                    self._one(one, todo[one.name], files[one.name])
        finally:
            for thread in threads:
                thread.join()  # a client that is told to stop awaits and keeps what is under way

    def _one(self, target: RunTarget, items: Sequence[SafetyItem], rows: OnceRows[TargetReply]) -> None:
        if not items:
            return
        try:
            target.replies(items, rows.append)
            missing = [item.id for item in items if (item.id, "") not in rows.keys]
            if missing:
                raise AhaError(
                    f"target {target.name} gave no reply to {len(missing)} items, the first is {missing[0]}: "
                    "a fault of the target"
                )
        except BaseException as error:
            with self._lock:
                self._errors[target.name] = error
            if isinstance(error, AhaError) and not isinstance(error, Interrupted):
                self.progress.note(f"target {target.name} stopped: {error}")
            elif isinstance(error, KeyboardInterrupt):
                raise

    def _counted(self, reply: TargetReply) -> None:
        with self._lock:
            self._done += 1
            self._failed += bool(reply.error)
            self.progress.advance(self._done, {"errors": self._failed})

    def _tell(self) -> None:
        if not self._errors:
            return
        for error in self._errors.values():
            if not isinstance(error, AhaError):
                raise error
        stopped = [error for error in self._errors.values() if isinstance(error, Interrupted)]
        if stopped or self.stopping():
            raise Interrupted(f"{self._done} of {len(self.items) * len(self.targets)} replies are kept.")
        names = ", ".join(self._errors)
        first = next(iter(self._errors.values()))
        raise type(first)(
            f"{first}"
            if len(self._errors) == 1
            else f"{len(self._errors)} targets stopped ({names}). The first: {first}"
        )
