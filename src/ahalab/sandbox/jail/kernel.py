"""The system calls that Python 3.11 has no function for."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
from collections.abc import Iterable
from contextlib import suppress

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID, MS_NODEV, MS_REC, MS_PRIVATE, MS_RDONLY = 2, 4, 16384, 1 << 18, 1
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 1, 2, 4, 8

CAP_SETPCAP, CAP_SYS_ADMIN = 8, 21

_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_CAPSET = {"x86_64": 126, "aarch64": 91}
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442  # the same on every architecture
_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_SET_NAME = 1, 4, 8, 15
_PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = (
    22,
    24,
    36,
    38,
    47,
)

MACHINES = tuple(_PIVOT_ROOT)
"""Processors whose call numbers are known here."""

_libc = ctypes.CDLL(None, use_errno=True)
_machine = platform.machine()


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _syscall(what: str, number: int, *arguments: int | bytes | None) -> int:
    values = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _checked(int(_libc.syscall(ctypes.c_long(number), *values)), what)


def unshare(flags: int, what: str) -> None:
    """New namespaces for this process (CLONE_NEWPID: for its next child)."""
    _checked(_libc.unshare(ctypes.c_int(flags)), f"unshare ({what})")


def setns(descriptor: int, flags: int) -> None:
    _checked(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(flags)), "setns")


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    done = _libc.mount(
        source.encode(),
        target.encode(),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        options.encode(),
    )
    _checked(done, f"mount of {kind or source} on {target}")


def unmount_lazily(target: str) -> None:
    _checked(_libc.umount2(target.encode(), ctypes.c_int(2)), f"unmount of {target}")


def pivot_root(new: str, old: str) -> None:
    _syscall("pivot_root", _PIVOT_ROOT[_machine], new.encode(), old.encode())


def open_tree(path: str) -> int:
    """A detached copy of what is mounted at and under `path`, as a descriptor."""
    return _syscall(
        f"open_tree of {path}", _OPEN_TREE, _AT_FDCWD, path.encode(), 1 | os.O_CLOEXEC | _AT_RECURSIVE
    )


def move_mount(tree: int, target: str) -> None:
    """Attach what `open_tree` gave at `target`."""
    _syscall(f"move_mount to {target}", _MOVE_MOUNT, tree, b"", _AT_FDCWD, target.encode(), 4)


def restrict_mount(place: int | str, attributes: int) -> None:
    """Add attributes to a tree of `open_tree` with all mounts under it, or to the one mount at a path."""
    wanted = (ctypes.c_uint64 * 4)(attributes, 0, 0, 0)
    words = ctypes.cast(wanted, ctypes.c_void_p).value or 0
    if isinstance(place, int):
        _syscall("mount_setattr", _MOUNT_SETATTR, place, b"", _AT_EMPTY_PATH | _AT_RECURSIVE, words, 32)
    else:
        _syscall(f"mount_setattr of {place}", _MOUNT_SETATTR, _AT_FDCWD, place.encode(), 0, words, 32)


def set_host_name(name: str) -> None:
    _checked(_libc.sethostname(name.encode(), ctypes.c_size_t(len(name))), "sethostname")


def _prctl(what: str, option: int, second: int = 0, third: int = 0) -> int:
    values = [ctypes.c_ulong(value) for value in (second, third, 0, 0)]
    return _checked(_libc.prctl(ctypes.c_int(option), *values), what)


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """A signal for this process when its parent ends. Forgotten at changes of user: call it after them."""
    _prctl("die with parent", _PR_SET_PDEATHSIG, number)


def keep_capabilities() -> None:
    """Across the next change of user."""
    _prctl("keep capabilities", _PR_SET_KEEPCAPS, 1)


def hide_memory() -> None:
    """No core dump, no reading by others of the same user."""
    _prctl("not dumpable", _PR_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Orphans among this process's descendants become its children."""
    _prctl("subreaper", _PR_SET_CHILD_SUBREAPER, 1)


def set_capabilities(*keep: int, among: Iterable[int] = range(64)) -> None:
    """Give up every capability but `keep`, also those a later exec could bring.

    Args:
        among: what this process can still have; fewer is quicker.
    """
    for capability in among:
        if capability not in keep:
            try:
                _prctl("drop a capability", _PR_CAPBSET_DROP, capability)
            except OSError as error:
                if error.errno == errno.EINVAL:  # beyond the last one
                    break
                raise
    with suppress(OSError):
        _prctl("ambient", _PR_CAP_AMBIENT, 4)  # PR_CAP_AMBIENT_CLEAR_ALL
    words = [sum(1 << (c - 32 * half) for c in keep if c // 32 == half) for half in (0, 1)]
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, this process
    data = (ctypes.c_uint32 * 6)(words[0], words[0], 0, words[1], words[1], 0)
    _checked(
        int(_libc.syscall(ctypes.c_long(_CAPSET[_machine]), ctypes.byref(header), ctypes.byref(data))),
        "capset",
    )


def no_new_privileges() -> None:
    """Nothing that is executed from here on gains a privilege."""
    _prctl("no_new_privs", _PR_SET_NO_NEW_PRIVS, 1)


class _Fprog(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


class Filter:
    """A system-call filter, ready to be installed in a process that should not have to do much.

    Args:
        program: classic BPF, 8 bytes an instruction.
    """

    def __init__(self, program: bytes) -> None:
        self._buffer = ctypes.create_string_buffer(program, len(program))
        self._fprog = _Fprog(len(program) // 8, ctypes.cast(self._buffer, ctypes.c_void_p).value)
        self._address = ctypes.addressof(self._fprog)

    def install(self) -> None:
        """For this process and all it will start, for ever."""
        _prctl("seccomp", _PR_SET_SECCOMP, 2, self._address)


def default_signals() -> None:
    """No handler, nothing ignored, nothing blocked: as a program expects to be started."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with suppress(OSError, ValueError):  # some belong to the C library
            signal.signal(number, signal.SIG_DFL)
