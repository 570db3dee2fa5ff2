"""The sandbox's nouns: a program, what bounds it, what came of one run, and who runs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

ProgramLanguage = Literal["python", "cpp"]
Status = Literal[
    "ok", "time limit", "memory limit", "output limit", "process limit", "runtime error", "compile error"
]


class SandboxFailure(Exception):
    """The sandbox itself failed (not the program): a counted error, never a verdict on the program."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds one run of a program. Defaults are ours: contest problems mostly state 1 to 2 s and 256 MB."""

    cpu_seconds: float = 2.0
    wall_seconds: float = 10.0
    memory_megabytes: int = 256
    processes: int = 16
    """Processes and threads at one time."""
    file_megabytes: int = 16
    """Everything that the run may write to its folder."""
    output_bytes: int = 4_000_000
    """Of stdout and of stderr, each."""


@dataclass(frozen=True, slots=True)
class Program:
    """Source text and the files beside it. It runs in a fresh empty folder of its own."""

    language: ProgramLanguage
    source: str
    files: Mapping[str, str] = field(default_factory=dict)
    """Further files, by path relative to the folder. A path that leaves it is a ValueError: check a model's paths."""
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run did."""

    status: Status
    stdout: str
    """Undecodable bytes become U+FFFD. Empty where the program did not compile."""
    stderr: str
    """Its last 10,000 characters at most; the compiler's words where it did not compile."""
    exit_code: int | None
    """None where a signal or the sandbox ended it."""
    cpu_seconds: float
    wall_seconds: float
    memory_megabytes: float | None
    """Peak, where it could be measured."""


class Executor(Protocol):
    """Runs programs. One thread at a time."""

    def run(self, program: Program, inputs: Sequence[str], limits: Limits) -> Iterator[Outcome]:
        """One outcome per stdin text, in order, each from a fresh process in a fresh folder; compiled once.

        Lazy: what is not asked for need not run. A program that does not compile yields its one outcome for every
        input.

        Raises:
            SandboxFailure: the sandbox itself failed.
        """
        ...

    def close(self) -> None:
        """End everything it started. May be called twice."""
        ...
