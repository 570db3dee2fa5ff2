"""The caller's side of one keeper: start it, ask it to run something, end it."""

from __future__ import annotations

import os
import selectors
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import ahalab
from ahalab.sandbox.jail import frames
from ahalab.sandbox.jail.walls import Root
from ahalab.sandbox.root import interpreter

START_SECONDS = 60.0
_CODE = str(Path(ahalab.__file__).parent.parent)
# No site, no user's site, no working directory on the path; UTF-8. The environment is empty, as -E would have it.
_COMMAND = (
    "-S",
    "-s",
    "-P",
    "-B",
    "-X",
    "utf8",
    "-c",
    "import sys; sys.path.append(sys.argv[1]); from ahalab.sandbox.jail.keeper import main; main(sys.argv[1])",
)
NOTHING = Root([], [], {})
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONHASHSEED": "0"}


class KeeperDied(Exception):
    """The keeper ended, or did not answer in time; it is gone now."""


class Refused(Exception):
    """The keeper cannot do this here; says why."""


class Keeper:
    """A running keeper, with its walls and its warm interpreter.

    Args:
        kind: of walls (`jail.walls.OWN` …).
        root: what is visible within them.
        program_filter: the system-call filter.
        bwrap: the path of bubblewrap, for its kind of walls.

    Raises:
        Refused: the walls cannot be built here.
        KeeperDied: it did not start.
    """

    def __init__(self, kind: str, root: Root = NOTHING, program_filter: bytes = b"", bwrap: str = "") -> None:
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        # A session of its own: Ctrl-C is the caller's to handle.
        self._process = subprocess.Popen(
            [interpreter(), *_COMMAND, _CODE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=_ENVIRONMENT,
            cwd="/",
            bufsize=0,
            start_new_session=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        os.set_blocking(self._in.fileno(), False)
        self._selector = selectors.DefaultSelector()
        header = {"op": "start", "caller": os.getpid(), "walls": kind, "root": root._asdict(), "bwrap": bwrap}
        try:
            self.ask(header, [program_filter], START_SECONDS)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(
        self, header: dict[str, Any], blobs: list[bytes], seconds: float
    ) -> tuple[dict[str, Any], list[bytes]]:
        """One question and its answer.

        Raises:
            Refused: the answer is a failure.
            KeeperDied: no answer within `seconds`. An exception on the way leaves the keeper unusable: close it.
        """
        deadline = time.monotonic() + seconds
        self._send(frames.pack(header, blobs), deadline)

        def exactly(count: int) -> bytes:
            data = bytearray()
            while len(data) < count:
                self._wait(self._out.fileno(), selectors.EVENT_READ, deadline)
                piece = os.read(self._out.fileno(), min(count - len(data), 2**20))
                if not piece:
                    raise KeeperDied(f"the sandbox's keeper ended: {self._complaint()}")
                data += piece
            return bytes(data)

        answer, parts = frames.read(exactly)
        if "failure" in answer and "started" not in answer:
            raise Refused(answer["failure"])
        return answer, parts

    def close(self) -> None:
        """End it and everything within. Twice is fine."""
        with suppress(OSError):
            self._in.close()  # it ends by itself, and takes its descendants with it
        try:
            self._process.wait(timeout=2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._selector.close()
        self._out.close()
        self._stderr.close()

    def _send(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        while view:
            self._wait(self._in.fileno(), selectors.EVENT_WRITE, deadline)
            try:
                view = view[os.write(self._in.fileno(), view) :]
            except BlockingIOError:
                continue
            except OSError:
                raise KeeperDied(f"the sandbox's keeper ended: {self._complaint()}") from None

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        left = deadline - time.monotonic()
        self._selector.register(descriptor, event)
        try:
            if left <= 0 or not self._selector.select(left):
                raise KeeperDied("the sandbox's keeper did not answer in time")
        finally:
            self._selector.unregister(descriptor)

    def _complaint(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=2.0)
        self._stderr.seek(0)
        return self._stderr.read()[-1000:].decode(errors="replace").strip() or "it wrote nothing"
