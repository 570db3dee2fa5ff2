"""The answer to a chat or text completion, streamed or in one piece, over one exchange."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from ahalab.guard.records import Decision, Delta
from ahalab.serving.errors import Refusal, encoded
from ahalab.serving.flow import Flow, Outcome
from ahalab.serving.keys import Key
from ahalab.serving.limits import Ticket
from ahalab.serving.sse import DONE, KEEP_ALIVE, Frames, Kind, failed, whole_reply

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


class Answer(Response):
    """Runs the exchange when it is sent. The head goes out with the first byte, so an early error keeps its status."""

    def __init__(self, flow: Flow, key: Key, ticket: Ticket, kind: Kind) -> None:
        super().__init__()
        self._flow, self._key, self._ticket, self._kind = flow, key, ticket, kind
        self._status = 200
        self._own_headers = [(b"x-request-id", flow.exchange.id.encode("ascii"))]
        self._begun = False
        self._sent_at = time.monotonic()
        self._sending = False
        self._comment: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        flow, self._send = self._flow, send
        listening = asyncio.ensure_future(self._listen(receive))
        outcome: Outcome | None = None
        try:
            if flow.asked.stream:
                self._wait_on()
                outcome = await self._stream()
            else:
                outcome = await self._plain()
        finally:
            listening.cancel()
            if self._timer is not None:
                self._timer.cancel()
            self._ticket.settle(outcome.tokens_in + outcome.tokens_out if outcome else 0)
            flow.gateway.metrics.request(flow.route, self._status)
            flow.gateway.metrics.whole.observe(time.monotonic() - flow.began)

    async def _listen(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._flow.stop("client gone")

    async def _plain(self) -> Outcome | None:
        flow, outcome = self._flow, None
        try:
            outcome = await flow.run(_nothing)
            error = outcome.error
        except Refusal as refusal:
            error = refusal
        if error is not None or outcome is None:
            await self._refuse(error or Refusal(500, "No reply.", "internal_error"))
            return outcome
        body = whole_reply(
            self._kind,
            flow.exchange.id,
            flow.asked.model,
            int(time.time()),
            outcome.rest,
            (outcome.tokens_in, outcome.tokens_out),
            self._extra(outcome.rest, outcome.decision),
        )
        await self._whole(200, body, {})
        return outcome

    async def _stream(self) -> Outcome | None:
        flow = self._flow
        frames = Frames(
            self._kind, flow.exchange.id, flow.asked.model, int(time.time()), flow.asked.include_usage
        )
        finished = False

        async def show(deltas: list[Delta]) -> None:
            nonlocal finished
            await self._write(frames.pieces(deltas))
            for delta in deltas:  # shadow mode shows the end of a reply before it is reviewed
                if delta.finish:
                    finished = True
                    await self._write(frames.last(delta.finish, {}))

        outcome = None
        try:
            outcome = await flow.run(show)
            error = outcome.error
        except Refusal as refusal:
            error = refusal
        if outcome is None or (error is not None and not self._begun and not outcome.rest):
            if self._begun:
                await self._end(failed(error, self._names()) if error else DONE)
            else:
                await self._refuse(error or Refusal(500, "No reply.", "internal_error"))
            return outcome
        ending = frames.pieces(outcome.rest)
        if error is not None:
            if outcome.taken_back and not finished:
                ending += frames.last("content_filter", outcome.taken_back)
            ending += failed(error, self._names())
        else:
            finish = next((one.finish for one in outcome.rest if one.finish), "stop")
            if not finished:
                ending += frames.last(finish, self._extra(outcome.rest, outcome.decision))
            ending += frames.usage(outcome.tokens_in, outcome.tokens_out) + DONE
        await self._end(ending)
        return outcome

    def _names(self) -> dict[str, str]:
        return {"verdict_id": self._flow.exchange.id}

    def _extra(self, rest: list[Delta], decision: Decision) -> Mapping[str, Any]:
        """The extension of a retracted reply; for keys that may read the audit also what the control cost."""
        told: dict[str, Any] = {}
        for delta in rest:
            told.update(delta.extra.get("ahalab", {}))
        if self._key.may("audit-read"):
            told["control"] = decision.reason if decision.action != "release" else ""
            told["reviewer_calls"] = decision.review.calls if decision.review else 0
        return {"ahalab": told} if told else {}

    async def _refuse(self, error: Refusal) -> None:
        self._flow.gateway.metrics.refused.labels(error.code).inc()
        await self._whole(error.status, encoded(error.body(self._names())), error.headers)

    async def _whole(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self._status = status
        named = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
        await self._start(named)
        await self._guarded({"type": "http.response.body", "body": body})

    async def _start(self, headers: Mapping[str, str]) -> None:
        self._begun = True
        raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send(
            {"type": "http.response.start", "status": self._status, "headers": [*raw, *self._own_headers]}
        )

    async def _write(self, frame: bytes) -> None:
        if not frame:
            return
        if self._comment is not None:
            await self._comment
        self._sending = True
        self._sent_at = time.monotonic()
        if not self._begun:
            await self._start(
                {
                    "Content-Type": "text/event-stream; charset=utf-8",
                    "Cache-Control": "no-cache",
                    "X-Accel-Buffering": "no",
                }
            )
        await self._send({"type": "http.response.body", "body": frame, "more_body": True})
        self._sending = False

    async def _end(self, frames: bytes) -> None:
        """The last frames, to a client that may have stopped reading."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._flow.gateway.settings.send_seconds):
                await self._write(frames)
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _guarded(self, message: dict[str, Any]) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._flow.gateway.settings.send_seconds):
                await self._send(message)

    def _wait_on(self) -> None:
        """Looks now and then whether the stream is silent (a comment keeps the client) or the client takes nothing."""
        settings = self._flow.gateway.settings
        silent = time.monotonic() - self._sent_at
        if self._sending and silent >= settings.send_seconds:
            self._flow.stop("client gone")
        elif not self._sending and silent >= 0.9 * settings.keep_alive_seconds and self._comment is None:
            self._comment = asyncio.ensure_future(self._keep_alive())
        self._timer = asyncio.get_running_loop().call_later(settings.keep_alive_seconds, self._wait_on)

    async def _keep_alive(self) -> None:
        self._sending = True
        self._sent_at = time.monotonic()
        try:
            if not self._begun:
                await self._start(
                    {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
                )
            await self._send({"type": "http.response.body", "body": KEEP_ALIVE, "more_body": True})
        finally:
            self._sending = False
            self._comment = None


async def _nothing(_: list[Delta]) -> None:
    """A reply in one piece shows nothing before its end."""
