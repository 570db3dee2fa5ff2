"""What a run uses right now: processes, memory, CPU time, summed over its process tree. Read from the host's /proc."""

from __future__ import annotations

import os
from typing import NamedTuple

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")

# Places in /proc/PID/stat after the name.
_PARENT, _OWN, _WAITED, _THREADS, _STARTED, _RESIDENT = 1, (11, 12), (13, 14), 17, 19, 21


class Usage(NamedTuple):
    tasks: int
    """Processes and threads."""
    resident_bytes: list[int]
    """Of each process."""
    cpu_seconds: float


class Watch:
    """Looks at a process and all its descendants, again and again."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._strangers: set[str] = set()

    def pids(self) -> set[int]:
        """Of the tree, the root among them."""
        return set(self._tree())

    def look(self) -> Usage:
        """The root itself, which is ours, counts for CPU time only through the children it has waited for."""
        tasks, resident, ticks = 0, list[int](), 0
        for pid, fields in self._tree().items():
            ticks += sum(int(fields[place]) for place in _WAITED)
            if pid != self._root:
                ticks += sum(int(fields[place]) for place in _OWN)
                tasks += int(fields[_THREADS])
                resident.append(int(fields[_RESIDENT]) * _PAGE)
        return Usage(tasks, resident, ticks / _TICK)

    def _tree(self) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        own = _stat(str(self._root))
        if own is None:
            return found
        found[self._root] = own
        started = int(own[_STARTED])
        others: dict[int, list[str]] = {}
        for name in os.listdir("/proc"):  # noqa: PTH208 - names are all that is needed
            if not name.isdigit() or name in self._strangers or int(name) == self._root:
                continue
            fields = _stat(name)
            if fields is None:
                continue
            if int(fields[_STARTED]) < started:
                self._strangers.add(name)  # older than the root, so never one of its descendants
            else:
                others[int(name)] = fields
        while ours := [pid for pid, fields in others.items() if int(fields[_PARENT]) in found]:
            for pid in ours:
                found[pid] = others.pop(pid)
        return found


def _stat(pid: str) -> list[str] | None:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - the quickest
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None
