"""Grading in killable processes, beside the sampling: submit requests as samples finish, drain at the end."""

from __future__ import annotations

import atexit
import hashlib
import json
import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ahalab.errors import EnvironmentFailure, UserError
from ahalab.grading.lane import Lane, Limits, Task
from ahalab.grading.quick import quick_score
from ahalab.grading.verifiers import NEEDS_GOLD, READS_ALL, VERIFIERS, is_overlong
from ahalab.records import GradeRequest, Verdict
from ahalab.sandbox.settings import SandboxSettings

_LARGEST_BATCH = 32
_LONGEST_KEY = 1_000


@dataclass
class GraderCounts:
    """What a pool has done so far, for reports."""

    graded: int = 0
    """Verdicts given, those that needed no worker included."""
    at_once: int = 0
    """Of these, verdicts that needed no worker."""
    errors: Counter[str] = field(default_factory=Counter)
    """Grader errors by kind: what stands before the colon of `Verdict.error`."""
    wall_timeouts: int = 0
    """Any makes the run "not reproducible"."""
    respawned: int = 0
    """Processes replaced after a crash, a time-out or grown memory."""


class GraderPool:
    """Grades requests in `workers` processes that never import torch and can be killed at any time.

    A request is bounded by `cpu_seconds` of CPU time and by `memory_megabytes`; `wall_seconds` is a distant
    backstop for a process that neither computes nor answers. Beyond them the request gets a verdict with an
    error and its process is replaced; other requests do not notice. Requests that are equal and open at the same
    time are graded once; what is certain and cheap gets its verdict at once, without a process (`quick_score`).
    A verdict depends on its request only, never on order or on the other requests. Programs run as `sandbox` says (the
    environment variable of `SandboxSettings` where it is left out); each process opens its sandbox when it needs one.

    Use as a context manager. `start` is optional: processes start with the first request. `submit`, `drain` and
    `grade_all` are for one thread; that thread may be interrupted (Ctrl-C) at any point, the processes are not.
    """

    def __init__(
        self,
        workers: int = 2,
        cpu_seconds: float = 5.0,
        wall_seconds: float = 120.0,
        *,
        memory_megabytes: int = 2048,
        sandbox: SandboxSettings | None = None,
    ) -> None:
        if workers < 1 or cpu_seconds <= 0 or wall_seconds <= cpu_seconds:
            raise ValueError("a grader pool needs workers >= 1 and 0 < cpu_seconds < wall_seconds")
        self._workers = workers
        sandbox = sandbox or SandboxSettings.from_environment()
        self._limits = Limits(cpu_seconds, wall_seconds, memory_megabytes, sandbox)
        self._lanes: list[Lane] = []
        self._threads: list[threading.Thread] = []
        self._queue: deque[Task] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._open: dict[int, Future[Verdict]] = {}
        self._same: dict[str, Future[Verdict]] = {}
        self._counts = GraderCounts()

    @property
    def counts(self) -> GraderCounts:
        """Totals since the pool was made."""
        self._counts.respawned = sum(lane.respawned for lane in self._lanes)
        return self._counts

    def start(self, verifiers: Iterable[str] = ()) -> None:
        """Start the processes now and let them import what these verifiers need; does not wait for them.

        Raises:
            UserError: no such verifier.
        """
        names = tuple(name for name in dict.fromkeys(verifiers) if name != "none")
        for name in names:
            _require_known(name)
        if self._closed:
            raise RuntimeError("the grader pool is closed")
        if self._threads:
            return
        atexit.register(self.close)
        for number in range(self._workers):
            lane = Lane(self._limits, names)
            thread = threading.Thread(target=self._serve, args=(lane,), name=f"grader-{number}", daemon=True)
            self._lanes.append(lane)
            self._threads.append(thread)
            thread.start()

    def submit(self, index: int, request: GradeRequest) -> Future[Verdict]:
        """Queue a request under the caller's own index; `drain` returns its verdict under that index.

        Raises:
            UserError: no such verifier.
            ValueError: the index is open already.
        """
        if index in self._open:
            raise ValueError(f"a request with index {index} is open already")
        self._open[index] = future = self._future(request)
        return future

    def drain(self) -> dict[int, Verdict]:
        """Wait for all submitted requests: verdicts by index, in the order of submission.

        Raises:
            EnvironmentFailure: grader processes cannot be started.
        """
        try:
            return {index: self._collect(future) for index, future in self._open.items()}
        finally:
            self._open = {}
            self._same = {}

    def grade_all(self, requests: Sequence[GradeRequest]) -> list[Verdict]:
        """Grade requests and wait: verdicts in the requests' order. Submitted requests stay open.

        Raises:
            UserError: no such verifier.
            EnvironmentFailure: grader processes cannot be started.
        """
        try:
            futures = [self._future(request) for request in requests]
            return [self._collect(future) for future in futures]
        finally:
            if not self._open:
                self._same = {}

    def close(self) -> None:
        """End all processes, also in the middle of a task; open requests are cancelled. May be called twice."""
        with self._changed:
            self._closed = True
            for task in self._queue:
                task.future.cancel()
            self._queue.clear()
            self._changed.notify_all()
        for lane in self._lanes:
            lane.stop()
        for thread in self._threads:
            thread.join(timeout=5.0)
        atexit.unregister(self.close)

    def __enter__(self) -> GraderPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _future(self, request: GradeRequest) -> Future[Verdict]:
        known = _verdict_without_worker(request)
        if known is not None:
            self._counts.at_once += 1
            done: Future[Verdict] = Future()
            done.set_result(known)
            return done
        self.start()
        message = {
            "verifier": request.verifier,
            "answer": request.answer or "",
            "gold": request.gold,
            "extra": dict(request.extra),
        }
        key = _key(message)
        if key not in self._same:
            task = Task({"id": len(self._same), **message}, Future())
            self._same[key] = task.future
            with self._changed:
                self._queue.append(task)
                self._changed.notify()
        return self._same[key]

    def _collect(self, future: Future[Verdict]) -> Verdict:
        try:
            verdict = future.result()
        except CancelledError:
            raise RuntimeError("the grader pool was closed before it had graded everything") from None
        self._counts.graded += 1
        self._counts.wall_timeouts += verdict.wall_timeout
        if verdict.error is not None:
            self._counts.errors[verdict.error.partition(":")[0]] += 1
        return verdict

    def _serve(self, lane: Lane) -> None:
        """A thread's whole life. It only waits for its process, so Python's lock does not matter."""
        with suppress(EnvironmentFailure):  # the first batch says so
            lane.warm()
        while (batch := self._take()) is not None:
            try:
                lane.run(batch)
            except Exception as error:  # a bug here must reach the caller, who waits for these futures
                for task in batch:
                    if not task.future.done():
                        task.future.set_exception(error)
        lane.close()

    def _take(self) -> list[Task] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            if self._closed:
                return None
            # Small batches near the end, so that no process holds tasks another could take.
            size = min(_LARGEST_BATCH, max(1, len(self._queue) // (2 * self._workers)))
            return [self._queue.popleft() for _ in range(size)]


def _key(message: Mapping[str, Any]) -> str:
    """Equal for equal requests. Tests of a program can be megabytes, and are in every request of a group."""
    text = json.dumps(message)
    return text if len(text) <= _LONGEST_KEY else hashlib.blake2b(text.encode()).hexdigest()


def _require_known(name: str) -> None:
    if name not in VERIFIERS:
        raise UserError(f"there is no verifier {name!r}; known are {', '.join([*VERIFIERS, 'none'])}.")


def _verdict_without_worker(request: GradeRequest) -> Verdict | None:
    if request.verifier == "none":
        return Verdict(score=None)
    _require_known(request.verifier)
    if request.gold is None and request.verifier in NEEDS_GOLD:
        return Verdict(None, "gold unreadable: there is no gold answer")
    if request.verifier in READS_ALL:
        return None
    if request.answer is None or not request.answer.strip() or is_overlong(request.answer, request.gold):
        return Verdict(0.0)
    score = quick_score(request)
    return None if score is None else Verdict(score)
