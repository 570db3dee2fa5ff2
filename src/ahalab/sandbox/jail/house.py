"""Init of one run's pid namespace: lays out the folder, starts the program, says how it ended. Its end ends all.

It has given up every capability before it handles the run's data. Signals from inside its namespace do not reach it
(it is init and handles none), and its memory is closed to the program (another capability set, not dumpable, and the
filter forbids the calls).
"""

from __future__ import annotations

import json
import os
import resource
import signal
import stat
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from ahalab.sandbox.jail import frames, kernel, program, walls, watch

STARTED, UNCOMPILED, FAILED = b"S\n", b"C\n", b"F"
_LARGEST_ARTIFACT = 256 * 2**20
_CHUNK = 2**20


class Given(NamedTuple):
    """Descriptors that the keeper sent."""

    payload: int
    """A file: `frames.pack(plan, [stdin, binary])`."""
    stdout: int
    stderr: int
    status: int
    """Where this process reports to."""
    artifact: int = -1
    """A file for what a compiler made."""


class _Stop(BaseException):
    """Without walls, the keeper ends a run by SIGTERM to this process."""


def live(given: Given, kind: str, program_filter: kernel.Filter, interpreter_bytes: int) -> None:
    """Run one program to its end and return; the caller then ends this process.

    Args:
        kind: of walls. `walls.OWN`: this process still has the capabilities for the run's own part of them.
    """
    walled = kind != walls.NONE
    try:
        _stand_alone(walled)
        if kind == walls.OWN:
            kernel.unshare(kernel.CLONE_NEWNS, "a mount namespace for a run")
        plan, start = _read_plan(given.payload)
        if kind == walls.OWN:
            _mount(plan["folder"], plan["tmpfs_bytes"])
            kernel.set_capabilities(among=(kernel.CAP_SYS_ADMIN, kernel.CAP_SETPCAP))
        if walled:
            kernel.no_new_privileges()
        _lay_out(plan, given.payload, start)
        child = os.fork()
        if child == 0:
            try:
                program.become(plan, given, kind, program_filter, interpreter_bytes)
            except BaseException as error:
                _say_failed(given.status, error)
            finally:
                os._exit(70)
    except BaseException as error:
        _say_failed(given.status, error)
        return
    for descriptor in (given.payload, given.stdout, given.stderr):
        os.close(descriptor)
    waited, peak = _wait(child, walled)
    if given.artifact >= 0 and waited == 0:
        _copy_out(f"{plan['folder']}/program", given.artifact)
    own = resource.getrusage(resource.RUSAGE_SELF)
    report = {"wait": waited, "rss": peak, "own_cpu": own.ru_utime + own.ru_stime}
    os.write(given.status, json.dumps(report).encode() + b"\n")


def _stand_alone(walled: bool) -> None:
    if walled:
        kernel.die_with_parent()
        kernel.hide_memory()
        return
    signal.signal(signal.SIGTERM, _stop)
    if sys.platform == "linux":
        kernel.die_with_parent(signal.SIGTERM)
        kernel.adopt_orphans()


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise _Stop


def _read_plan(payload: int) -> tuple[dict[str, Any], int]:
    position = 0

    def exactly(count: int) -> bytes:
        nonlocal position
        data = os.pread(payload, count, position)
        position += len(data)
        return data

    plan = frames.read_header(exactly)
    return plan, position


def _mount(folder: str, size: int) -> None:
    options = f"mode=755,size={size},nr_inodes=20000"
    kernel.mount("tmpfs", folder, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, options)


def _lay_out(plan: dict[str, Any], payload: int, start: int) -> None:
    """FOLDER/{stdin,main.py,program} and FOLDER/box, the program's own, with its files."""
    folder = plan["folder"]
    os.mkdir(f"{folder}/box")  # noqa: PTH102 - pathlib's many objects would cost every run
    os.chdir(f"{folder}/box")
    with open(f"{folder}/{plan['source_name']}", "wb") as file:  # noqa: PTH123
        file.write(plan["source"].encode("utf-8", "replace"))
    for name, text in plan["files"].items():
        place = Path(name)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text.encode("utf-8", "replace"))
    stdin, binary = plan["blobs"]
    _copy_in(payload, start, stdin, f"{folder}/stdin", 0o444)
    if binary:
        _copy_in(payload, start + stdin, binary, f"{folder}/program", 0o555)


def _copy_in(payload: int, start: int, size: int, target: str, mode: int) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    end = start + size
    while start < end:
        data = os.pread(payload, min(_CHUNK, end - start), start)
        while data:
            written = os.write(descriptor, data)
            start, data = start + written, data[written:]
    os.close(descriptor)


def _copy_out(path: str, artifact: int) -> None:
    """What the compiler made. Not followed if it is a link, not taken if it is no plain file."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_size <= _LARGEST_ARTIFACT:
            while data := os.read(descriptor, _CHUNK):
                os.write(artifact, data)


def _wait(child: int, walled: bool) -> tuple[int, int]:
    """Wait for the program, and reap whatever else ends. Its wait status, and its peak of resident memory in KB."""
    waited, peak = 0, 0
    try:
        while True:
            pid, waited, used = os.wait4(-1, 0)
            if pid == child and not os.WIFSTOPPED(
                waited
            ):  # one that has itself traced stops, and is not at its end
                peak = used.ru_maxrss
                break
    except _Stop:
        waited = signal.SIGKILL
    if not walled:
        _clear_up(child)
    return waited, peak


def _clear_up(child: int) -> None:
    """Without a pid namespace: end the program's group, and on Linux every descendant that is left."""
    with suppress(_Stop, OSError):
        os.killpg(child, signal.SIGKILL)
    for _ in range(100):
        with suppress(_Stop, OSError):
            found = watch.Watch(os.getpid()).pids() if sys.platform == "linux" else {child}
            for pid in found - {os.getpid()}:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            try:
                while True:
                    os.waitpid(-1, 0)
            except ChildProcessError:
                return


def _say_failed(status: int, error: BaseException) -> None:
    with suppress(OSError):
        os.write(
            status, FAILED + f"{type(error).__name__}: {error}".replace("\n", " ")[:500].encode() + b"\n"
        )
