"""An executor for each thread at work, and the end of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Event
from typing import TypeVar

from ahalab.grading.code.contest import end
from ahalab.sandbox.records import Executor, Limits, Outcome, Program, SandboxFailure

Result = TypeVar("Result")


class Executors:
    """Executors, opened when first needed and used again."""

    def __init__(self, open_executor: Callable[[], Executor]) -> None:
        self._open = open_executor
        self._free: SimpleQueue[Executor] = SimpleQueue()
        self._all: list[Executor] = []
        self._ended = Event()

    def open_one(self) -> None:
        """Open one now. UserError where programs cannot be run here."""
        self._free.put(self._new())

    def use(self, work: Callable[[Executor], Result]) -> Result:
        """`work` with an executor; after a failure of the sandbox once more, with another one.

        Raises:
            SandboxFailure: it failed twice.
        """
        for last in (False, True):
            executor = self._take()
            try:
                result = work(executor)
            except SandboxFailure:
                with suppress(SandboxFailure):
                    executor.close()
                if last:
                    raise
            except BaseException:
                executor.close()
                raise
            else:
                self._free.put(executor)
                return result
        raise AssertionError("unreachable")

    def end(self) -> None:
        """Let nobody run anything more: a thread at work ends after the run it is in."""
        self._ended.set()

    def close(self) -> None:
        """Close all of them. None may be at work."""
        for executor in self._all:
            executor.close()

    def _take(self) -> Executor:
        try:
            return self._free.get_nowait()
        except Empty:
            return self._new()

    def _new(self) -> Executor:
        executor = _Guarded(self._open(), self._ended)
        self._all.append(executor)
        return executor


class _Guarded:
    """An executor that runs nothing more once the command ends."""

    def __init__(self, inner: Executor, ended: Event) -> None:
        self._inner, self._ended = inner, ended

    def run(self, program: Program, inputs: Sequence[str], limits: Limits) -> Iterator[Outcome]:
        """See `Executor`."""
        if self._ended.is_set():
            raise SandboxFailure("the command was ended")
        outcomes = self._inner.run(program, inputs, limits)
        try:
            for outcome in outcomes:
                yield outcome
                if self._ended.is_set():
                    raise SandboxFailure("the command was ended")
        finally:
            end(outcomes)

    def close(self) -> None:
        """See `Executor`."""
        self._inner.close()
