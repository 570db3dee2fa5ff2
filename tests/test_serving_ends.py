"""How connections end: clients that leave or stop reading, and a gateway that is told to stop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.guard_control import CLEAN, Scripted
from tests.serving_tools import HELLO, ScriptedModel, Served, chat_body

from ahalab.guard.records import Delta

SLOW = [Delta("Hello "), Delta("there, "), *[Delta("and on ")] * 3, 30.0]


@asynccontextmanager
async def asking(url: str, **body: Any) -> AsyncIterator[asyncio.StreamReader]:
    """A chat request over a bare connection, closed when the block ends."""
    port = int(url.split(":")[2].split("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 16)
    content = json.dumps(chat_body(**body)).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(content)}\r\n"
    writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + content)
    await writer.drain()
    try:
        yield reader
    finally:
        writer.transport.abort()


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_stops_the_model_and_is_audited(stream: bool, tmp_path: Path) -> None:
    served = Served(tmp_path, model=ScriptedModel(SLOW))

    async def use(url: str) -> None:
        async with asking(url, stream=stream) as reader:
            if stream:
                await reader.readuntil(b"there, ")
            else:
                await until(lambda: served.model.asked)
                await asyncio.sleep(0.1)
        await until(lambda: served.audit.rows)

    served.run(use)
    _, decision, reply, _, extra = served.audit.rows[0]
    assert (served.model.closed, served.model.finished) == (1, 0)
    assert reply.startswith("Hello there, ")
    assert (decision.action, extra["ended"]) == ("release", "client gone")
    assert extra["shown_content"] == (len(reply) if stream else 0)
    assert served.gateway.limits.under_way == 0


def test_a_client_that_leaves_before_anything_came_is_audited_without_a_review(tmp_path: Path) -> None:
    served = Served(tmp_path, model=ScriptedModel([30.0]))

    async def use(url: str) -> None:
        async with asking(url, text="zorbom", stream=True):
            await until(lambda: served.model.asked)
        await until(lambda: served.audit.rows)

    served.run(use)
    assert served.audit.rows[0][4]["ended"] == "client gone"
    assert not served.reviewer.calls


def test_a_client_that_leaves_during_a_review_changes_nothing_about_it(tmp_path: Path) -> None:
    model = ScriptedModel([Delta("zorbom"), Delta(finish="stop")])
    served = Served(tmp_path, model=model, reviewer=Scripted(CLEAN, seconds=0.3))

    async def use(url: str) -> None:
        async with asking(url, stream=True):
            await until(lambda: served.reviewer.now)
        await until(lambda: served.audit.rows)

    served.run(use)
    review = served.audit.rows[0][1].review
    assert review is not None
    assert not review.violates
    assert not review.error
    assert served.audit.rows[0][1].action == "release"


def test_a_client_that_stops_reading_is_let_go(tmp_path: Path) -> None:
    model = ScriptedModel([Delta("x" * 60_000 + ". ")] * 400)
    scope = {"reply": False, "thinking": False, "joined": False}  # megabytes are not what is tested here
    settings = {"send_seconds": 0.2, "keep_alive_seconds": 0.1}
    served = Served(tmp_path, model=model, settings=settings, policy={"scope": scope})

    async def use(url: str) -> None:
        async with asking(url, stream=True) as reader:
            await reader.readuntil(b"\r\n")
            await until(lambda: served.audit.rows)

    served.run(use)
    assert served.audit.rows[0][4]["ended"] == "client gone"
    assert served.model.finished == 0
    assert served.gateway.limits.under_way == 0


def test_a_silent_stream_sends_comments(tmp_path: Path) -> None:
    served = Served(tmp_path, model=ScriptedModel([0.3, *HELLO]), settings={"keep_alive_seconds": 0.05})

    async def use(url: str) -> bytes:
        async with asking(url, stream=True) as reader:
            return await reader.readuntil(b"[DONE]")

    answer = served.run(use)
    assert answer.count(b": keep-alive") >= 2
    assert answer.index(b": keep-alive") < answer.index(b"data: ")


def test_shutting_down_lets_replies_end(tmp_path: Path) -> None:
    model = ScriptedModel([Delta("Hello"), 0.3, *HELLO[1:]])
    served = Served(tmp_path, model=model, settings={"shutdown_seconds": 10})

    async def use(url: str) -> bytes:
        async with asking(url, stream=True) as reader:
            first = await reader.readuntil(b"Hello")
            draining = asyncio.ensure_future(served.gateway.drain())
            await asyncio.sleep(0.02)
            async with asking(url) as other:
                assert b" 503 " in await other.readuntil(b"\r\n")
            rest = await reader.readuntil(b"[DONE]")
            await draining
            return first + rest

    answer = served.run(use)
    assert b" there" in answer
    assert b'"finish_reason":"stop"' in answer
    assert served.audit.rows[0][4]["ended"] == "release"


@pytest.mark.parametrize("stream", [True, False])
def test_a_reply_too_long_for_the_shutdown_is_ended_cleanly_and_audited(stream: bool, tmp_path: Path) -> None:
    served = Served(tmp_path, model=ScriptedModel(SLOW), settings={"shutdown_seconds": 0.1})

    async def use(url: str) -> bytes:
        async with asking(url, stream=stream) as reader:
            await until(lambda: served.model.asked)
            await asyncio.sleep(0.05)
            await served.gateway.drain()
            return await reader.readuntil(b"[DONE]" if stream else b"}}")

    answer = served.run(use)
    assert b"shutting_down" in answer
    assert b'"finish_reason":"stop"' not in answer
    assert (b" 503 " in answer) is not stream
    assert served.audit.rows[0][4]["ended"] == "shutdown"


def test_a_review_too_long_for_the_shutdown_retracts(tmp_path: Path, monkeypatch: Any) -> None:
    model = ScriptedModel([Delta("Hello zorbom"), Delta(finish="stop")])
    served = Served(
        tmp_path, model=model, reviewer=Scripted(CLEAN, seconds=60), settings={"shutdown_seconds": 0.05}
    )
    waits = iter([0.05, 0.1, 5.0])
    plain = served.gateway._until_idle
    monkeypatch.setattr(served.gateway, "_until_idle", lambda _: plain(next(waits)))

    async def use(url: str) -> bytes:
        async with asking(url, stream=True) as reader:
            await until(lambda: served.reviewer.now)
            await served.gateway.drain()
            waits_left = list(waits)
            assert not waits_left
            monkeypatch.undo()
            return await reader.readuntil(b"[DONE]")

    answer = served.run(use)
    assert b"zor" not in answer
    assert b"shutting_down" in answer
    assert served.audit.rows[0][1].action == "retract"
