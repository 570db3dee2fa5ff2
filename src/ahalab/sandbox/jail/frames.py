"""Messages between the caller and the keeper, and from there to a run: a JSON header and the blobs it counts."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from typing import Any

_LENGTH = struct.Struct("!I")

ReadExactly = Callable[[int], bytes]
"""The next so many bytes; EOFError where the stream ends."""


def pack(header: dict[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    """The key "blobs" of the header is set here: the length of each."""
    text = json.dumps({**header, "blobs": [len(blob) for blob in blobs]}).encode()
    return b"".join([_LENGTH.pack(len(text)), text, *blobs])


def read_header(read_exactly: ReadExactly) -> dict[str, Any]:
    """The header alone, with "blobs"; the stream is then at the first blob."""
    (length,) = _LENGTH.unpack(read_exactly(_LENGTH.size))
    header: dict[str, Any] = json.loads(read_exactly(length))
    return header


def read(read_exactly: ReadExactly) -> tuple[dict[str, Any], list[bytes]]:
    """One message."""
    header = read_header(read_exactly)
    return header, [read_exactly(size) for size in header["blobs"]]
