"""Starts `aha` in processes of its own, kills it, and compares what is left."""

from __future__ import annotations

import os
import platform
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

RESULTS = Path(__file__).parent.parent / "docs" / "results"


def start(arguments: list[str], kill_at: str | None = None) -> subprocess.Popen[str]:
    """`aha ARGUMENTS` in the background; `kill_at` names a fault point and its pass ("grading:3")."""
    environment = {key: value for key, value in os.environ.items() if key != "AHALAB_KILL_AT"}
    if kill_at is not None:
        environment["AHALAB_KILL_AT"] = kill_at
    return subprocess.Popen(
        [sys.executable, "-m", "ahalab.cli", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish(arguments: list[str]) -> str:
    """Run to the end; the output. Fails the test when the exit code is not 0."""
    process = start(arguments)
    text, _ = process.communicate()
    assert process.returncode == 0, text
    return text


def kill_after(process: subprocess.Popen[str], seconds: float) -> bool:
    """SIGKILL the whole process group after `seconds`; False when it had ended by itself."""
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return True
    return False


def write_result(name: str, command: str, lines: list[str]) -> None:
    """Keep a proof's last result under docs/results, with date, hardware and command."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    processor = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    head = [
        f"# {name}",
        "",
        f"- date: {time.strftime('%Y-%m-%d')}",
        f"- hardware: {processor}, {os.cpu_count()} cores (shared)",
        f"- command: `{command}`",
        "",
    ]
    (RESULTS / f"{name}.md").write_text("\n".join([*head, *lines, ""]), encoding="utf-8")


def moments(count: int, low: float, high: float, seed: int) -> list[float]:
    """Seconds after which to kill."""
    rng = random.Random(seed)
    return [rng.uniform(low, high) for _ in range(count)]
