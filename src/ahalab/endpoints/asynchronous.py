"""Chat completions of an OpenAI-compatible server, whole or streamed, for one event loop: a gateway, a reviewer.

The plain twin of `client.ChatClient`: one call is one request. It keeps nothing, tries nothing again and spends no
budget: its callers answer live traffic and decide that themselves.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, NoReturn, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from ahalab.endpoints.cache import Reply
from ahalab.endpoints.client import LARGEST_REPLY, headers_of, read_key, settings_of
from ahalab.endpoints.config import EndpointConfig
from ahalab.endpoints.lean import LeanTransport
from ahalab.endpoints.pace import retry_after
from ahalab.endpoints.reading import Trouble, read_reply
from ahalab.endpoints.streaming import DONE, Broken, ChunkReader, EventReader, Piece, finish_word, mended
from ahalab.errors import UserError

Message = Mapping[str, Any]
"""One turn as the protocol has it: {"role": …, "content": …}."""

LARGEST_REFUSAL = 100_000
"""Bytes of an error's body that are read."""
REST_SECONDS = 0.1
"""How long the few bytes after `[DONE]` are waited for: with them read the connection serves again."""


_FAULTS = (TimeoutError, httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a server may keep one waiting, and how much it may send. The whole reply's time is the endpoint's own
    `timeout_seconds`. Defaults are our choice."""

    first_seconds: float = 120.0
    """From sending to the first byte of the reply's body."""
    idle_seconds: float = 60.0
    """Between two reads of a streamed body. A server that works long sends comments."""
    event_bytes: int = 1_000_000
    """Of one streamed event."""
    total_bytes: int = LARGEST_REPLY * 4
    """Of a streamed body; a character a token costs some 200 bytes there. A plain body may be a quarter of it."""


class ChatFailed(Exception):
    """No reply, or one that broke off. What was streamed until then may have been shown."""

    def __init__(self, trouble: Trouble, rest: float | None = None) -> None:
        super().__init__(f"{trouble.reason}: {trouble.detail}")
        self.trouble = trouble
        self.rest = rest
        """Seconds that the server asks to wait."""


class AsyncChat:
    """One OpenAI-compatible endpoint.

    Args:
        name: for messages.
        connections: most requests under way; more wait. None: no limit, where the caller has one.
        transport: for tests.

    Raises:
        UserError: the environment variable that should hold the key is not set.
    """

    def __init__(
        self,
        name: str,
        config: EndpointConfig,
        bounds: Bounds | None = None,
        *,
        connections: int | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.name, self.config, self.bounds = name, config, bounds or Bounds()
        self._key = read_key(name, config)
        self._connections, self._transport = connections, transport
        self._http: httpx2.AsyncClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def complete(
        self,
        messages: Sequence[Message],
        options: Mapping[str, Any] | None = None,
        *,
        take_empty: bool = False,
    ) -> Reply:
        """The whole reply.

        Args:
            messages: the dialogue.
            options: further keys of the request, over those of the endpoint; None as a value takes a key out.
            take_empty: a reply without text is a reply.

        Raises:
            ChatFailed: there is none.
            UserError: the address cannot be asked at all.
        """
        began = time.monotonic()
        body = self._body(messages, {**(options or {}), "stream": False})
        most = self.bounds.total_bytes // 4
        async with self._opened(body) as exchange:
            received = await exchange.whole(most)
        outcome = read_reply(exchange.status, received, len(body), take_empty=take_empty)
        if isinstance(outcome, Trouble):
            raise self.failed(outcome, exchange.rest)
        return replace(_clean(outcome), seconds=round(time.monotonic() - began, 3))

    async def stream(
        self, messages: Sequence[Message], options: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[Piece, None]:
        """The reply piece by piece, as `complete`. Closing the iterator (`contextlib.aclosing`) or cancelling the task
        closes the connection, which ends the work of most servers.

        The last piece with a finish reason comes once, counts of tokens before or after it. Raises ChatFailed, also
        after some pieces: a reply that was not finished never ends as if it were.
        """
        wanted = {"stream_options": {"include_usage": True}, **(options or {}), "stream": True}
        body = self._body(messages, wanted)
        async with self._opened(body) as exchange:
            if exchange.status != 200 or exchange.kind != "text/event-stream":
                yield await self._unstreamed(exchange, len(body))
                return
            events, chunks = EventReader(self.bounds.event_bytes), ChunkReader()
            try:
                async with aclosing(exchange.chunks(self.bounds.total_bytes)) as arriving:
                    async for chunk in arriving:
                        for data in events.feed(chunk):
                            if data == DONE:
                                chunks.end()
                                await exchange.rest_of_body()
                                return
                            piece = chunks.read(data)
                            if piece:
                                yield piece
                chunks.end()
            except Broken as error:
                raise self.failed(error.trouble, exchange.rest) from None

    async def aclose(self) -> None:
        """Close every connection."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _unstreamed(self, exchange: _Exchange, sent: int) -> Piece:
        """An error; or a whole reply of a server that does not stream, as one piece."""
        most = LARGEST_REFUSAL if exchange.status != 200 else self.bounds.total_bytes // 4
        outcome = read_reply(exchange.status, await exchange.whole(most), sent, take_empty=True)
        if isinstance(outcome, Trouble):
            raise self.failed(outcome, exchange.rest)
        outcome, extra = _clean(outcome), {}
        if outcome.control or outcome.reviewer_calls:
            extra["ahalab"] = {"control": outcome.control, "reviewer_calls": outcome.reviewer_calls}
        return Piece(
            outcome.text, outcome.thinking, outcome.finish, outcome.tokens_in, outcome.tokens_out, extra
        )

    def _body(self, messages: Sequence[Message], options: Mapping[str, Any]) -> bytes:
        body = {"messages": list(messages), **settings_of(self.config), **options}
        kept = {key: value for key, value in body.items() if value is not None}
        return json.dumps(kept, ensure_ascii=False).encode("utf-8", "replace")

    def _opened(self, body: bytes) -> _Exchange:
        return _Exchange(self, self._client(), body)

    def _client(self) -> httpx2.AsyncClient:
        # Connections belong to the loop that opened them; those of a loop that is gone are of no use.
        loop = asyncio.get_running_loop()
        if self._http is None or self._loop is not loop:
            self._http, self._loop = self._new_client(), loop
        return self._http

    def _new_client(self) -> httpx2.AsyncClient:
        try:
            return httpx2.AsyncClient(
                headers=headers_of(self._key),
                # `_Exchange` keeps the time of all else.
                timeout=httpx2.Timeout(None, connect=min(20.0, self.config.timeout_seconds)),
                limits=httpx2.Limits(max_connections=self._connections),  # of httpx2's own transport
                follow_redirects=False,  # a redirect would carry the key elsewhere
                transport=self._transport or self._new_transport(),
            )
        except (ImportError, ValueError) as error:
            raise UserError(
                f"endpoint {self.name}: the connection cannot be set up ({error}). Is a proxy variable such as "
                "ALL_PROXY wrong?"
            ) from error

    def _new_transport(self) -> LeanTransport | None:
        """None where a proxy of the environment needs httpx2's own."""
        parts, proxies = urlsplit(self.config.url), getproxies()
        if (proxies.get(parts.scheme) or proxies.get("all")) and not proxy_bypass(parts.netloc):
            return None
        return LeanTransport(self._connections)

    def failed(self, trouble: Trouble, rest: float | None = None) -> ChatFailed:
        """The error for a trouble, without the key."""
        return ChatFailed(replace(trouble, detail=self.clean(trouble.detail)), rest)

    def clean(self, text: str) -> str:
        """Some servers repeat the key they refuse."""
        return text.replace(self._key, "(the key)") if self._key else text


def _clean(reply: Reply) -> Reply:
    return replace(
        reply,
        text=mended(reply.text),
        thinking=mended(reply.thinking),
        finish=finish_word(reply.finish),
    )


class _Exchange(AbstractAsyncContextManager["_Exchange"]):
    """One POST, its waits bounded. Leaving it closes the connection unless the body was read to its end."""

    def __init__(self, chat: AsyncChat, http: httpx2.AsyncClient, body: bytes) -> None:
        self._chat, self._http, self._content = chat, http, body
        self._end = 0.0
        self._first = 0.0
        self._begun = False
        self._arriving: AsyncIterator[bytes] | None = None
        self.status = 0
        self.kind = ""
        """Media type of the body."""
        self.rest: float | None = None

    async def __aenter__(self) -> Self:
        bounds, config = self._chat.bounds, self._chat.config
        now = asyncio.get_running_loop().time()
        self._end = now + config.timeout_seconds
        self._first = min(now + bounds.first_seconds, self._end)
        try:
            async with asyncio.timeout_at(self._first):
                request = self._http.build_request(
                    "POST", f"{config.url}/chat/completions", content=self._content
                )
                self._response = await self._http.send(request, stream=True)
        except _FAULTS as error:
            self._explain(error)
        headers = self._response.headers
        self.status = self._response.status_code
        self.kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        self.rest = retry_after(headers.get("retry-after"))
        self._arriving = self._response.aiter_raw()
        if headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            await self._response.aclose()
            raise self._chat.failed(
                Trouble("unreadable reply", "the body is compressed, which was not asked for", "fail")
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if isinstance(self._arriving, AsyncGenerator):
                await self._arriving.aclose()
        finally:
            await self._response.aclose()

    async def whole(self, most: int) -> bytes:
        """The body. ChatFailed where it is larger than `most` bytes."""
        received = bytearray()
        async with aclosing(self.chunks(most, idle=False)) as arriving:
            async for chunk in arriving:
                received += chunk
        return bytes(received)

    async def chunks(self, most: int, *, idle: bool = True) -> AsyncGenerator[bytes, None]:
        """The body as it comes."""
        assert self._arriving is not None
        size = 0
        until = self._first
        while True:
            try:
                async with asyncio.timeout_at(until):
                    chunk = await anext(self._arriving, None)
            except _FAULTS as error:
                self._explain(error)
            if chunk is None:
                return
            self._begun = True
            size += len(chunk)
            if size > most:
                raise self._chat.failed(Trouble("reply too large", f"more than {most:,} bytes", "fail"))
            yield chunk
            until = self._end
            if idle:
                until = min(until, asyncio.get_running_loop().time() + self._chat.bounds.idle_seconds)

    async def rest_of_body(self) -> None:
        """Read what is left where that comes at once, so that the connection can serve again."""
        assert self._arriving is not None
        try:
            async with asyncio.timeout(REST_SECONDS):
                for _ in range(4):
                    if await anext(self._arriving, None) is None:
                        return
        except (TimeoutError, httpx2.HTTPError, httpx2.StreamError):
            return  # the reply is whole; the connection is closed then

    def _explain(self, error: Exception) -> NoReturn:
        """Raises what a caller knows: ChatFailed for whatever the server or the way to it did."""
        chat, bounds = self._chat, self._chat.bounds
        said = f"{type(error).__name__}: {error}"
        if isinstance(error, TimeoutError):
            if asyncio.get_running_loop().time() >= self._end:
                said = f"not whole within {chat.config.timeout_seconds:g} s"
            elif self._begun:
                said = f"silent for {bounds.idle_seconds:g} s"
            else:
                said = f"no first byte within {bounds.first_seconds:g} s"
            raise chat.failed(Trouble("time-out", said, "retry")) from None
        if isinstance(error, httpx2.InvalidURL | httpx2.UnsupportedProtocol | httpx2.LocalProtocolError):
            raise UserError(chat.clean(f"endpoint {chat.name}: the request cannot be sent: {said}")) from None
        unconnected = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
        raise chat.failed(
            Trouble("no connection" if unconnected else "broken connection", said, "retry")
        ) from None
