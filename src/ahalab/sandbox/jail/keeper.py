"""The keeper: serves one caller, outside the walls. Carries data in and out, and ends a run that goes too far.

It reads messages from stdin and answers on stdout (`frames`): {"op": "start", …} once, then {"op": "run", …}. It ends
when the caller does. What programs write is bytes to it and nothing more.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
import traceback
from contextlib import suppress
from typing import Any

from ahalab.sandbox.jail import control, frames, kernel, run, source, walls, zygote

_OWN_STREAMS = (0, 1, 2)
# Imported before the walls stand, so that programs have them at once. Only what is common in contest programs.
_WARM = (
    "array",
    "bisect",
    "cmath",
    "collections",
    "copy",
    "dataclasses",
    "datetime",
    "decimal",
    "enum",
    "fractions",
    "functools",
    "heapq",
    "itertools",
    "json",
    "math",
    "operator",
    "queue",
    "random",
    "re",
    "statistics",
    "string",
    "threading",
    "time",
    "typing",
)


class CallerGone(Exception):
    """Nobody is left to work for."""


class Keeper:
    """One caller, one zygote, one run at a time."""

    def __init__(self) -> None:
        self._source: source.Source | None = None
        self._line: control.Line | None = None
        self._builder = 0
        self._kind = walls.OWN
        self._shared_bytes = 0
        self._caller = -1

    def serve(self) -> None:
        """Answer until the caller is gone."""
        with suppress(EOFError, BrokenPipeError, CallerGone, control.Closed):
            while True:
                header, blobs = frames.read(_read_exactly)
                operation = self._start if header["op"] == "start" else self._run
                try:
                    reply = operation(header, blobs)
                except OSError as error:
                    reply = frames.pack({"failure": str(error)})
                _write(reply)

    def close(self) -> None:
        """End the zygote, and wait for it: the caller may count on nothing being left."""
        if self._line is None:
            return
        self._line.close()  # the zygote hears that, and ends; with it, its namespace
        for _ in range(100):
            if os.waitpid(self._builder, os.WNOHANG)[0]:
                return
            time.sleep(0.01)
        os.kill(self._builder, signal.SIGKILL)

    def _start(self, header: dict[str, Any], blobs: list[bytes]) -> bytes:
        if hasattr(os, "pidfd_open"):
            # A descriptor of the caller's process: unlike a parent-death signal it does not depend on its threads.
            self._caller = os.pidfd_open(header["caller"])
            if os.getppid() != header["caller"]:
                raise CallerGone
        self._kind = header["walls"]
        root = walls.Root(**header["root"])
        size, self._shared_bytes = _statm()
        if self._kind == walls.BUBBLEWRAP:
            self._source = source.Bubblewrap(header["bwrap"], sys.executable, root, blobs[0], size)
        else:
            self._builder, self._line = _hatch(
                root, zygote.Settings(self._kind, kernel.Filter(blobs[0]), size)
            )
            self._source = source.Zygote(self._line)
        return frames.pack({"started": True})

    def _run(self, header: dict[str, Any], blobs: list[bytes]) -> bytes:
        assert self._source is not None
        watched = (0, self._caller) if self._caller >= 0 else (0,)
        walled = self._kind != walls.NONE
        one = run.Run(self._source, header, blobs, walled=walled, shared_bytes=self._shared_bytes)
        try:
            one.follow(watched)
        except run.CallerGone:
            raise CallerGone from None
        finally:
            one.close()
        return frames.pack(one.facts, [bytes(one.stdout), bytes(one.stderr), one.artifact])


def _hatch(root: walls.Root, settings: zygote.Settings) -> tuple[int, control.Line]:
    """Start a builder and its zygote: the former's pid, the line to the latter. OSError: a wall cannot be built."""
    line, theirs = control.pair()
    keeper = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            line.close()
            _build(theirs, root, settings, keeper)
        except BaseException as error:
            with suppress(BaseException):
                theirs.say(control.FAILED + str(error).encode())
        finally:
            os._exit(70)
    theirs.close()
    if settings.kind == walls.OWN:
        _expect(line, control.SEPARATED)
        walls.map_identity(child)
        line.say(control.MAPPED)
    _expect(line, control.READY)
    return child, line


def _expect(line: control.Line, wanted: bytes) -> None:
    said, _ = line.hear()
    if said != wanted:
        raise OSError(said.removeprefix(control.FAILED).decode(errors="replace"))


def _build(line: control.Line, root: walls.Root, settings: zygote.Settings, keeper: int) -> None:
    """The builder's life: build the walls, start the zygote, wait for its end."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in _OWN_STREAMS:
        os.dup2(nothing, descriptor)
    os.closerange(3, line.fileno())
    os.closerange(line.fileno() + 1, 1024)
    if sys.platform == "linux":
        kernel.die_with_parent()
        with suppress(OSError):  # the first to go when the machine runs out of memory
            _write_file("/proc/self/oom_score_adj", "1000")
    if os.getppid() != keeper:
        return
    if settings.kind == walls.OWN:
        walls.separate()
        line.say(control.SEPARATED)
        line.hear()
        walls.build(root)
        kernel.die_with_parent()
    child = os.fork()
    if child == 0:
        try:
            if sys.platform == "linux":
                kernel.die_with_parent()
            zygote.serve(line, settings)
        except BaseException as error:
            with suppress(BaseException):
                line.say(control.FAILED + str(error).encode())
        finally:
            os._exit(70)
    line.close()
    if settings.kind == walls.OWN:
        kernel.set_capabilities()
        kernel.hide_memory()
    os.waitpid(child, 0)


def _read_exactly(count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = os.read(0, min(count - len(data), 2**20))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def _write_file(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _statm() -> tuple[int, int]:
    """Address space and resident memory of this process in bytes; zeros where it cannot be known."""
    try:
        descriptor = os.open("/proc/self/statm", os.O_RDONLY)
    except OSError:
        return 0, 0
    fields = os.read(descriptor, 200).split()
    os.close(descriptor)
    page = os.sysconf("SC_PAGE_SIZE")
    return int(fields[0]) * page, int(fields[1]) * page


def _reset_limits() -> None:
    """Undo what a grader worker bounds itself by: it is meant for the worker, and would end us."""
    for name in ("RLIMIT_CPU", "RLIMIT_AS", "RLIMIT_DATA", "RLIMIT_FSIZE"):
        number = getattr(resource, name)
        hard = resource.getrlimit(number)[1]
        with suppress(ValueError, OSError):
            resource.setrlimit(number, (hard, hard))
    kernel.default_signals()
    for number in (signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)


def main(code_folder: str) -> None:
    """Serve. `code_folder` was put on the path to find this package; programs must not find it there."""
    for name in _WARM:
        __import__(name)
    sys.path.remove(code_folder)
    _reset_limits()
    keeper = Keeper()
    try:
        keeper.serve()
        keeper.close()
    except BaseException:
        with suppress(BaseException):
            _write(frames.pack({"failure": traceback.format_exc()[-2000:]}))
        os._exit(1)
    os._exit(0)
