"""The lean transport against a server on loopback: connections kept, odd answers told as errors that callers know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import httpx2
import pytest

from ahalab.endpoints.lean import LeanTransport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Bytes:
    """Answers each request with the next bytes of its script; b"" at the end of one closes the connection."""

    def __init__(self, *script: bytes, close: bool = False) -> None:
        self.script, self.close = list(script), close
        self.requests: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append(head + await reader.readexactly(size))
                answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
                writer.write(answer)
                await writer.drain()
                if self.close or not answer:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def run(server: Bytes, use: Callable[[httpx2.AsyncClient], Coroutine[Any, Any, Any]]) -> Any:
    async def main() -> Any:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        async with httpx2.AsyncClient(transport=LeanTransport(), base_url=url, timeout=5) as client:
            try:
                return await use(client)
            finally:
                listening.close()

    return asyncio.run(main())


async def ask(client: httpx2.AsyncClient) -> httpx2.Response:
    return await client.post("/v1/x?y=1", content=b"body", headers={"X-One": "1"})


def test_a_request_is_sent_as_it_stands_and_its_connection_serves_again() -> None:
    server = Bytes(OK)

    async def use(client: httpx2.AsyncClient) -> None:
        for _ in range(3):
            answer = await ask(client)
            assert (answer.status_code, answer.text) == (200, "hi")

    run(server, use)
    assert server.connections == 1
    first = server.requests[0]
    assert first.startswith(b"POST /v1/x?y=1 HTTP/1.1\r\n")
    assert first.lower().count(b"host: 127.0.0.1:") == 1
    assert b"X-One: 1\r\n" in first
    assert first.endswith(b"\r\n\r\nbody")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1;x=y\r\ni\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nTrailer: 1\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200\r\ncontent-length:2\r\n\r\nhi",
    ],
)
def test_every_way_to_send_a_body_is_read(answer: bytes) -> None:
    server = Bytes(answer)

    async def use(client: httpx2.AsyncClient) -> None:
        assert [(await ask(client)).text for _ in range(2)] == ["hi", "hi"]

    run(server, use)
    assert server.connections == 1


def test_a_body_that_ends_with_its_connection_is_read_to_there() -> None:
    server = Bytes(b"HTTP/1.0 200 OK\r\n\r\nhi", close=True)

    async def use(client: httpx2.AsyncClient) -> None:
        assert [(await ask(client)).text for _ in range(2)] == ["hi", "hi"]

    run(server, use)
    assert server.connections == 2


def test_a_server_that_closes_idle_connections_is_asked_again() -> None:
    server = Bytes(OK, close=True)

    async def use(client: httpx2.AsyncClient) -> None:
        for _ in range(3):
            assert (await ask(client)).text == "hi"

    run(server, use)
    assert server.connections == 3


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\nhi\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nhi\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno header\r\n\r\nhi",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: " + b"x" * 200_000 + b"\r\n\r\n",
    ],
)
def test_an_answer_that_is_none_is_a_protocol_error(answer: bytes) -> None:
    async def use(client: httpx2.AsyncClient) -> None:
        with pytest.raises(httpx2.RemoteProtocolError):
            await ask(client)

    run(Bytes(answer, close=True), use)


def test_a_port_where_nobody_listens_is_a_connect_error() -> None:
    async def use(_: httpx2.AsyncClient) -> None:
        async with httpx2.AsyncClient(transport=LeanTransport()) as client:
            with pytest.raises(httpx2.ConnectError):
                await client.post("http://127.0.0.1:9/", content=b"")

    run(Bytes(OK), use)


def test_a_reply_left_early_closes_its_connection() -> None:
    server = Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)

    async def use(client: httpx2.AsyncClient) -> None:
        for _ in range(2):
            async with client.stream("POST", "/", content=b"body") as answer:
                async for _ in answer.aiter_raw():
                    break

    run(server, use)
    assert server.connections == 2


def test_requests_at_one_time_have_connections_of_their_own() -> None:
    server = Bytes(OK)

    async def use(client: httpx2.AsyncClient) -> None:
        answers = await asyncio.gather(*(ask(client) for _ in range(20)))
        assert {one.text for one in answers} == {"hi"}
        await ask(client)

    run(server, use)
    assert 1 <= server.connections <= 20


def test_a_server_that_takes_no_connection_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any, **__: Any) -> None:
        await asyncio.sleep(3600)

    async def use(_: httpx2.AsyncClient) -> None:
        monkeypatch.setattr(asyncio, "open_connection", never)
        timeout = httpx2.Timeout(None, connect=0.02)
        async with httpx2.AsyncClient(transport=LeanTransport(), timeout=timeout) as client:
            with pytest.raises(httpx2.ConnectTimeout):
                await client.post("http://127.0.0.1:9/", content=b"")

    run(Bytes(OK), use)


@pytest.mark.parametrize(
    "bad", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhi", OK[:-1], b"nonsense\r\n\r\n"]
)
def test_whatever_comes_of_a_request_its_place_is_free_again(bad: bytes) -> None:
    async def main() -> None:
        server = Bytes(bad, OK, close=True)
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        async with httpx2.AsyncClient(transport=LeanTransport(most=1), base_url=url, timeout=5) as client:
            with pytest.raises(httpx2.HTTPError):
                await ask(client)
            async with asyncio.timeout(10):
                assert [(await ask(client)).text for _ in range(3)] == ["hi"] * 3
        listening.close()

    asyncio.run(main())
