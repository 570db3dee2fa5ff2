"""Where houses come from: a zygote's fork, or a fresh start under bubblewrap."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, Protocol

from ahalab.sandbox.jail import control, house, kernel, walls

_FIRST = 200
"""Descriptors of a house under bubblewrap: payload, stdout, stderr, status, filter, maybe the artifact."""
_CODE = "/jail"


class Source(Protocol):
    """Starts houses, one at a time."""

    def begin(self, descriptors: Sequence[int], tmpfs_bytes: int) -> tuple[int, int]:
        """Start a house with the descriptors of `house.Given`. Its pid here, and a pidfd (-1 without walls).

        OSError: it could not be started.
        """
        ...

    def used(self) -> float:
        """Wait for the end of the last house: CPU seconds of it and of everything within."""
        ...


class Zygote:
    """Asks a zygote over its line."""

    def __init__(self, line: control.Line) -> None:
        self._line = line

    def begin(self, descriptors: Sequence[int], tmpfs_bytes: int) -> tuple[int, int]:  # noqa: ARG002 - in the plan
        self._line.say(control.RUN, descriptors)
        said, came = self._line.hear()
        if said.startswith(control.FAILED):
            raise OSError(said.removeprefix(control.FAILED).decode(errors="replace"))
        return (_pid_of(came[0]), came[0]) if came else (int(said), -1)

    def used(self) -> float:
        self._line.say(control.WAIT)
        said, _ = self._line.hear()
        return float(json.loads(said)["cpu"])


class Bubblewrap:
    """Starts `bwrap` and a fresh interpreter for each run: for machines that let it make user namespaces, but not us.

    Every run is cold: its own walls, its own start of Python.

    Args:
        program: the path of bwrap.
        python: the interpreter, here and within.
    """

    def __init__(
        self, program: str, python: str, root: walls.Root, program_filter: bytes, interpreter_bytes: int
    ) -> None:
        self._program, self._python, self._root = program, python, root
        self._filter = os.memfd_create("filter", os.MFD_CLOEXEC)
        os.write(self._filter, program_filter)
        self._interpreter_bytes = interpreter_bytes
        self._monitor = 0
        self._words = os.memfd_create("words", os.MFD_CLOEXEC)

    def begin(self, descriptors: Sequence[int], tmpfs_bytes: int) -> tuple[int, int]:
        told, telling = os.pipe()
        handed = [*descriptors[:4], self._filter, *descriptors[4:]]
        keeper = os.getpid()
        self._monitor = os.fork()
        if self._monitor == 0:
            self._become(handed, telling, tmpfs_bytes, keeper)
        os.close(telling)
        said = b""
        while b"}" not in said and (piece := os.read(told, 4096)):
            said += piece
        os.close(told)
        try:
            pid: int = json.loads(said)["child-pid"]
            return pid, os.pidfd_open(pid)
        except (ValueError, KeyError, OSError):
            self.used()
            words = os.pread(self._words, 1000, 0).decode(errors="replace").strip()
            raise OSError(words or "bwrap ended without a word") from None

    def used(self) -> float:
        _, _, used = os.wait4(self._monitor, 0)
        return used.ru_utime + used.ru_stime

    def _become(self, handed: Sequence[int], telling: int, tmpfs_bytes: int, keeper: int) -> NoReturn:
        try:
            high = [os.dup(each) for each in (*handed, telling)]
            for place, descriptor in enumerate(high, start=_FIRST):
                os.dup2(descriptor, place, inheritable=True)
            os.dup2(self._words, 2)
            os.closerange(3, _FIRST)
            nothing = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1):
                os.dup2(nothing, descriptor)
            with suppress(OSError):
                Path("/proc/self/oom_score_adj").write_text("1000")
            if os.getppid() == keeper:
                command = self._command(_FIRST + len(handed), len(handed), tmpfs_bytes)
                os.execve(self._program, command, {"PATH": "/usr/bin:/bin"})
        finally:
            os._exit(70)

    def _command(self, telling: int, handed: int, tmpfs_bytes: int) -> list[str]:
        here = str(Path(__file__).parent)
        words = [
            self._program,
            "--unshare-all",
            "--unshare-user",
            "--die-with-parent",
            "--new-session",
            "--as-pid-1",
        ]
        words += [
            "--uid",
            str(walls.USER),
            "--gid",
            str(walls.USER),
            "--hostname",
            "sandbox",
            "--cap-drop",
            "ALL",
        ]
        words += ["--clearenv", "--setenv", "PYTHONHASHSEED", "0", "--setenv", "LANG", "C.UTF-8"]
        words += ["--info-fd", str(telling)]
        for path in self._root.visible:
            words += ["--ro-bind", path, path]
        words += ["--ro-bind", here, f"{_CODE}/ahalab/sandbox/jail"]
        for path in self._root.empty:
            words += ["--tmpfs", path, "--remount-ro", path]
        for name in walls.DEVICES:
            words += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
        for link, target in walls.links(self._root).items():
            words += ["--symlink", target, link]
        words += [
            "--size",
            str(tmpfs_bytes),
            "--tmpfs",
            walls.RUN,
            "--remount-ro",
            "/",
            "--chdir",
            walls.RUN,
            "--",
        ]
        start = (
            f"import sys; sys.path.append({_CODE!r}); from ahalab.sandbox.jail import source; source.within()"
        )
        words += [self._python, "-S", "-s", "-P", "-B", "-X", "utf8", "-c", start]
        return [*words, str(handed), str(self._interpreter_bytes)]


def within() -> NoReturn:
    """A house's life under bubblewrap: the walls stand already."""
    sys.path.remove(_CODE)
    count, interpreter_bytes = map(int, sys.argv[1:3])
    with suppress(OSError):
        os.close(_FIRST + count)  # bwrap's own
    given = [*range(_FIRST, _FIRST + 4), *range(_FIRST + 5, _FIRST + count)]
    program_filter = kernel.Filter(os.pread(_FIRST + 4, 2**20, 0))
    os.close(_FIRST + 4)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 2)
    kernel.default_signals()
    house.live(house.Given(*given), "bubblewrap", program_filter, interpreter_bytes)
    os._exit(0)


def _pid_of(handle: int) -> int:
    with open(f"/proc/self/fdinfo/{handle}", encoding="ascii") as lines:  # noqa: PTH123 - every run
        return next(int(line.split()[1]) for line in lines if line.startswith("Pid:"))
