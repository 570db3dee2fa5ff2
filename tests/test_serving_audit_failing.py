"""The audit log when it cannot write: full disk, locked or read-only database, a chain cut back, a writer that ends."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ahalab.errors import EnvironmentFailure
from ahalab.serving.audit import writer
from ahalab.serving.audit.database import Database
from ahalab.serving.audit.verify import verify
from audit_traffic import exchange, fill, opened, record, rows, sound


def test_a_stuck_database_refuses_rows_rather_than_filling_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MOST_WAITING", 3)
    log = opened(tmp_path)
    blocker = sqlite3.connect(tmp_path / "audit.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")

    async def crowd() -> list[Any]:
        tasks = [asyncio.create_task(log.intent(exchange(f"x{number}"), "p1")) for number in range(20)]
        await asyncio.sleep(0.3)
        refused = [task for task in tasks if task.done() and task.exception()]
        blocker.execute("ROLLBACK")
        await asyncio.wait(tasks)
        return refused

    refused = asyncio.run(crowd())
    log.close()
    assert refused
    assert all("wait to be written" in str(task.exception()) for task in refused)
    assert len(rows(tmp_path / "audit.sqlite")) == 20 - len(refused)


def test_a_locked_database_says_so_and_is_ready_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ahalab.serving.audit.database.WAIT_SECONDS", 0.2)
    monkeypatch.setattr("ahalab.serving.audit.store._FRESH_SECONDS", 0.0)
    log = opened(tmp_path)
    blocker = sqlite3.connect(tmp_path / "audit.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")

    async def locked() -> None:
        with pytest.raises(EnvironmentFailure, match="another process holds it"):
            await log.intent(exchange("x1"), "p1")
        assert "locked" in await log.ready()
        blocker.execute("ROLLBACK")
        assert await log.ready() == ""
        await log.intent(exchange("x1"), "p1")

    asyncio.run(locked())
    log.close()
    assert sound(tmp_path)


def test_a_full_disk_is_said_and_leaves_no_half_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ahalab.serving.audit.store._FRESH_SECONDS", 0.0)
    log = opened(tmp_path)
    fill(log, ["x1"])
    log.close()
    log = opened(tmp_path)

    def small(raw: Any, _record: Any) -> None:
        pages = raw.execute("PRAGMA page_count").fetchone()[0]
        raw.execute(f"PRAGMA max_page_count={pages + 2}")  # SQLite then says SQLITE_FULL, as on a full disk

    sa.event.listen(log.database.engine, "connect", small)

    async def until_full() -> str:
        for number in range(500):
            try:
                await record(log, exchange(f"y{number}", "x" * 3000))
            except EnvironmentFailure as error:
                return str(error)
        return "never"

    assert "is full (free space there)" in asyncio.run(until_full())
    assert "is full" in log.writer.failure
    log.close()
    sa.event.remove(log.database.engine, "connect", small)
    report = verify(Database(str(tmp_path / "audit.sqlite")), log.keys, open_texts=True)
    assert report.sound
    assert report.open_count <= 1


def test_a_database_that_cannot_be_written_is_not_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ahalab.serving.audit.store._FRESH_SECONDS", 0.0)
    log = opened(tmp_path)
    fill(log, ["x1"])
    log.close()
    log = opened(tmp_path)

    def read_only(raw: Any, _record: Any) -> None:
        raw.execute(
            "PRAGMA query_only=ON"
        )  # root may write any file; SQLite then refuses as on a read-only one

    sa.event.listen(log.database.engine, "connect", read_only)

    async def refused() -> None:
        with pytest.raises(EnvironmentFailure, match=r"readonly database.*make file and folder writable"):
            await log.intent(exchange("x2"), "p1")
        assert "readonly" in await log.ready()

    asyncio.run(refused())
    log.close()


def test_a_chain_cut_back_under_a_running_writer_stops_it(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, ["x1", "x2"])
    with sqlite3.connect(tmp_path / "audit.sqlite") as raw:
        mac = raw.execute("SELECT mac FROM audit_rows WHERE number = 2").fetchone()[0]
        raw.execute("DELETE FROM audit_rows WHERE number > 2")
        raw.execute("UPDATE audit_head SET length = 2, mac = ?", (mac,))
    with pytest.raises(EnvironmentFailure, match="cut back while this process wrote"):
        asyncio.run(log.intent(exchange("x3"), "p1"))
    log.close()


def test_should_the_writer_itself_end_nobody_waits_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: Any, _jobs: Any) -> None:
        raise SystemExit("of a kind that nobody expects")

    log = opened(tmp_path)
    fill(log, ["x1"])
    monkeypatch.setattr(writer.Writer, "_write", broken)

    async def refused() -> None:
        with pytest.raises(EnvironmentFailure, match="nobody expects"):
            await log.intent(exchange("x2"), "p1")
        log.writer._thread.join(30)
        assert "the writer ended" in await log.ready()
        with pytest.raises(EnvironmentFailure, match="the writer ended"):
            await log.intent(exchange("x3"), "p1")

    asyncio.run(refused())
    log.close()
    assert sound(tmp_path)


def test_no_exchange_begins_on_a_disk_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = opened(tmp_path)
    assert asyncio.run(log.ready()) == ""
    monkeypatch.setattr("ahalab.serving.audit.database.LEAST_FREE", 10**18)
    assert "the disk is full" in asyncio.run(log.ready())
    log.close()


@pytest.mark.parametrize("on", ["INSERT ON audit_rows", "INSERT ON audit_texts", "UPDATE ON audit_head"])
def test_a_trigger_that_swallows_rows_is_an_error_not_a_yes(tmp_path: Path, on: str) -> None:
    log = opened(tmp_path)
    fill(log, ["x1"])
    with sqlite3.connect(tmp_path / "audit.sqlite") as raw:
        raw.execute(f"CREATE TRIGGER swallow BEFORE {on} BEGIN SELECT RAISE(IGNORE); END")
    with pytest.raises(EnvironmentFailure, match="triggers"):
        asyncio.run(log.intent(exchange("x2"), "p1"))
    assert "triggers" in log.writer.failure
    with sqlite3.connect(tmp_path / "audit.sqlite") as raw:
        raw.execute("DROP TRIGGER swallow")
    fill(log, ["x3"])
    log.close()
    assert sound(tmp_path)
