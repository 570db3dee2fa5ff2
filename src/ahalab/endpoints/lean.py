"""A transport of httpx2 for one server and many short requests: HTTP/1.1 over asyncio's streams, connections kept.

The pool of httpx2's own transport looks at every connection for every request, and each layer of it costs; in front of
live traffic that is most of what a gateway adds. This one does what an OpenAI-compatible server needs and no more: no
HTTP/2, no proxy, no redirects, no compression.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import NoReturn

import httpx2

MOST_HEAD = 65_536
"""Bytes of a status line with its headers."""
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: [^\r\n]*)?")
_HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\x00]*?)[ \t]*")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[^\r\n]*)?\r?\n")
_READ = 65_536
Place = tuple[bool, str, int]


class _Connection:
    """One connection: a request at a time."""

    def __init__(self, place: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.place, self.reader, self.writer = place, reader, writer

    @property
    def usable(self) -> bool:
        """Whether it is open, and nothing came that nobody asked for."""
        buffered = bool(getattr(self.reader, "_buffer", b""))
        return not (self.reader.at_eof() or buffered or self.writer.is_closing())

    def close(self) -> None:
        """At once: what is still to come is of no use."""
        self.writer.transport.abort()


class LeanTransport(httpx2.AsyncBaseTransport):
    """For one event loop.

    Args:
        most: requests under way; more wait. None: no limit.
        idle: most connections kept open without a request.
    """

    def __init__(self, most: int | None = None, idle: int = 64) -> None:
        self._places = asyncio.Semaphore(most) if most else None
        self._idle: dict[Place, deque[_Connection]] = {}
        self._most_idle = idle
        self._context: ssl.SSLContext | None = None
        self._closed = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One exchange. Raises the errors of httpx2."""
        if self._places is None:
            return await self._exchange(request, _nothing)
        await self._places.acquire()
        try:
            return await self._exchange(request, self._places.release)
        except BaseException:
            self._places.release()
            raise

    async def _exchange(self, request: httpx2.Request, done: Callable[[], None]) -> httpx2.Response:
        url = request.url
        secure = url.scheme == "https"
        place = (secure, url.host, url.port or (443 if secure else 80))
        head = _head(request)
        body = await request.aread()
        while True:
            connection, kept = await self._connection(
                place, request.extensions.get("timeout", {}).get("connect")
            )
            try:
                connection.writer.write(head + body)
                await connection.writer.drain()
                status, headers = await _read_head(connection.reader)
            except BaseException as error:
                connection.close()
                if kept and isinstance(error, _Unanswered | ConnectionError):
                    continue  # the server closed it while it lay idle, and never saw the request
                _explain(error)
            stream = _Body(self, connection, headers, status, done)
            return httpx2.Response(status, headers=headers, stream=stream, request=request)

    async def aclose(self) -> None:
        """Close what is idle; what is busy closes when it is done."""
        self._closed = True
        for waiting in self._idle.values():
            for connection in waiting:
                connection.close()
        self._idle.clear()

    def give_back(self, connection: _Connection) -> None:
        """A connection whose exchange is whole."""
        waiting = self._idle.setdefault(connection.place, deque())
        if self._closed or len(waiting) >= self._most_idle or not connection.usable:
            connection.close()
        else:
            waiting.append(connection)

    async def _connection(self, place: Place, seconds: float | None) -> tuple[_Connection, bool]:
        waiting = self._idle.get(place)
        while waiting:
            connection = waiting.pop()  # the one used last: the others may time out
            if connection.usable:
                return connection, True
            connection.close()
        secure, host, port = place
        if secure and self._context is None:
            self._context = httpx2.create_ssl_context()
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_connection(
                    host, port, ssl=self._context if secure else None, limit=MOST_HEAD
                )
        except TimeoutError as error:
            raise httpx2.ConnectTimeout(f"no connection within {seconds} s") from error
        except (OSError, ssl.SSLError) as error:
            raise httpx2.ConnectError(str(error)) from error
        return _Connection(place, reader, writer), False


class _Unanswered(Exception):
    """The connection ended before a byte of an answer."""


class _Body(httpx2.AsyncByteStream):
    """The body as it comes. Read to its end it gives the connection back; left early it closes it."""

    def __init__(
        self,
        transport: LeanTransport,
        connection: _Connection,
        headers: list[tuple[bytes, bytes]],
        status: int,
        done: Callable[[], None],
    ) -> None:
        self._done = done
        self._transport = transport
        self._connection: _Connection | None = connection
        named = {name.lower(): value for name, value in headers}
        self._keep = named.get(b"connection", b"").lower() != b"close"
        coding, length = named.get(b"transfer-encoding"), named.get(b"content-length")
        self._chunked = coding is not None and coding.lower() == b"chunked"
        self._left: int | None = None
        if status in (204, 304):
            self._left = 0
        elif not self._chunked and coding is None and length is not None:
            if not length.isdigit() or len(length) > 15:
                connection.close()
                raise httpx2.RemoteProtocolError("a content-length that is no number")
            self._left = int(length)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        connection = self._connection
        if connection is None:
            return
        try:
            if self._chunked:
                async for chunk in _chunked(connection.reader):
                    yield chunk
            else:
                async for chunk in self._plain(connection.reader):
                    yield chunk
        except Exception as error:
            await self.aclose()
            _explain(error)
        if self._keep and (self._chunked or self._left is not None):
            self._connection = None
            self._transport.give_back(connection)
            self._done()
        else:
            await self.aclose()

    async def _plain(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        left = self._left
        while left is None or left > 0:
            chunk = await reader.read(_READ if left is None else min(left, _READ))
            if not chunk:
                if left is None:
                    return
                raise httpx2.RemoteProtocolError("the body ended before its length")
            if left is not None:
                left -= len(chunk)
            yield chunk

    async def aclose(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
            self._done()


def _nothing() -> None:
    """Nobody waits for a place."""


async def _chunked(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        line = await reader.readuntil(b"\n")
        found = _CHUNK.fullmatch(line)
        if found is None:
            raise httpx2.RemoteProtocolError("a chunk without a size")
        left = int(found[1], 16)
        if left == 0:
            size = 0
            while (await reader.readuntil(b"\n")).strip():
                size += 1
                if size > 100:
                    raise httpx2.RemoteProtocolError("too many trailers")
            return
        while left:
            chunk = await reader.read(min(left, _READ))
            if not chunk:
                raise httpx2.RemoteProtocolError("the body ended inside a chunk")
            left -= len(chunk)
            yield chunk
        if (await reader.readuntil(b"\n")).strip():
            raise httpx2.RemoteProtocolError("a chunk longer than its size")


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, list[tuple[bytes, bytes]]]:
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if not error.partial:
                raise _Unanswered from None
            raise
        first, *lines = head[:-4].split(b"\r\n")
        found = _STATUS.fullmatch(first)
        if found is None:
            raise httpx2.RemoteProtocolError("no HTTP/1 status line")
        headers = []
        for line in lines:
            header = _HEADER.fullmatch(line)
            if header is None:
                raise httpx2.RemoteProtocolError("a header that is none")
            headers.append((header[1], header[2]))
        status = int(found[1])
        if status >= 200:
            return status, headers
        if status == 101:
            raise httpx2.RemoteProtocolError("another protocol")


def _head(request: httpx2.Request) -> bytes:
    lines = [request.method.encode("ascii") + b" " + request.url.raw_path + b" HTTP/1.1\r\n"]
    lines += [name + b": " + value + b"\r\n" for name, value in request.headers.raw]
    return b"".join([*lines, b"\r\n"])


def _explain(error: BaseException) -> NoReturn:
    """Raises the error that users of httpx2 know."""
    if isinstance(error, asyncio.IncompleteReadError | _Unanswered):
        raise httpx2.RemoteProtocolError("the server closed the connection") from None
    if isinstance(error, asyncio.LimitOverrunError):
        raise httpx2.RemoteProtocolError("headers or a chunk's head are too long") from None
    if isinstance(error, OSError):
        raise httpx2.ReadError(str(error)) from error
    raise error
