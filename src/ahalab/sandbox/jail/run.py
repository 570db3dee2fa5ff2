"""One run, seen from the keeper: hand the descriptors over, read the output, watch, end it, count."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ahalab.sandbox.jail import frames, walls, watch
from ahalab.sandbox.jail.source import Source

LOOK_SECONDS = 0.05
"""Between two looks at processes, memory and CPU time. Most runs end before the first."""
_SETUP_SECONDS = 30.0
"""On a busy machine it may take a while until the program starts: that is not its own time."""
_SLACK_BYTES = 32 * 2**20
"""A run's processes together may go so far beyond the memory limit of one before they are ended."""
_PATIENCE_SECONDS = 2.0
"""Without walls, the house has so long to end what the program left."""
_REPORT_BYTES = 10_000
_PAGE = 4096
_FOLDERS_BYTES = 16 * _PAGE
_CHUNK = 65536


class CallerGone(Exception):
    """The caller ended; so must the run."""


class Run:
    """Started when made.

    Attributes:
        stdout, stderr: what the program wrote, cut at the limit.
        artifact: what a compiler made; empty without one.
        facts: for the caller, complete after `follow`: "killed" (why the keeper ended it: "output", "cpu", "wall",
            "memory", or None), "started", "uncompiled", "failure", "wait" (wait status or None), "wall_seconds",
            "cpu_seconds", "resident_bytes", "full_house" (it had all the processes it may have).
    """

    def __init__(
        self,
        source: Source,
        header: dict[str, Any],
        blobs: list[bytes],
        *,
        walled: bool,
        shared_bytes: int,
    ) -> None:
        self._source, self._walled, self._shared_bytes = source, walled, shared_bytes
        self._limits: dict[str, Any] = header["plan"]["limits"]
        self.stdout, self.stderr, self.artifact = bytearray(), bytearray(), b""
        self._status = bytearray()
        self.facts: dict[str, Any] = {"killed": None, "full_house": False}
        self._resident = 0
        self._killed_at = 0.0
        self._cpu_seconds = 0.0
        self._open: set[int] = set()
        self._folder = None if walled else tempfile.mkdtemp(prefix="ahalab-run-")
        self._handle = -1
        self._artifact = -1
        self._began = time.monotonic()
        self._started = 0.0
        try:
            self._begin(header["plan"], blobs, wants_artifact=header["artifact"])
        except BaseException:
            self.close()
            raise

    def _begin(self, plan: dict[str, Any], blobs: list[bytes], *, wants_artifact: bool) -> None:
        texts = [plan["source"], *plan["files"].values()]
        sizes = [*map(len, blobs), *(len(text.encode("utf-8", "replace")) for text in texts)]
        own = sum(size // _PAGE + 1 for size in sizes) * _PAGE  # what we lay out there is not the program's
        plan["tmpfs_bytes"] = self._limits["file_megabytes"] * 2**20 + own + _FOLDERS_BYTES
        plan["folder"] = self._folder or walls.RUN
        payload = self._file(frames.pack(plan, blobs))
        self._out, out = self._pipe()
        self._err, err = self._pipe()
        self._tell, tell = self._pipe()
        handed = [payload, out, err, tell]
        if wants_artifact:
            self._artifact = self._file(b"")
            handed.append(self._artifact)
        self._house, self._handle = self._source.begin(handed, plan["tmpfs_bytes"])
        if self._handle >= 0:
            self._open.add(self._handle)
        for descriptor in (payload, out, err, tell):
            self._close(descriptor)

    def follow(self, caller: tuple[int, ...]) -> None:
        """Until everything the run started has ended.

        Raises:
            CallerGone: one of the descriptors `caller` says so.
        """
        poll = select.poll()
        streams = {self._out: self.stdout, self._err: self.stderr, self._tell: self._status}
        for descriptor in streams:
            poll.register(descriptor, select.POLLIN)
        # With walls: the init of the run's namespace has ended, and with it every process. Else: the house has.
        done = self._handle if self._walled else self._tell
        if self._walled:
            poll.register(done, select.POLLIN)
        for descriptor in caller:
            poll.register(descriptor, 0 if descriptor == 0 else select.POLLIN)
        looker = watch.Watch(self._house)
        next_look = self._began + LOOK_SECONDS
        ended = False
        while not ended:
            now = time.monotonic()
            if now >= next_look:
                self._look(looker, now)
                next_look = now + LOOK_SECONDS
            for descriptor, _ in poll.poll(max(1, int((next_look - time.monotonic()) * 1000))):
                if descriptor in caller:
                    raise CallerGone
                if descriptor in streams and not self._read(descriptor, streams[descriptor]):
                    poll.unregister(descriptor)
                    ended = ended or descriptor == done
                elif descriptor == done and self._walled:
                    ended = True
        self.facts["wall_seconds"] = time.monotonic() - (self._started or self._began)
        for descriptor, into in streams.items():
            os.set_blocking(descriptor, False)
            with suppress(BlockingIOError):
                while self._read(descriptor, into):
                    pass
        self._count()

    def close(self) -> None:
        """Give everything back."""
        for descriptor in list(self._open):
            self._close(descriptor)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _read(self, descriptor: int, into: bytearray) -> bool:
        """Take what is there. False at the end of the stream."""
        data = os.read(descriptor, _CHUNK)
        room = (_REPORT_BYTES if into is self._status else self._limits["output_bytes"]) - len(into)
        into += data[:room]
        if into is self._status and not self._started:
            self._started = time.monotonic()  # its first word: the program starts
        if len(data) > room:
            self._kill("output")
        return bool(data)

    def _look(self, looker: watch.Watch, now: float) -> None:
        if now - self._began > _SETUP_SECONDS and not self._started:
            self._kill("wall")
        if self._started and now - self._started > self._limits["wall_seconds"]:
            self._kill("wall")
        try:
            usage = looker.look()
        except OSError:  # no /proc: the kernel's own limits, per process, and the clock remain
            return
        # Every process of a warm run shares what the zygote holds.
        own = sum(max(0, size - self._shared_bytes) for size in usage.resident_bytes)
        self._resident = max(self._resident, own + self._shared_bytes)
        self._cpu_seconds = usage.cpu_seconds
        if own > self._limits["memory_megabytes"] * 2**20 + _SLACK_BYTES:
            self._kill("memory")
        if usage.cpu_seconds > self._limits["cpu_seconds"]:
            self._kill("cpu")
        if usage.tasks >= self._limits["processes"]:
            self.facts["full_house"] = True
        if usage.tasks > self._limits["processes"] and not self._walled:
            self._kill("processes")

    def _kill(self, why: str) -> None:
        self.facts["killed"] = self.facts["killed"] or why
        self._killed_at = self._killed_at or time.monotonic()
        with suppress(ProcessLookupError):
            if self._walled:
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            else:
                patient = time.monotonic() - self._killed_at < _PATIENCE_SECONDS
                os.kill(self._house, signal.SIGTERM if patient else signal.SIGKILL)

    def _count(self) -> None:
        # The kernel does not add up for us what it ends together with a namespace: then the last look has to do.
        total = self._source.used()
        lines = bytes(self._status).split(b"\n")
        report = next((json.loads(line) for line in lines if line.startswith(b"{")), None)
        failure = next((line[1:].decode(errors="replace") for line in lines if line.startswith(b"F")), None)
        self.facts |= {
            "started": b"S" in lines,
            "uncompiled": b"C" in lines,
            "failure": failure,
            "wait": report and report["wait"],
            "cpu_seconds": max(self._cpu_seconds, total - (report["own_cpu"] if report else 0.0)),
            "resident_bytes": max(self._resident, report["rss"] * 1024 if report else 0),
        }
        if self._artifact >= 0:
            size = os.fstat(self._artifact).st_size
            self.artifact = os.pread(self._artifact, size, 0)

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self._open |= set(ends)
        return ends

    def _file(self, data: bytes) -> int:
        """A file without a name that holds `data`."""
        if hasattr(os, "memfd_create"):
            descriptor = os.memfd_create("run", os.MFD_CLOEXEC)
        else:
            descriptor, path = tempfile.mkstemp()
            Path(path).unlink()
        self._open.add(descriptor)
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        return descriptor

    def _close(self, descriptor: int) -> None:
        self._open.discard(descriptor)
        os.close(descriptor)
