"""Who runs programs in `sandbox`: ours, and the plain way without any wall."""

from __future__ import annotations

import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from ahalab.sandbox import pool, root
from ahalab.sandbox.local import LocalExecutor
from ahalab.sandbox.pool import ExecutorPool, Job
from ahalab.sandbox.records import Limits, Program, SandboxFailure
from ahalab.sandbox.settings import SandboxSettings

SOURCE = "print(int(input()) * 2)"


class Sandbox:
    """A pool; `warm=False` builds walls and interpreter anew for each run."""

    def __init__(self, runs: int, workers: int, warm: bool) -> None:
        self._runs = runs
        if not warm:
            pool.open_executor = lambda _settings: LocalExecutor(warm=False)
        self._pool = ExecutorPool(SandboxSettings(), workers)

    def describe(self) -> dict[str, Any]:
        return {}

    def run(self, number: int) -> dict[str, Any]:
        jobs = [Job(Program("python", SOURCE), [str(number + n)], Limits()) for n in range(self._runs)]
        wrong = 0
        for n, result in enumerate(self._pool.map(jobs)):
            wrong += isinstance(result, SandboxFailure) or result[0].stdout != f"{2 * (number + n)}\n"
        return {"programs": self._runs, "wrong": wrong}

    def close(self) -> None:
        self._pool.close()


class Plain:
    """`subprocess.run` over threads."""

    def __init__(self, runs: int, workers: int) -> None:
        self._runs, self._workers = runs, workers
        self._folder = tempfile.TemporaryDirectory()
        self._path = Path(self._folder.name) / "main.py"
        self._path.write_text(SOURCE)

    def describe(self) -> dict[str, Any]:
        return {}

    def run(self, number: int) -> dict[str, Any]:
        with ThreadPoolExecutor(self._workers) as threads:
            texts = list(threads.map(self._one, range(number, number + self._runs)))
        wrong = sum(text != f"{2 * (number + n)}\n" for n, text in enumerate(texts))
        return {"programs": self._runs, "wrong": wrong}

    def close(self) -> None:
        self._folder.cleanup()

    def _one(self, value: int) -> str:
        command = [root.interpreter(), "-I", str(self._path)]
        return subprocess.run(command, input=str(value), capture_output=True, text=True, check=False).stdout
