"""What came of a run, from the facts that the keeper counted. No clock and no process: facts in, an outcome out."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping
from typing import Any

from ahalab.sandbox.records import Limits, Outcome, SandboxFailure, Status

STDERR_CHARACTERS = 10_000
_MEGABYTE = 2**20

# How programs say that they got no more memory, or no further process. A program that only prints such
# words fails as before, under another name.
_NO_MEMORY = re.compile(
    r"^(?:MemoryError\b.*|.*\bstd::bad_alloc\b.*|.*Cannot allocate memory.*)$", re.MULTILINE
)
_NO_PROCESS = re.compile(
    r"^(?:BlockingIOError: .*|RuntimeError: can't start new thread.*|.*Resource temporarily unavailable.*)$",
    re.MULTILINE,
)
_LAST_WORDS = 2000


def judge(facts: Mapping[str, Any], limits: Limits, stdout: bytes, stderr: bytes) -> Outcome:
    """The outcome of one run.

    Args:
        facts: of `jail.run.Run`.

    Raises:
        SandboxFailure: the program was never started.
    """
    if not facts["started"] or facts["failure"]:
        why = facts["failure"] or f"it did not start within {facts['wall_seconds']:.1f} s"
        raise SandboxFailure(f"the sandbox could not start the program: {why}")
    words = stderr.decode("utf-8", "replace")
    waited: int | None = facts["wait"]
    killed: str | None = facts["killed"]
    code = os.WEXITSTATUS(waited) if waited is not None and os.WIFEXITED(waited) and not killed else None
    return Outcome(
        status=_status(facts, limits, words),
        stdout="" if facts["uncompiled"] else stdout.decode("utf-8", "replace"),
        stderr=words[-STDERR_CHARACTERS:],
        exit_code=code,
        cpu_seconds=facts["cpu_seconds"],
        wall_seconds=facts["wall_seconds"],
        memory_megabytes=facts["resident_bytes"] / _MEGABYTE if facts["resident_bytes"] else None,
    )


def _status(facts: Mapping[str, Any], limits: Limits, words: str) -> Status:
    ended: dict[str | None, Status] = {
        "output": "output limit",
        "cpu": "time limit",
        "wall": "time limit",
        "memory": "memory limit",
        "processes": "process limit",
    }
    if facts["uncompiled"]:  # also where the words about it were too many
        return "compile error"
    if facts["killed"] in ended:
        return ended[facts["killed"]]
    if facts["cpu_seconds"] > limits.cpu_seconds:
        return "time limit"
    waited: int | None = facts["wait"]
    if waited == 0:
        return "ok"
    number = os.WTERMSIG(waited) if waited is not None and os.WIFSIGNALED(waited) else 0
    if number == signal.SIGXCPU:
        return "time limit"
    if (
        number == signal.SIGKILL
    ):  # not ours: the kernel ran out of memory, or a start wanted more than there may be
        return "memory limit"
    full = facts["resident_bytes"] > 0.9 * limits.memory_megabytes * _MEGABYTE
    if full and (number or waited is None):
        return "memory limit"
    status = by_last_words(words)
    return "process limit" if status == "runtime error" and facts["full_house"] else status


def by_last_words(words: str) -> Status:
    """Why a program failed that no limit ended, as far as its stderr tells."""
    last = words[-_LAST_WORDS:]
    if _NO_MEMORY.search(last):
        return "memory limit"
    return "process limit" if _NO_PROCESS.search(last) else "runtime error"
