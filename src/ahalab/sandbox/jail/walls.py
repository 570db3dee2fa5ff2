"""The walls: namespaces of its own, and a root folder that holds nothing but interpreter and libraries, read-only.

What is visible is said by `Root`, which the caller makes. The host's folders are opened while this process is still
its old user (an interpreter may lie in a home folder that is closed to others), and attached after it has become
the sandbox's.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ahalab.sandbox.jail import kernel

USER = 1000
"""User and group inside."""
OWN, BUBBLEWRAP, NONE = "own", "bubblewrap", "none"
"""Kinds of walls: built by this file; by bubblewrap, for each run; none at all."""
RUN = "/run"
"""Where each run mounts its own small file system; `RUN/box` is the program's folder."""
BOX = f"{RUN}/box"

DEVICES = ("null", "zero", "full", "random", "urandom")
_READ_ONLY = kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NODEV
_DEVICE = kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NOSUID | kernel.MOUNT_ATTR_NOEXEC


class Root(NamedTuple):
    """What of the host is visible inside, at the same paths."""

    visible: list[str]
    """Folders and files, read-only. No folder lies within another."""
    empty: list[str]
    """Folders within them that are covered by empty ones: the interpreter's installed packages."""
    links: dict[str, str]
    """Symbolic links to make."""


def links(root: Root) -> dict[str, str]:
    """All symbolic links of a root: the system's, and those to the run's own places."""
    return {**root.links, "/tmp": BOX, "/dev/stdin": f"{RUN}/stdin"}


def identity(table: str, own: int, process: int) -> int:
    """The outer user (or group) id of everything inside.

    Args:
        table: /proc/self/uid_map or gid_map.
        own: what this process is now.
        process: a number that differs between keepers.

    An ordinary user can only use its own. Root uses one that nobody has: high up, or near the top of the ids that a
    container has; without such a range, its own.
    """
    if own != 0:
        return own
    ranges = [tuple(map(int, line.split())) for line in table.splitlines()]
    start, _, count = max(ranges, key=lambda each: each[2])
    if count > 2_100_000_000:
        return start + 2_000_000_000 + process % 50_000_000
    return start + count - 2 - process % 1000 if count > 10_000 else own


def separate() -> None:
    """Enter new namespaces of every kind; the next child is init of the new pid namespace.

    OSError: not allowed here.
    """
    if os.geteuid() == 0:
        with suppress(OSError):
            os.setgroups([])
    # The user namespace first, so that a refusal names its kind; it owns the others.
    kernel.unshare(kernel.CLONE_NEWUSER, "a user namespace")
    kernel.unshare(
        kernel.CLONE_NEWNS
        | kernel.CLONE_NEWPID
        | kernel.CLONE_NEWNET
        | kernel.CLONE_NEWIPC
        | kernel.CLONE_NEWUTS
        | kernel.CLONE_NEWCGROUP,
        "mount, pid, network, ipc, uts and cgroup namespaces",
    )


def map_identity(pid: int) -> None:
    """Give the process `pid`, which is in a new user namespace, its one user and group. For its parent."""
    folder = Path(f"/proc/{pid}")
    (folder / "setgroups").write_text("deny")
    for name, own in (("gid_map", os.getegid()), ("uid_map", os.geteuid())):
        outer = identity(Path(f"/proc/self/{name}").read_text(), own, os.getpid())
        try:
            (folder / name).write_text(f"{USER} {outer} 1\n")
        except PermissionError:  # a root that may not become others
            (folder / name).write_text(f"{USER} {own} 1\n")


def build(root: Root) -> None:
    """Move into the sandbox's own root; afterwards this process is its user and still has its capabilities.

    OSError: names the step that failed.
    """
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    trees = {path: kernel.open_tree(path) for path in root.visible}
    devices = {f"/dev/{name}": kernel.open_tree(f"/dev/{name}") for name in DEVICES}
    folders = {path for path in root.visible if Path(path).is_dir()}
    kernel.keep_capabilities()
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    kernel.set_capabilities(kernel.CAP_SYS_ADMIN, kernel.CAP_SETPCAP)
    base = next(path for path in ("/tmp", "/run", "/mnt", "/dev") if Path(path).is_dir())
    kernel.mount("tmpfs", base, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755,size=1m")
    os.chdir(base)
    Path("old").mkdir()
    kernel.pivot_root(".", "old")
    os.chdir("/")
    for path, tree in trees.items():
        _attach(tree, path, _READ_ONLY, folder=path in folders)
    for path, tree in devices.items():
        _attach(tree, path, _DEVICE, folder=False)
    for path in root.empty:
        kernel.mount(
            "tmpfs",
            path,
            "tmpfs",
            kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_RDONLY,
            "mode=555,size=4k,nr_inodes=2",
        )
    Path(RUN).mkdir()
    for link, target in links(root).items():
        if os.path.lexists(link):
            continue
        Path(link).parent.mkdir(parents=True, exist_ok=True)
        Path(link).symlink_to(target)
    kernel.unmount_lazily("/old")
    Path("/old").rmdir()
    kernel.restrict_mount("/", _READ_ONLY)
    kernel.set_host_name("sandbox")


def _attach(tree: int, path: str, attributes: int, *, folder: bool) -> None:
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    if folder:
        place.mkdir()
    else:
        place.touch()
    kernel.restrict_mount(tree, attributes)
    kernel.move_mount(tree, path)
    os.close(tree)
