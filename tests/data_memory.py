"""Runs `aha data` in a process of its own and says how much memory it took at most, and how long."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

# A process counts the memory of the one it was forked from, and that of the tests is large: a small one is between.
RUNNER = """
import json, os, sys
place, *words = sys.argv[1:]
process = os.fork()
if not process:
    os.execv(sys.executable, [sys.executable, "-m", "ahalab.cli", "data", *words])
_, status, usage = os.wait4(process, 0)
with open(place, "w") as file:
    code, cpu = os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
    json.dump({"code": code, "kilobytes": usage.ru_maxrss, "cpu": cpu}, file)
"""


@dataclass(frozen=True)
class Run:
    """One finished command."""

    out: str
    megabytes: float
    """Resident memory at its peak, as the kernel counted it."""
    seconds: float
    cpu_seconds: float
    """Processor time: what a busy machine does not change."""


def run_measured(*words: object, folder: Path) -> Run:
    """`aha data WORDS`; output goes through files, so that nothing waits for a reader. Fails on any error."""
    out, err, usage = folder / "said.txt", folder / "errors.txt", folder / "usage.json"
    started = time.monotonic()
    with out.open("wb") as written, err.open("wb") as told:
        subprocess.run(
            [sys.executable, "-c", RUNNER, str(usage), *map(str, words)],
            stdout=written,
            stderr=told,
            check=True,
        )
    seconds = time.monotonic() - started
    found = json.loads(usage.read_text())
    assert found["code"] == 0, err.read_text()[-2000:]
    return Run(out.read_text(), found["kilobytes"] / 1024, seconds, found["cpu"])
