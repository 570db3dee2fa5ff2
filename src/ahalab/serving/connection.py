"""A connection of the server: uvicorn's own, with an end to what it would wait for and keep without one.

uvicorn bounds neither the length of a request's head nor the time that it may take, a connection that says nothing
stays open for ever, and so does one that is to be closed while its client takes nothing. A proxy in front may have such
bounds; a gateway without one must have them itself.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ahalab.serving.errors import Refusal, encoded

HEAD_BYTES = 65_536
"""Of request line and headers; what has come by then is dropped."""
HEAD_SECONDS = 20.0
"""From the first byte of a request, or from the connection on, to the end of its head."""

CLOSING_SECONDS = 30.0
"""For a client to take what was written, when the connection is to end."""


class _Transport:
    """A transport whose end waits no longer than so for what its client does not take."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self._transport, self._loop, self._seconds = transport, loop, seconds
        self.write, self.is_closing = transport.write, transport.is_closing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def close(self) -> None:
        """What was written still goes out, if the client takes it."""
        if not self.is_closing() and self._transport.get_write_buffer_size():
            self._loop.call_later(self._seconds, self._transport.abort)
        self._transport.close()


class Connection(HttpToolsProtocol):
    """`uvicorn.Config(http=Connection)`."""

    head_seconds = HEAD_SECONDS
    closing_seconds = CLOSING_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come."""
        super().connection_made(_Transport(transport, self.loop, self.closing_seconds))  # type: ignore[arg-type]
        self._in_head, self._head_bytes = True, 0
        self._ended = self._begun = False
        self._due: asyncio.TimerHandle | None = self.loop.call_later(self.head_seconds, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes of a client. A request that came whole costs nothing more than before."""
        self._ended, self._coming = False, len(data)
        super().data_received(data)
        if not self._in_head or self.transport.is_closing():
            return
        if not self._ended:  # else most of these bytes were the end of a body
            self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES:
            words = f"The request's head has more than the {HEAD_BYTES} bytes that are taken."
            self._refuse(Refusal(431, words, "headers_too_large"))
        elif self._due is None and (self._begun or not self._ended):
            self._due = self.loop.call_later(self.head_seconds, self._too_slow)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._begun = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is whole. One that came whole but too long is refused by uvicorn as it refuses what is no HTTP."""
        self._in_head = False
        if self._head_bytes + self._coming > HEAD_BYTES:  # of which the body may be the most
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > HEAD_BYTES:
                raise ValueError(size)
        self._wait_no_more()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole; what comes now is the head of the next one."""
        self._in_head, self._head_bytes = True, 0
        self._ended, self._begun = True, False
        super().on_message_complete()

    def _too_slow(self) -> None:
        self._due = None
        if self._answering():  # the head of a next request, behind a reply that may take long
            self._due = self.loop.call_later(self.head_seconds, self._too_slow)
        elif self._begun:
            words = f"The request's head did not arrive within {self.head_seconds:g} seconds."
            self._refuse(Refusal(408, words, "request_timeout"))
        else:
            self.transport.close()

    def _refuse(self, error: Refusal) -> None:
        self._wait_no_more()
        if not self._answering():  # else it would stand in the middle of a reply
            body = encoded(error.body())
            head = (
                f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\ncontent-type: application/json\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode("ascii") + body)
        self.transport.close()

    def _answering(self) -> bool:
        cycle: Any = self.cycle
        return cycle is not None and not cycle.response_complete

    def _wait_no_more(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None
