"""One lane of a grader pool: tasks in order through one process at a time, which is replaced when it dies."""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ahalab.errors import EnvironmentFailure
from ahalab.grading.process import WorkerDied, WorkerProcess, died_of
from ahalab.grading.worker import CPU_TIMEOUT
from ahalab.records import Verdict
from ahalab.sandbox.settings import SandboxSettings

_KILLED_FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP)
_WALL_TIMEOUT = "wall time-out"
"""How an error begins that the clock decided: here, or within a verifier that waits for other processes."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds one task."""

    cpu_seconds: float
    wall_seconds: float
    memory_megabytes: int
    sandbox: SandboxSettings = field(default_factory=SandboxSettings)
    """Where a task that runs programs runs them."""


@dataclass
class Task:
    """One request on its way; `message` as the worker reads it."""

    message: dict[str, Any]
    future: Future[Verdict]
    retried: bool = False


class Lane:
    """Runs batches of tasks; every task's future gets a verdict, whatever happens to the process.

    `run` and `warm` belong to one thread; `stop` may be called from any.
    """

    def __init__(self, limits: Limits, prepare: Sequence[str]) -> None:
        self._limits = limits
        self._prepare = prepare
        self._process: WorkerProcess | None = None
        self._stopping = threading.Event()
        self.respawned = 0

    def warm(self) -> WorkerProcess:
        """The running process, started if there is none.

        Raises:
            EnvironmentFailure: it cannot be started.
        """
        if self._process is None:
            limits = self._limits
            process = WorkerProcess(
                limits.cpu_seconds, limits.wall_seconds, limits.memory_megabytes, limits.sandbox
            )
            try:
                process.write([{"control": "prepare", "verifier": name} for name in self._prepare])
                for _ in self._prepare:
                    process.read(limits.wall_seconds)
            except (WorkerDied, TimeoutError) as error:
                process.kill()
                process.close()
                raise EnvironmentFailure(
                    f"a grader process ended while importing {', '.join(self._prepare)} ({error}); "
                    f"it may need more than {limits.memory_megabytes} MB"
                ) from error
            self._process = process
        return self._process

    def run(self, batch: Sequence[Task]) -> None:
        """Grade a batch. If no process can be started, the futures carry the EnvironmentFailure."""
        left = deque(batch)
        while left:
            if self._stopping.is_set():
                for task in left:
                    task.future.cancel()
                return
            try:
                process = self.warm()
            except EnvironmentFailure as failure:
                for task in left:
                    task.future.set_exception(failure)
                return
            with suppress(WorkerDied):  # reading tells which task it had come to
                process.write([task.message for task in left])
            if not self._answered(process, left):
                self._replace(process)

    def stop(self) -> None:
        """Kill the process at once; open tasks are cancelled."""
        self._stopping.set()
        if (process := self._process) is not None:
            process.kill()

    def close(self) -> None:
        """Free the process; the last call of the lane's own thread."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def _answered(self, process: WorkerProcess, left: deque[Task]) -> bool:
        """Take replies off the batch until it is empty; False as soon as the process is of no more use."""
        limits = self._limits
        while left:
            try:
                reply = process.read(limits.wall_seconds)
            except TimeoutError:
                error = f"{_WALL_TIMEOUT}: no answer within {limits.wall_seconds:g} s"
                left.popleft().future.set_result(Verdict(None, error, wall_timeout=True))
                return False
            except WorkerDied as died:
                self._blame(left, died.returncode)
                return False
            task = left.popleft()
            failed: str | None = reply.get("error")
            by_clock = failed is not None and failed.startswith(_WALL_TIMEOUT)
            task.future.set_result(Verdict(reply.get("score"), failed, by_clock, reply.get("note")))
            if reply.get("retire"):
                return False
        return True

    def _blame(self, left: deque[Task], returncode: int) -> None:
        """The process died on the first task left: that one gets the error, the others go on elsewhere."""
        if self._stopping.is_set():
            return
        if returncode in _KILLED_FROM_OUTSIDE and not left[0].retried:
            left[0].retried = True  # likely not its fault (a full machine); once more, then it is
            return
        task = left.popleft()
        if returncode == -signal.SIGXCPU:
            verdict = Verdict(None, CPU_TIMEOUT)
        elif returncode == -signal.SIGALRM:
            verdict = Verdict(None, f"{_WALL_TIMEOUT}: the process waited for ever", wall_timeout=True)
        else:
            verdict = Verdict(None, f"crash: the grader process ended with {died_of(returncode)}")
        task.future.set_result(verdict)

    def _replace(self, process: WorkerProcess) -> None:
        process.kill()
        process.close()
        self._process = None
        self.respawned += 1
