"""A server on 127.0.0.1 inside the test's own event loop that streams what a test tells it, byte for byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from ahalab.endpoints.config import EndpointConfig

EVENTS = {"Content-Type": "text/event-stream"}


@dataclass(frozen=True)
class Sent:
    """What the server does with one request: parts of the body, a number being a pause in seconds."""

    parts: Sequence[bytes | float] = ()
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: dict(EVENTS))
    whole: bool = True
    """Ends the body properly; else the connection breaks off."""
    first: float = 0.0
    """Seconds before the head."""


def event(value: Any) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()


def delta(finish: str | None = None, **said: Any) -> bytes:
    """One chunk as servers send it."""
    return event({"choices": [{"index": 0, "delta": said, "finish_reason": finish}], "usage": None})


def usage(tokens_in: int, tokens_out: int) -> bytes:
    told = {"prompt_tokens": tokens_in, "completion_tokens": tokens_out}
    return event({"object": "chat.completion.chunk", "choices": [], "usage": told})


DONE = b"data: [DONE]\n\n"


def streamed(*parts: bytes | float, **how: Any) -> Sent:
    return Sent(parts, **how)


def plain(value: Any, status: int = 200, **headers: str) -> Sent:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Sent([json.dumps(value).encode()], status, {"Content-Type": "application/json", **named})


Script = Sequence[Sent] | Callable[[dict[str, Any]], Sent]
"""In the order of requests (the last one again and again), or a function of the request's body."""


class StreamServer:
    """Serves while the `async with` block lasts."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.bodies: list[dict[str, Any]] = []
        self.heads: list[str] = []
        self.connections = 0
        self.gone = asyncio.Event()
        """The client left before its reply was whole."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", 0, limit=1 << 24)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()

    def config(self, **changes: Any) -> EndpointConfig:
        return EndpointConfig(**{"url": self.url, "model": "fake", "timeout_seconds": 20.0, **changes})

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                size = int(head.lower().split("content-length:")[1].split("\r\n")[0])
                body = json.loads(await reader.readexactly(size))
                number = len(self.bodies)
                self.bodies.append(body)
                self.heads.append(head)
                made = self.script(body) if callable(self.script) else None
                sent = made or self.script[min(number, len(self.script) - 1)]  # type: ignore[index]
                leaving = asyncio.ensure_future(reader.read(1))
                try:
                    await self._answer(sent, writer, leaving)
                finally:
                    leaving.cancel()
                    await asyncio.gather(leaving, return_exceptions=True)
                if not sent.whole:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, sent: Sent, writer: asyncio.StreamWriter, leaving: asyncio.Future[bytes]) -> None:
        await self._pause(sent.first, leaving)
        head = "".join(f"{name}: {text}\r\n" for name, text in sent.headers.items())
        writer.write(f"HTTP/1.1 {sent.status} X\r\n{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        for part in sent.parts:
            if isinstance(part, float):
                await self._pause(part, leaving)
            elif part:
                writer.write(b"%x\r\n%b\r\n" % (len(part), part))
                await writer.drain()
        if sent.whole:
            writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _pause(self, seconds: float, leaving: asyncio.Future[bytes]) -> None:
        if seconds:
            await asyncio.wait({leaving}, timeout=seconds)
            if leaving.done():
                self.gone.set()
                raise ConnectionResetError
