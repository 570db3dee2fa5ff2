"""A grader process: `python -m ahalab.grading.worker`, one JSON line in, one out. Never imports torch.

In: `{"id": 7, "verifier": "math", "answer": …, "gold": …, "extra": {…}}`, or `{"control": "modules"}` and
`{"control": "prepare", "verifier": …}`. Out: `{"ready": true}` once, then for each line in order `{"id": 7, "score":
1.0}` (with a `note` where the verifier has a name for the outcome) or `{"id": 7, "error": …}`, with `"retire": true`
where the process ends itself afterwards.

A task is bounded three ways: SIGPROF raises in Python code when its CPU time is spent; a little later the kernel ends
a process stuck in C code (RLIMIT_CPU, SIGXCPU); SIGALRM ends one that waits for ever even if its parent is gone.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import IO, Any

from ahalab.grading.code.executor import close_executor
from ahalab.grading.failure import GraderFailure
from ahalab.grading.noted import Noted
from ahalab.grading.verifiers import PREPARATIONS, VERIFIERS

CPU_TIMEOUT = "cpu time-out"
_REMINDER_SECONDS = 0.2
_ERROR_CHARACTERS = 400


class _CpuTimeout(BaseException):
    """Not an Exception: verifiers' libraries swallow those."""


class _Clock:
    """Bounds one task by CPU time."""

    def __init__(self, cpu_seconds: float, wall_seconds: float) -> None:
        self._cpu_seconds = cpu_seconds
        self._wall_seconds = wall_seconds
        self._armed = False
        self.fired = False
        signal.signal(signal.SIGPROF, self._on_signal)

    def __enter__(self) -> None:
        self.fired = False
        self._armed = True
        used = time.process_time()
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        soft = math.ceil(used + self._cpu_seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (soft if hard < 0 else min(soft, hard), hard))
        signal.setitimer(signal.ITIMER_REAL, self._wall_seconds)
        # Repeated, because a bare `except:` in a library may swallow the first one.
        signal.setitimer(signal.ITIMER_PROF, self._cpu_seconds, _REMINDER_SECONDS)

    def __exit__(self, *_: object) -> None:
        self._armed = False
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (hard, hard))

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._armed:
            self.fired = True
            raise _CpuTimeout


def grade(task: dict[str, Any], clock: _Clock) -> dict[str, Any]:
    """Grade one task; whatever goes wrong becomes its `error`, with a stable kind before the colon."""
    reply: dict[str, Any] = {"id": task["id"]}
    try:
        verifier = VERIFIERS[task["verifier"]]
        PREPARATIONS.get(task["verifier"], lambda: None)()
        with clock:
            score = verifier(task["answer"], task["gold"], task["extra"])
        if clock.fired:  # swallowed on the way: what came back is not to be trusted
            raise _CpuTimeout
        if isinstance(score, Noted):
            return {**reply, "score": score.score, "note": score.note}
        return {**reply, "score": score}
    except GraderFailure as failure:
        return {**reply, "error": str(failure)[:_ERROR_CHARACTERS]}
    except _CpuTimeout:
        # An exception at any point may have left a library's caches half written: start afresh.
        return {**reply, "error": CPU_TIMEOUT, "retire": True}
    except MemoryError:
        return {**reply, "error": "memory limit", "retire": True}
    except Exception as error:
        text = f"verifier error: {type(error).__name__}: {error}"
        return {**reply, "error": text[:_ERROR_CHARACTERS]}


def _control(message: dict[str, Any]) -> dict[str, Any]:
    if message["control"] == "modules":
        return {"modules": sorted(sys.modules)}
    with suppress(GraderFailure):  # every task of that verifier will say so
        PREPARATIONS.get(message["verifier"], lambda: None)()
    return {"prepared": message["verifier"]}


def _limit_memory(megabytes: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    size = megabytes * 1024 * 1024
    try:
        resource.setrlimit(resource.RLIMIT_AS, (size if hard < 0 else min(size, hard), hard))
    except (ValueError, OSError):
        if sys.platform != "darwin":  # macOS refuses this limit; CPU time still bounds the work there
            raise


def _megabytes() -> float:
    """Memory in use. On Linux not `ru_maxrss`: there it starts at the size of the parent, which holds a model."""
    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024)
    with open("/proc/self/statm", "rb") as pages:  # noqa: PTH123 - after every task: the quickest way
        return int(pages.read().split()[1]) * resource.getpagesize() / (1024 * 1024)


def _own_streams() -> tuple[IO[bytes], int]:
    """Take stdin and stdout for the protocol, so that a library's `print` cannot break it."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    return requests, replies


def _say(replies: int, message: dict[str, Any]) -> None:
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(replies, data) :]


def main() -> None:
    """Serve until stdin closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    parser = argparse.ArgumentParser()
    parser.add_argument("--cpu-seconds", type=float, required=True)
    parser.add_argument("--wall-seconds", type=float, required=True)
    parser.add_argument("--memory-megabytes", type=int, required=True)
    arguments = parser.parse_args()
    requests, replies = _own_streams()
    logging.disable(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _limit_memory(arguments.memory_megabytes)
    clock = _Clock(arguments.cpu_seconds, arguments.wall_seconds)
    try:
        _say(replies, {"ready": True})
        for line in requests:
            message = json.loads(line)
            if "control" in message:
                _say(replies, _control(message))
                continue
            reply = grade(message, clock)
            if _megabytes() > arguments.memory_megabytes / 2:
                reply["retire"] = True  # caches have grown: the next task should not pay for it
            _say(replies, reply)
            if reply.get("retire"):
                break
    except BrokenPipeError:
        pass  # the parent is gone
    close_executor()
    os._exit(0)  # nothing to clean up, and half-broken libraries may hang in their exit handlers


if __name__ == "__main__":
    main()
