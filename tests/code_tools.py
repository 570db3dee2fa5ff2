"""For the tests of programs as answers: a real executor, and one that plays outcomes back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ahalab.sandbox.records import Executor, Limits, Outcome, Program, Status
from ahalab.sandbox.settings import SandboxSettings


def real_executor() -> Executor:
    """The local one, in isolation where this machine has it: the programs of these tests are our own."""
    from ahalab.sandbox.open import open_executor

    return open_executor(SandboxSettings(unsafe_no_isolation=True))


def outcome(
    stdout: str = "", status: Status = "ok", *, exit_code: int | None = 0, cpu: float = 0.01, stderr: str = ""
) -> Outcome:
    wall = 10.0 if status == "time limit" else cpu
    return Outcome(status, stdout, stderr, exit_code if status == "ok" else None, cpu, wall, 10.0)


class Played:
    """An executor whose outcomes are a function of program and stdin; it keeps what it was asked."""

    def __init__(self, play: Callable[[Program, str], Outcome]) -> None:
        self._play = play
        self.ran: list[tuple[Program, str]] = []
        self.open_runs = 0

    def run(self, program: Program, inputs: Sequence[str], limits: Limits) -> Iterator[Outcome]:  # noqa: ARG002
        assert self.open_runs == 0, "an executor runs one program at a time"
        self.open_runs += 1
        try:
            for given in inputs:
                self.ran.append((program, given))
                yield self._play(program, given)
        finally:
            self.open_runs -= 1

    def close(self) -> None:
        """Nothing to end."""


def fenced(source: str, tag: str = "python") -> str:
    return f"Here it is:\n\n```{tag}\n{source}\n```\nThat is all."
