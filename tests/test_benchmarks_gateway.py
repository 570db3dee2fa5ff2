"""The gateway's benchmark counts right: what was asked, what failed, and from when on it is timed."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from benchmarks.gateway import differences, quantile
from benchmarks.gateway_load import Figures, Load
from benchmarks.gateway_upstream import Upstream
from benchmarks.gateway_vs_litellm import block, rows_of


def against(serve: Any, use: Callable[[Load], Awaitable[Figures]]) -> Figures:
    async def run() -> Figures:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        try:
            return await use(Load(server.sockets[0].getsockname()[1]))
        finally:
            server.close()

    return asyncio.run(run())


def test_every_request_is_counted_in_its_kind_and_none_is_quicker_than_the_script() -> None:
    figures = against(Upstream(0.02, 3, 0.01).serve, lambda load: load.at_rate(100, 0.3))
    assert (len(figures.first), len(figures.stream), len(figures.plain), figures.failed) == (15, 15, 15, 0)
    assert min(figures.first) >= 20
    assert min(*figures.stream, *figures.plain) >= 40


def test_a_request_that_waits_for_its_turn_is_timed_from_when_it_was_due() -> None:
    async def late(load: Load) -> Figures:
        figures = Figures()
        due = asyncio.get_running_loop().time() - 1.0
        await load.ask(figures, due, stream=False)
        return figures

    assert against(Upstream(0.0, 1, 0.0).serve, late).plain[0] >= 1_000


async def broken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")
    writer.close()


async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nhalf")
    writer.close()


@pytest.mark.parametrize("serve", [broken, cut])
def test_what_fails_is_counted_and_gives_no_time(serve: Any) -> None:
    figures = against(serve, lambda load: load.at_rate(100, 0.1))
    assert figures == Figures(failed=10)


def test_streams_are_open_together() -> None:
    async def use(load: Load) -> Figures:
        figures = await load.together(20, "@1,3,300", over=0.1)
        assert load.most_open == 20
        assert load.open == 0
        return figures

    assert len(against(Upstream(9.0, 9, 9.0).serve, use).stream) == 20


def test_differences_are_made_within_pairs() -> None:
    direct = [Figures(first=[1.0], stream=[10.0, 11.0, 12.0], plain=[5.0]), Figures([2.0], [20.0] * 3, [6.0])]
    ours = [Figures(first=[2.0], stream=[12.0, 13.0, 30.0], plain=[5.5]), Figures([5.0], [21.0] * 3, [6.0])]
    found = differences(direct, ours)
    assert found["first"]["median"] == [1.0, 3.0]
    assert found["stream"] == {"median": [2.0, 1.0], "p99": [18.0, 1.0]}
    assert quantile(range(1000), 0.99) == 990


def test_a_block_counts_what_its_clients_got_and_ends_on_time() -> None:
    async def run() -> tuple[Figures, float]:
        server = await asyncio.start_server(Upstream(0.02, 1, 0.0).serve, "127.0.0.1", 0)
        load = Load(server.sockets[0].getsockname()[1])
        try:
            found = await block(load, 3, 0.2, stream=True)
            load.forget()
            again = await block(load, 1, 0.05, stream=False)
            assert again[0].failed == 0
            return found
        finally:
            server.close()

    figures, per_second = asyncio.run(run())
    assert 3 <= len(figures.stream) <= 30  # 20 ms each
    assert figures.plain == []
    assert per_second == pytest.approx(len(figures.stream) / 0.2, rel=0.5)


def test_rows_of_the_other_proxy_are_counted_by_kind(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "log") as connection:
        connection.execute("CREATE TABLE rows (kind TEXT)")
        connection.executemany("INSERT INTO rows VALUES (?)", [("intent",), ("intent",), ("conclusion",)])
    connection.close()
    assert rows_of(tmp_path / "log") == {"conclusion": 1, "intent": 2}
