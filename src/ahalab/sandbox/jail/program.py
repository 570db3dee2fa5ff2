"""The program's own process: limits, filter, then the program. From `STARTED` on everything here is hostile.

A Python program runs in this forked interpreter, which is already warm; it behaves like `python -I main.py` with the
standard library, and with its folder on the path.
"""

from __future__ import annotations

import atexit
import builtins
import fcntl
import gc
import io
import os
import resource
import signal
import site
import sys
import types
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from ahalab.sandbox.jail import kernel, walls

if TYPE_CHECKING:
    from ahalab.sandbox.jail.house import Given

STACK_BYTES = 64 * 2**20
"""Our choice: deep enough for the recursion of contest solutions, and threads (of as much each) still fit."""

_STATUS = 3
_OURS = {walls.OWN: 3, walls.BUBBLEWRAP: 1}
"""Processes of ours that count with the program's, per user and user namespace: builder, zygote, house."""
_MEGABYTE = 2**20
_BINARY_BYTES = 16 * _MEGABYTE
"""Address space of a C++ program that does nothing: its libraries."""


def become(
    plan: dict[str, Any], given: Given, kind: str, program_filter: kernel.Filter, interpreter_bytes: int
) -> NoReturn:
    """Turn this process into the program, behind walls of a kind (`walls.OWN` …)."""
    os.setsid()
    _take_descriptors(plan["folder"], given)
    is_python = not plan["command"]
    _limit(plan["limits"], interpreter_bytes if is_python else _BINARY_BYTES, kind)
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": f"{plan['folder']}/box",
        "TMPDIR": f"{plan['folder']}/box",
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",  # the order of sets must not differ between two runs of the same program
    }
    os.environ.clear()
    os.environ.update(environment)
    if kind != walls.NONE:
        program_filter.install()
    os.write(_STATUS, b"S\n")
    if is_python:
        _run_python(
            f"{plan['folder']}/{plan['source_name']}", plan["source"], plan["arguments"], plan["files"]
        )
    try:
        os.execve(plan["command"][0], [*plan["command"], *plan["arguments"]], environment)
    except OSError as error:
        # A compiler that cannot be started is our affair; a binary that cannot, its author's.
        if plan["command"][0].startswith("/"):
            os.write(_STATUS, f"F{plan['command'][0]}: {error.strerror}\n".encode())
        os.write(2, f"{error.strerror}\n".encode())
        os._exit(127)


def _take_descriptors(folder: str, given: Given) -> None:
    stdin = os.open(f"{folder}/stdin", os.O_RDONLY)
    high = [_high(each) for each in (stdin, given.stdout, given.stderr, given.status)]
    for place, descriptor in enumerate(high):
        os.dup2(descriptor, place, inheritable=place != _STATUS)
    os.closerange(_STATUS + 1, 1024)


def _high(descriptor: int) -> int:
    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 64)


def _limit(limits: dict[str, Any], extra_bytes: int, kind: str) -> None:
    # The keeper ends a run at its CPU limit; the kernel's own limit, in whole seconds, holds also without it.
    seconds = int(limits["cpu_seconds"]) + 2
    memory = limits["memory_megabytes"] * _MEGABYTE + extra_bytes
    wanted = {
        "RLIMIT_CPU": (seconds, seconds + 1),
        "RLIMIT_AS": (memory, memory),
        "RLIMIT_FSIZE": (limits["file_megabytes"] * _MEGABYTE,) * 2,
        "RLIMIT_STACK": (STACK_BYTES, STACK_BYTES),
        "RLIMIT_NOFILE": (256, 256),
        "RLIMIT_CORE": (1, 1),  # not 0, with which a crash would still wake the host's crash reporter
        "RLIMIT_MEMLOCK": (0, 0),
        "RLIMIT_MSGQUEUE": (0, 0),
        "RLIMIT_SIGPENDING": (256, 256),
    }
    if kind in _OURS:
        wanted["RLIMIT_NPROC"] = (limits["processes"] + _OURS[kind],) * 2
    for name, (soft, hard) in wanted.items():
        number = getattr(resource, name, None)
        if number is None:
            continue
        allowed = resource.getrlimit(number)[1]
        if allowed != resource.RLIM_INFINITY:
            soft, hard = min(soft, allowed), min(hard, allowed)
        try:
            resource.setrlimit(number, (soft, hard))
        except (ValueError, OSError):
            if sys.platform == "linux":  # macOS refuses some
                raise


def _run_python(path: str, source: str, arguments: list[str], files: Iterable[str]) -> NoReturn:
    main = _dress_up(path, arguments)
    try:
        code = compile(source.encode("utf-8", "replace"), path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, OverflowError, RecursionError) as error:
        os.write(_STATUS, b"C\n")
        os.close(_STATUS)
        _show(error.with_traceback(None))
        _leave(1, main)
    os.close(_STATUS)
    _look_first_at(files)  # only now: an import of ours must not bring in a file of the program's
    status = 0
    try:
        exec(code, main.__dict__)
    except SystemExit as leaving:
        status = _exit_status(leaving)
    except BaseException as error:
        status = 1
        trace = error.__traceback__
        _show(error.with_traceback(trace.tb_next if trace else None))
    _leave(status, main)


def _dress_up(path: str, arguments: list[str]) -> types.ModuleType:
    """Make this interpreter look as if it had just started with the program."""
    main = types.ModuleType("__main__")
    main.__dict__.update(__file__=path, __builtins__=builtins, __spec__=None)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("ahalab", "__main__")]:
        del sys.modules[name]
    sys.modules["__main__"] = main
    sys.argv = [path, *arguments]
    sys.orig_argv = ["python", *sys.argv]
    site.setquit()
    site.sethelper()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin = sys.__stdin__ = _stream(0, "<stdin>", "surrogateescape")  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = _stream(1, "<stdout>", "surrogateescape")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(2, "<stderr>", "backslashreplace")  # type: ignore[misc]
    gc.enable()
    return main


def _look_first_at(files: Iterable[str]) -> None:
    """The program's folder comes first on the path, and its files before modules that happen to be loaded."""
    sys.path.insert(0, os.environ["HOME"])
    for name in {file.partition("/")[0].removesuffix(".py") for file in files}:
        for loaded in [each for each in sys.modules if each.partition(".")[0] == name]:
            del sys.modules[loaded]


def _stream(descriptor: int, name: str, errors: str) -> io.TextIOWrapper:
    raw = io.FileIO(descriptor, "r" if descriptor == 0 else "w", closefd=False)
    raw.name = name
    buffer: Any = io.BufferedReader(raw) if descriptor == 0 else io.BufferedWriter(raw)
    text = io.TextIOWrapper(
        buffer, "utf-8", errors, "\n", line_buffering=descriptor == 2, write_through=descriptor == 2
    )
    text.mode = "r" if descriptor == 0 else "w"  # type: ignore[misc]
    return text


def _exit_status(leaving: SystemExit) -> int:
    code = leaving.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    with suppress(BaseException):
        print(code, file=sys.stderr)
    return 1


def _show(error: BaseException) -> None:
    """As the interpreter shows an exception that nobody caught."""
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except BaseException:  # no memory left to format it, or a hook of the program's own
        with suppress(OSError):
            os.write(2, f"{type(error).__name__}\n".encode())


def _leave(status: int, main: types.ModuleType) -> NoReturn:
    """What the interpreter does at its end, as far as a program can tell: threads, exit functions, open files."""
    with suppress(BaseException):
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()
    with suppress(BaseException):
        atexit._run_exitfuncs()
    status = _flush(status)
    with suppress(BaseException):
        main.__dict__.clear()  # files that were not closed are written out when they go
        gc.collect()
    os._exit(_flush(status))


def _flush(status: int) -> int:
    try:
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
    except BaseException:
        status = status or 120
    with suppress(BaseException):
        sys.stderr.flush()
    return status
