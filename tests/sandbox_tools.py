"""For the sandbox's tests: an executor behind walls (or "not run"), and what is left of a run on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ahalab.sandbox.jail.watch import Watch
from ahalab.sandbox.local import LocalExecutor
from ahalab.sandbox.open import why_no_isolation
from ahalab.sandbox.records import Limits, Outcome, Program

QUICK = Limits(
    cpu_seconds=1.0,
    wall_seconds=4.0,
    memory_megabytes=128,
    processes=8,
    file_megabytes=4,
    output_bytes=100_000,
)
HELLO = Program("python", "print('hello')")
STANDING = 3
"""Processes of an idle executor: keeper, builder, zygote."""


def need_isolation(request: pytest.FixtureRequest) -> None:
    """Skip, in words that are also shown without -rs, where programs cannot be isolated."""
    reason = why_no_isolation()
    if reason is not None:
        words = f"not run: no isolation here: {reason}"
        plugins = request.config.pluginmanager
        with plugins.get_plugin("capturemanager").global_and_fixture_disabled():
            plugins.get_plugin("terminalreporter").write_line(f"\n{request.node.name}: {words}")
        pytest.skip(words)


@pytest.fixture(scope="module")
def box(request: pytest.FixtureRequest) -> Iterator[LocalExecutor]:
    """One executor behind walls for all tests of a module, as a trainer has it."""
    need_isolation(request)
    executor = LocalExecutor()
    yield executor
    executor.close()


def python(
    executor: LocalExecutor,
    source: str,
    stdin: str = "",
    limits: Limits = QUICK,
    arguments: tuple[str, ...] = (),
    files: Mapping[str, str] | None = None,
) -> Outcome:
    """One run of a Python program."""
    return next(executor.run(Program("python", source, files or {}, arguments), [stdin], limits))


def processes(executor: LocalExecutor) -> set[int]:
    """Everything under the executor's keepers, and whoever else has the user that their programs have."""
    found: set[int] = set()
    for keeper in executor.pids:
        tree = Watch(keeper).pids()
        found |= tree
        users = {owner(pid) for pid in tree} - {os.getuid(), None}
        found |= {
            int(each.name)
            for each in Path("/proc").iterdir()
            if each.name.isdigit() and owner(int(each.name)) in users
        }
    return found


def owner(pid: int) -> int | None:
    """The effective user of a process."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return int(next(line for line in lines if line.startswith("Uid:")).split()[2])


def resident_megabytes(pid: int, field: str = "VmRSS") -> float:
    """Of a process: memory now, or its peak ("VmHWM")."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{field}:")).split()[1]) / 1024
