"""The line between keeper and zygote: short lines, with descriptors beside them. Never a byte of a run's data."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence

READY, SEPARATED, MAPPED, RUN, WAIT = b"ready", b"separated", b"mapped", b"run", b"wait"
FAILED = b"failed: "


class Closed(Exception):
    """The other end is gone."""


class Line:
    """One end. Each line is answered by one line, so that there is never more than one on the way."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def fileno(self) -> int:
        return self._end.fileno()

    def close(self) -> None:
        self._end.close()

    def say(self, line: bytes, descriptors: Sequence[int] = ()) -> None:
        """Closed: nobody listens."""
        data = line.replace(b"\n", b" ") + b"\n"
        try:
            if descriptors:
                socket.send_fds(self._end, [data], list(descriptors))
            else:
                self._end.sendall(data)
        except OSError as error:
            raise Closed from error

    def hear(self) -> tuple[bytes, list[int]]:
        """The next line and the descriptors that came with it. Closed: the other end has ended."""
        data, descriptors = b"", list[int]()
        while not data.endswith(b"\n"):
            try:
                piece, came, _, _ = socket.recv_fds(self._end, 4096, 8)
            except OSError as error:
                raise Closed from error
            descriptors += came
            if not piece:
                for descriptor in descriptors:
                    os.close(descriptor)
                raise Closed
            data += piece
        return data[:-1], descriptors


def pair() -> tuple[Line, Line]:
    """Two ends."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    return Line(one), Line(other)
