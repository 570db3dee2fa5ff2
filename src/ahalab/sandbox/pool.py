"""Several executors side by side: one for each processor core is enough, since programs compute."""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import NamedTuple, Self

from ahalab.sandbox.open import open_executor
from ahalab.sandbox.records import Executor, Limits, Outcome, Program, SandboxFailure
from ahalab.sandbox.settings import SandboxSettings

Result = list[Outcome] | SandboxFailure
"""One outcome per input, or the sandbox's own failure: counted by the caller, never a verdict."""


class Job(NamedTuple):
    """One program and what it reads."""

    program: Program
    inputs: Sequence[str]
    limits: Limits


class ExecutorPool:
    """`workers` executors. Use as a context manager, from any thread.

    Raises:
        UserError: as `open_executor`.
    """

    def __init__(self, settings: SandboxSettings, workers: int) -> None:
        if workers < 1:
            raise ValueError(f"{workers} workers")
        self._workers = workers
        self._free: queue.SimpleQueue[Executor] = queue.SimpleQueue()
        self._all = [open_executor(settings) for _ in range(workers)]
        for executor in self._all:
            self._free.put(executor)

    def run(self, program: Program, inputs: Sequence[str], limits: Limits) -> list[Outcome]:
        """Every outcome, in order of `inputs`, from the first executor that is free.

        Raises:
            SandboxFailure: the sandbox itself failed.
        """
        executor = self._free.get()
        try:
            return list(executor.run(program, inputs, limits))
        finally:
            self._free.put(executor)

    def map(self, jobs: Iterable[Job]) -> Iterator[Result]:
        """The results in order of `jobs`, which are taken as they are needed."""
        with ThreadPoolExecutor(self._workers, thread_name_prefix="sandbox") as threads:
            waiting: deque[Future[Result]] = deque()
            try:
                for job in jobs:
                    waiting.append(threads.submit(self._result, job))
                    if len(waiting) >= 4 * self._workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    def close(self) -> None:
        """End all executors. Nothing may be running."""
        for executor in self._all:
            executor.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _result(self, job: Job) -> Result:
        try:
            return self.run(job.program, job.inputs, job.limits)
        except SandboxFailure as failure:
            return failure
