"""Whether walls can be had here, found out by building them and letting a program push against each."""

from __future__ import annotations

import functools
import json
import os
import platform
import sys
from pathlib import Path

from ahalab.sandbox import filter, root
from ahalab.sandbox.jail import kernel
from ahalab.sandbox.jail.walls import BUBBLEWRAP, NONE, OWN
from ahalab.sandbox.link import KeeperDied, Refused
from ahalab.sandbox.local import LocalExecutor
from ahalab.sandbox.records import Limits, Program, SandboxFailure

PRETEND = "AHALAB_PRETEND_NO_ISOLATION"
"""An environment variable whose text is taken for the reason why isolation cannot be had: for tests of the refusal."""

_PROCESSES = 4
# Each name is a wall in words; False says that it does not stand.
_PROGRAM = """
import ctypes, json, os, signal, socket, sys

def refused(action):
    try:
        action()
    except (OSError, MemoryError):
        return True
    return False

def children():
    made = []
    try:
        while len(made) < 50:
            pid = os.fork()
            if pid == 0:
                signal.pause()
            made.append(pid)
    except OSError:
        pass
    for pid in made:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return len(made)

def traced():
    pid = os.fork()
    if pid == 0:
        os._exit(libc.ptrace(0, 0, 0, 0) != -1)
    return os.waitpid(pid, 0)[1] != 0

libc = ctypes.CDLL(None)
print(json.dumps({
    "its own pid namespace": os.getppid() == 1,
    "not root inside": os.getuid() != 0 and os.getgid() != 0,
    "a clean environment": "PYTHONPATH" not in os.environ and len(os.environ) < 10,
    "no /proc of the host": not os.path.exists("/proc/self"),
    "no /etc of the host": not os.path.exists("/etc/passwd"),
    "a read-only root": refused(lambda: os.mkdir("/x")),
    "no sockets": refused(lambda: socket.socket()),
    "no new namespaces": libc.unshare(0x10000000) == -1,
    "no tracing": not traced(),
    "a limit on processes": children() == int(sys.argv[1]) - 1,
    "a limit on memory": refused(lambda: bytearray(int(sys.argv[2]) << 20)),
}))
"""


def find_walls() -> tuple[str, str | None]:
    """The kind of walls that stand here, and None; or `NONE`, and which test failed, in words."""
    pretended = os.environ.get(PRETEND)
    return (NONE, pretended) if pretended else _found()


@functools.cache
def _found() -> tuple[str, str | None]:
    reason = _cannot() or try_walls(OWN)
    if reason is None:
        return OWN, None
    if _cannot() is None and root.bubblewrap():
        also = try_walls(BUBBLEWRAP)
        return (BUBBLEWRAP, None) if also is None else (NONE, f"{reason}; with bubblewrap: {also}")
    return NONE, reason


def _cannot() -> str | None:
    if sys.platform != "linux":
        return f"this system is {platform.system()}: isolation needs Linux"
    if platform.machine() not in kernel.MACHINES:
        return (
            f"this processor is {platform.machine()}: isolation is known for {' and '.join(kernel.MACHINES)}"
        )
    try:
        filter.compiled()
    except filter.FilterError as error:
        return str(error)
    return None


def try_walls(kind: str) -> str | None:
    """Build them and run a program that pushes against each. None where all stand, else which does not."""
    limits = Limits(cpu_seconds=5.0, wall_seconds=20.0, memory_megabytes=64, processes=_PROCESSES)
    program = Program("python", _PROGRAM, arguments=(str(_PROCESSES), str(limits.memory_megabytes + 16)))
    executor = LocalExecutor(kind)
    try:
        outcome = next(executor.run(program, [""], limits))
    except (SandboxFailure, KeeperDied, Refused) as error:
        return explain(str(error))
    finally:
        executor.close()
    try:
        walls: dict[str, bool] = json.loads(outcome.stdout)
    except ValueError:
        words = outcome.stderr.strip()[-300:]
        return f"a program that tests the walls ended with {outcome.status!r}: {words or 'it said nothing'}"
    fallen = [name for name, stands in walls.items() if not stands]
    return f"within the sandbox there is not: {', '.join(fallen)}" if fallen else None


def explain(failure: str, proc: Path = Path("/proc/sys")) -> str:
    """The reason behind a refused step, where the machine's settings tell it.

    Args:
        proc: for tests.
    """
    for setting, bad, words in (
        ("user/max_user_namespaces", "0", "user namespaces are disabled"),
        ("kernel/unprivileged_userns_clone", "0", "user namespaces are disabled for ordinary users"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "AppArmor keeps user namespaces from ordinary users",
        ),
    ):
        try:
            value = (proc / setting).read_text().strip()
        except OSError:
            continue
        if value == bad and ("user namespace" in failure or setting.startswith("user/")):
            return f"{words}: /proc/sys/{setting} is {value}"
    if "user namespace" in failure and "Operation not permitted" in failure:
        return f"{failure} (inside a container: its system-call filter or AppArmor profile forbids user namespaces)"
    return failure
