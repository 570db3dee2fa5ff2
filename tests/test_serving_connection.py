"""What raw connections do to the gateway: heads without end, slow ones, half bodies, requests one behind the other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from tests.serving_tools import HELLO, ScriptedModel, Served, chat_body
from uvicorn.server import ServerState

from ahalab.serving.connection import HEAD_BYTES, Connection

BODY = json.dumps(chat_body()).encode()
HOST = b"Host: localhost\r\n"
ASK = b"POST /v1/chat/completions HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
WHOLE = ASK + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
Use = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, Any]]


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self._closed = b"", False
        self.unsent, self.aborted = 0, asyncio.Event()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self._closed = True

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.aborted.set()

    def is_closing(self) -> bool:
        return self._closed

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def connected(served: Served, use: Use, head_seconds: float = 30.0) -> Any:
    """What `use` makes of one connection to the gateway."""

    class Brief(Connection):
        pass

    Brief.head_seconds = head_seconds

    async def run() -> Any:
        config = uvicorn.Config(served.app, port=0, lifespan="off", log_level="critical", http=Brief)
        server = uvicorn.Server(config)
        serving = asyncio.ensure_future(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        host, port = server.servers[0].sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(host, port)
        try:
            async with asyncio.timeout(20):
                return await use(reader, writer)
        finally:
            writer.close()
            server.should_exit = True
            await serving

    return asyncio.run(run())


async def answer_of(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return int(head.split()[1]), await reader.readexactly(int(length.split()[1]))


@pytest.mark.parametrize("start", [b"GET /" + b"a" * 200, ASK + b"X: ", ASK])
@pytest.mark.parametrize("more", [b"b" * 1_000, b"x: y\r\n" * 100])
def test_a_head_without_end_is_refused_and_not_kept(start: bytes, more: bytes, tmp_path: Path) -> None:
    if start != ASK and b"\n" in more:
        start += b"\r\n"

    async def use(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(start + more * (HEAD_BYTES // len(more) + 1))
        return await reader.read()

    said = connected(Served(tmp_path), use)
    assert said.split()[1] in (b"431", b"400")  # 400 where it is no head at all
    assert b"connection: close" in said


@pytest.mark.parametrize("cuts", [(), (HEAD_BYTES - 9,), (9, HEAD_BYTES)])
@pytest.mark.parametrize(("size", "taken"), [(HEAD_BYTES // 2, True), (HEAD_BYTES + 1, False)])
def test_a_head_is_as_long_as_it_is_however_it_comes(
    cuts: tuple[int, ...], size: int, taken: bool, tmp_path: Path
) -> None:
    sent = ASK + b"X: " + b"b" * size + b"\r\n" + WHOLE[len(ASK) :]
    edges = [0, *cuts, len(sent)]

    async def use() -> bytes:
        config = uvicorn.Config(Served(tmp_path).app, lifespan="off", log_level="critical", http=Connection)
        config.load()
        connection, transport = Connection(config, ServerState(), {}), Wire()
        connection.connection_made(transport)
        for start, end in pairwise(edges):
            if not transport.is_closing():
                connection.data_received(sent[start:end])
        await asyncio.gather(*connection.tasks)
        connection.connection_lost(None)
        return transport.written

    assert asyncio.run(use()).split()[1] in ((b"200",) if taken else (b"400", b"431"))


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET /healthz HTTP/1.1\r\nHo"])
@pytest.mark.parametrize("before", [False, True])
def test_who_does_not_end_a_head_is_left(sent: bytes, before: bool, tmp_path: Path) -> None:
    """Also on a connection that was of use before; one that says nothing after a reply has uvicorn's own bound."""

    async def use(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        if before:
            writer.write(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
            assert (await answer_of(reader))[0] == 200
        writer.write(sent)
        if before and not sent:
            writer.write(b"\r\n")
        return await reader.read()

    said = connected(Served(tmp_path), use, head_seconds=0.2)
    assert said == b"" or said.startswith(b"HTTP/1.1 408 ")
    assert sent[:3] != b"GET" or b"request_timeout" in said


def test_the_head_of_a_next_request_breaks_no_reply(tmp_path: Path) -> None:
    """A reply under way takes longer than a head may, and half of the next head is there already."""
    served = Served(tmp_path, model=ScriptedModel([0.5, *HELLO]))

    async def use(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[tuple[int, bytes]]:
        writer.write(WHOLE + WHOLE[:40])
        first = await answer_of(reader)
        writer.write(WHOLE[40:])
        return [first, await answer_of(reader)]

    answers = connected(served, use, head_seconds=0.2)
    assert [status for status, _ in answers] == [200, 200]
    assert len(served.audit.rows) == 2


@pytest.mark.parametrize("cut", [1, 40, len(WHOLE) - 1])
def test_long_bodies_count_as_no_head(cut: int, tmp_path: Path) -> None:
    served = Served(tmp_path)
    body = json.dumps(chat_body("y " * HEAD_BYTES)).encode()
    long = ASK + b"Content-Length: %d\r\n\r\n" % len(body) + body

    async def use(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[int]:
        writer.write(long + long + WHOLE[:cut])
        await writer.drain()
        answers = [(await answer_of(reader))[0], (await answer_of(reader))[0]]
        writer.write(WHOLE[cut:])
        return [*answers, (await answer_of(reader))[0]]

    assert connected(served, use) == [200, 200, 200]


def test_an_idle_connection_stays_after_its_reply(tmp_path: Path) -> None:
    async def use(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[int]:
        writer.write(WHOLE)
        first = (await answer_of(reader))[0]
        await asyncio.sleep(0.4)
        writer.write(WHOLE)
        return [first, (await answer_of(reader))[0]]

    assert connected(Served(tmp_path), use, head_seconds=0.1) == [200, 200]


@pytest.mark.parametrize("unsent", [0, 5_000])
def test_a_connection_that_is_to_end_waits_for_no_client_that_takes_nothing(
    unsent: int, tmp_path: Path
) -> None:
    class Brief(Connection):
        closing_seconds = 0.01

    async def use() -> bool:
        config = uvicorn.Config(Served(tmp_path).app, lifespan="off", log_level="critical", http=Brief)
        config.load()
        connection, transport = Brief(config, ServerState(), {}), Wire()
        connection.connection_made(transport)
        transport.unsent = unsent
        connection.shutdown()
        assert transport.is_closing()
        with suppress(TimeoutError):
            async with asyncio.timeout(5 if unsent else 0.1):
                await transport.aborted.wait()
        connection.connection_lost(None)
        return transport.aborted.is_set()

    assert asyncio.run(use()) == bool(unsent)


def test_requests_one_behind_the_other_are_answered_in_order(tmp_path: Path) -> None:
    async def use(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[bytes]:
        health = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
        writer.write(WHOLE + health + WHOLE)
        return [(await answer_of(reader))[1] for _ in range(3)]

    first, second, third = connected(Served(tmp_path), use)
    assert b"Hello there" in first
    assert json.loads(second) == {"status": "ok", "insecure": False}
    assert b"Hello there" in third


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 1\r\nContent-Length: %d\r\n",
        b"Content-Length: %d\r\nContent-Length: %d\r\n",
        b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: +%d\r\n",
        b"Content-Length : %d\r\n",
        b"Transfer-Encoding: xchunked\r\n",
    ],
)
def test_a_body_of_two_lengths_or_none_is_refused_and_the_connection_ends(
    head: bytes, tmp_path: Path
) -> None:
    served = Served(tmp_path)

    async def use(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(ASK + head.replace(b"%d", b"%d" % len(BODY)) + b"\r\n" + BODY)
        return await reader.read()

    assert connected(served, use).startswith(b"HTTP/1.1 400 ")
    assert not served.model.asked


def test_a_body_whose_sender_leaves_is_no_fault_of_the_gateway(tmp_path: Path, caplog: Any) -> None:
    served = Served(tmp_path)

    async def use(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(WHOLE[:-10])
        await writer.drain()
        while not served.gateway.limits.under_way:
            await asyncio.sleep(0.01)
        writer.close()
        while served.gateway.limits.under_way:
            await asyncio.sleep(0.01)

    connected(served, use)
    assert b'aha_refused_total{code="incomplete_body"} 1.0' in served.gateway.metrics.text()
    assert "Traceback" not in caplog.text
    assert not served.audit.intents


def test_health_answers_balancers_that_ask_for_the_head_only(tmp_path: Path) -> None:
    served = Served(tmp_path)
    assert served.ask("/healthz", method="HEAD").status_code == 200
    served.audit.broken = "ready"
    assert served.ask("/healthz", method="HEAD").status_code == 503
