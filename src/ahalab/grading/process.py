"""The parent's side of one grader process: start, write lines, read lines with a time limit, end it."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from ahalab.errors import EnvironmentFailure
from ahalab.sandbox.settings import SandboxSettings

# -P: a file named sympy.py in the working directory must not be imported.
COMMAND = (sys.executable, "-P", "-m", "ahalab.grading.worker")
START_SECONDS = 120.0
_CHUNK = 65536


class WorkerDied(Exception):
    """The process ended without answering."""

    def __init__(self, returncode: int) -> None:
        super().__init__(f"ended with {returncode}")
        self.returncode = returncode


class WorkerProcess:
    """A running `python -m ahalab.grading.worker`, which runs programs, if it must, as `sandbox` says.

    Raises:
        EnvironmentFailure: it did not start; carries what it wrote to stderr.
    """

    def __init__(
        self,
        cpu_seconds: float,
        wall_seconds: float,
        memory_megabytes: int,
        sandbox: SandboxSettings | None = None,
    ) -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        limits = {
            "--cpu-seconds": f"{cpu_seconds:g}",
            "--wall-seconds": f"{wall_seconds + 10:g}",
            "--memory-megabytes": f"{memory_megabytes}",
        }
        # An own process group: Ctrl-C reaches the parent only, also while the worker is still starting.
        self._process = subprocess.Popen(
            [*COMMAND, *(part for item in limits.items() for part in item)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=_environment(sandbox or SandboxSettings.from_environment()),
            process_group=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in = self._process.stdin.fileno()
        self._out = self._process.stdout.fileno()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._out, selectors.EVENT_READ)
        self._buffer = bytearray()
        try:
            self.read(START_SECONDS)
        except (WorkerDied, TimeoutError) as error:
            self.kill()
            raise EnvironmentFailure(
                f"a grader process could not be started ({error}): {self._complaint() or 'it wrote nothing'}"
            ) from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def write(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Send messages, one line each.

        Raises:
            WorkerDied: the process is gone.
        """
        data = b"".join(json.dumps(message).encode() + b"\n" for message in messages)
        try:
            while data:
                data = data[os.write(self._in, data) :]
        except OSError as error:
            raise WorkerDied(self._returncode()) from error

    def read(self, seconds: float) -> dict[str, Any]:
        """The next reply.

        Raises:
            WorkerDied: the process ended first.
            TimeoutError: no reply within `seconds`.
        """
        deadline = time.monotonic() + seconds
        while (end := self._buffer.find(b"\n")) < 0:
            left = deadline - time.monotonic()
            if left <= 0 or not self._selector.select(left):
                raise TimeoutError(f"no reply within {seconds:g} s")
            chunk = os.read(self._out, _CHUNK)
            if not chunk:
                raise WorkerDied(self._returncode())
            self._buffer += chunk
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        reply: dict[str, Any] = json.loads(line)
        return reply

    def kill(self) -> None:
        """End the process at once. Harmless when it has ended."""
        self._process.kill()

    def close(self) -> None:
        """Close its stdin, which ends an idle process; kill it if that does not help. Frees all resources."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._selector.close()
        self._process.stdout.close()
        self._stderr.close()

    def _returncode(self) -> int:
        try:
            return self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:  # it closed its end of the pipe but lives on
            self._process.kill()
            return self._process.wait()

    def _complaint(self) -> str:
        self._process.wait()
        self._stderr.seek(0)
        return self._stderr.read()[-2000:].decode(errors="replace").strip()


def died_of(returncode: int) -> str:
    """A process's end in words: "signal SIGSEGV" or "exit code 3"."""
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return f"signal {signal.Signals(-returncode).name}"
    except ValueError:
        return f"signal {-returncode}"


def _environment(sandbox: SandboxSettings) -> dict[str, str]:
    # sympy orders by hash in places: a fixed hash seed makes verdicts the same in every process.
    fixed = {"PYTHONHASHSEED": "0", "PYTHONUTF8": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return {**os.environ, **fixed, **sandbox.to_environment()}
