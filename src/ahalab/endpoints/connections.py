"""Connections of the asynchronous client: one each, in a free list.

A pool of httpcore walks through all of its connections for every request: with 300 idle ones a request took 6.3 ms of
CPU instead of 0.9 (measured here), which a gateway with hundreds of open streams cannot spend. Here every connection
is a transport of its own, and taking one is one step.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from functools import lru_cache

import httpx2

MOST_IDLE = 64
"""Connections kept open without a request; the last used serves first, so the others get old and are closed."""
IDLE_SECONDS = 5.0
"""As httpx has it: servers close an idle connection soon, and a request on it would fail."""


class Connections(httpx2.AsyncBaseTransport):
    """A transport whose requests wait for a place among `most`, or for none."""

    def __init__(self, most: int | None = None) -> None:
        self._places = asyncio.Semaphore(most) if most else None
        self._idle: list[httpx2.AsyncHTTPTransport] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """See `httpx2.AsyncBaseTransport`."""
        if self._places is not None:
            await self._places.acquire()
        transport = self._idle.pop() if self._idle else _one_connection(request.url.scheme)
        try:
            response = await transport.handle_async_request(request)
        except BaseException:
            await self._back(transport)
            raise
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _Lent(response.stream, self, transport)
        return response

    async def back(self, transport: httpx2.AsyncHTTPTransport) -> None:
        """A response was closed: its connection is free, or closed itself and made anew when it is used."""
        await self._back(transport)

    async def aclose(self) -> None:
        """See `httpx2.AsyncBaseTransport`."""
        idle, self._idle = self._idle, []
        for transport in idle:
            await transport.aclose()

    async def _back(self, transport: httpx2.AsyncHTTPTransport) -> None:
        if self._places is not None:
            self._places.release()
        self._idle.append(transport)
        if len(self._idle) > MOST_IDLE:
            await self._idle.pop(0).aclose()


class _Lent(httpx2.AsyncByteStream):
    """A response's body, which gives its connection back when it is closed."""

    def __init__(
        self, stream: httpx2.AsyncByteStream, home: Connections, transport: httpx2.AsyncHTTPTransport
    ) -> None:
        self._stream, self._home, self._transport = stream, home, transport
        self._closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream.__aiter__()

    async def aclose(self) -> None:
        """See `httpx2.AsyncByteStream`."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._stream.aclose()
        finally:
            await self._home.back(self._transport)


def _one_connection(scheme: str) -> httpx2.AsyncHTTPTransport:
    limits = httpx2.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=IDLE_SECONDS)
    # Making a context takes some 10 ms, for plain http too: one is enough.
    return httpx2.AsyncHTTPTransport(verify=_context() if scheme == "https" else _no_context(), limits=limits)


@lru_cache(maxsize=1)
def _context() -> ssl.SSLContext:
    return httpx2.create_ssl_context()


@lru_cache(maxsize=1)
def _no_context() -> ssl.SSLContext:
    """For connections that never use it."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
