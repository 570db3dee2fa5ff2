"""One process per run. The kernel drops the lock however the process ends: there are no stale locks."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from ahalab.errors import EnvironmentFailure, UserError
from ahalab.runs.atomic import explaining_disk_errors, write_all

LOCK_NAME = ".lock"


class RunLock:
    """Context manager that holds `folder/.lock` (`flock`) for this process; the folder is made when missing.

    Raises UserError naming process and host when another process (or another lock in this one) holds it.
    Programs started by this process do not inherit the lock: a grader that outlives a killed run blocks
    nothing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        if self._descriptor is not None:
            raise RuntimeError(f"{self.folder}: this lock is already held here")
        path = self.folder / LOCK_NAME
        with explaining_disk_errors(path):
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except (FileExistsError, NotADirectoryError) as error:
                raise UserError(f"{self.folder} cannot be a run folder: {error.strerror}.") from error
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            self._acquire(descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._descriptor is not None
        # The file stays: removing it would let a third process lock a name that a second one still waits for.
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
        self._descriptor = None

    def _acquire(self, descriptor: int, path: Path) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in {errno.EWOULDBLOCK, errno.EACCES}:
                raise UserError(
                    f"{self.folder} is in use by {_holder(descriptor)}. Wait until it ends or stop it; "
                    "the same command then goes on where it stopped."
                ) from None
            raise EnvironmentFailure(
                f"{path} cannot be locked ({error.strerror}): this file system has no locks. "
                "Put the run folder on a local disk."
            ) from error
        with explaining_disk_errors(path):
            os.ftruncate(descriptor, 0)
            write_all(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())


def is_held(folder: Path) -> bool:
    """Whether a process seems to be at work in `folder`; for readers, who must not take the lock to find out.

    The holder signs the file and wipes it when it ends; of one that was killed the signature stays, and its process is
    gone. On another host that cannot be seen: it then counts as at work.
    """
    try:
        held = json.loads((folder / LOCK_NAME).read_bytes())
        process, host = int(held["pid"]), held["host"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    if host != socket.gethostname():
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _holder(descriptor: int) -> str:
    try:
        held = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {held['pid']} on {held['host']}"
    except (ValueError, KeyError, TypeError):
        # It has the lock but has not signed yet.
        return "another process"
