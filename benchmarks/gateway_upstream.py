"""An upstream of scripted latency, as cheap as can be: raw HTTP/1.1 over asyncio, the same bytes for everybody.

    python gateway_upstream.py FIRST_MS PIECES PIECE_MS

Prints its port. The last message of a request may say other figures: `@FIRST_MS,PIECES,PIECE_MS`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys

_TOLD = re.compile(rb"@(\d+),(\d+),(\d+)")
_CHUNK = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
_WORDS = " a few harmless words"


def _event(delta: dict[str, str], finish: str | None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    data = b"data: " + json.dumps({**_CHUNK, "choices": [choice]}).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


PIECE = _event({"content": _WORDS}, None)
LAST = _event({}, "stop") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def whole(pieces: int) -> bytes:
    """A reply in one piece."""
    message = {"role": "assistant", "content": _WORDS * pieces}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    body = json.dumps({**_CHUNK, "object": "chat.completion", "choices": [choice]}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )


async def until(due: float) -> None:
    """Wait for a moment of the loop's clock."""
    await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))


class Upstream:
    """Serves every connection of one process."""

    def __init__(self, first: float, pieces: int, each: float) -> None:
        self._script = (first, pieces, each)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Requests of one connection until it ends."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                told = re.search(rb"content-length: *(\d+)", head)
                body = await reader.readexactly(int(told[1])) if told else b""
                found = _TOLD.search(body)
                first, pieces, each = (
                    (int(found[1]) / 1e3, int(found[2]), int(found[3]) / 1e3) if found else self._script
                )
                due = loop.time() + first  # of each piece: the script is kept, however busy the machine is
                if re.search(rb'"stream": *true', body):
                    await until(due)
                    writer.write(STREAM + PIECE)
                    for number in range(1, pieces):
                        await until(due + number * each)
                        writer.write(PIECE)
                    writer.write(LAST)
                else:
                    await until(due + each * (pieces - 1))
                    writer.write(whole(pieces))
                await writer.drain()
        writer.close()


async def main() -> None:
    first, pieces, each = sys.argv[1:]
    upstream = Upstream(float(first) / 1e3, int(pieces), float(each) / 1e3)
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
