"""The sandbox of one grader process: opened when the first program comes, kept warm, and opened anew when it failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from ahalab.errors import UserError
from ahalab.grading.failure import GraderFailure
from ahalab.sandbox.records import Executor, SandboxFailure
from ahalab.sandbox.settings import SandboxSettings

_open: Executor | None = None
_refusal: str | None = None
"""Why this machine runs no programs: asked once in a process's life."""


def prepare_code() -> None:
    """Open the sandbox where it is not open, outside of a task's CPU time.

    Raises:
        GraderFailure: it cannot be opened; says why.
    """
    global _open, _refusal
    if _open is not None:
        return
    if _refusal is not None:
        raise GraderFailure(_refusal)
    from ahalab.sandbox.open import open_executor

    try:
        _open = open_executor(SandboxSettings.from_environment())
    except UserError as error:
        _refusal = f"sandbox unavailable: {error}"
        raise GraderFailure(_refusal) from error
    except SandboxFailure as error:
        raise GraderFailure(f"sandbox failure: {error}") from error


@contextmanager
def sandbox() -> Iterator[Executor]:
    """The executor, to run programs with. Where it fails, or is interrupted, it is closed: nobody knows its state.

    Raises:
        GraderFailure: it cannot be opened, or it failed.
    """
    prepare_code()
    assert _open is not None
    try:
        yield _open
    except GraderFailure:
        raise
    except SandboxFailure as error:
        close_executor()
        raise GraderFailure(f"sandbox failure: {error}") from error
    except BaseException:
        close_executor()
        raise


def close_executor() -> None:
    """Close the sandbox where it is open; the next program opens another."""
    global _open
    closing, _open = _open, None
    if closing is not None:
        with suppress(Exception):  # it may be what failed; its processes end with this one at the latest
            closing.close()


def runs_cpp(settings: SandboxSettings) -> bool:
    """Whether C++ can be compiled: on this machine with a compiler; a service elsewhere is taken at its word."""
    from ahalab.sandbox.open import LOCAL, why_no_compiler

    return settings.executor != LOCAL or why_no_compiler() is None


def runs_programs(verifier: str, extra: Mapping[str, Any]) -> bool:
    """Whether grading a prompt of this verifier may run a program."""
    if verifier == "code_io":
        return extra.get("kind") == "input" or extra.get("checker") is not None
    return verifier in ("code", "patch")
