"""The audit log: what is durable when, what a row holds, texts apart, keys and permissions, failures in words."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import stat
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from ahalab.errors import EnvironmentFailure, UserError
from ahalab.guard.records import Exchange, Turn
from ahalab.serving.audit import AuditKeys, AuditSettings, create_keys, open_audit, read_keys, schema, writer
from ahalab.serving.audit.database import Database
from ahalab.serving.audit.keyfile import VARIABLE, write_verifier
from ahalab.serving.audit.verify import verify
from audit_traffic import decision, exchange, fill, opened, record, review


def rows(path: Path) -> list[dict[str, Any]]:
    with sqlite3.connect(path) as raw:
        raw.row_factory = sqlite3.Row
        return [dict(row) for row in raw.execute("SELECT * FROM audit_rows ORDER BY number")]


def sound(folder: Path) -> bool:
    return verify(
        Database(str(folder / "audit.sqlite")), read_keys(folder / "audit.key"), open_texts=True
    ).sound


def test_the_intent_is_on_disk_for_others_once_the_call_returns(tmp_path: Path) -> None:
    log = opened(tmp_path)

    async def begin() -> list[dict[str, Any]]:
        await log.intent(exchange("x1"), "p1")
        return rows(tmp_path / "audit.sqlite")

    (row,) = asyncio.run(begin())
    assert (row["number"], row["kind"], row["exchange"], row["key"], row["policy"]) == (
        1,
        "intent",
        "x1",
        "alpha",
        "p1",
    )
    log.close()


def test_sqlite_runs_with_full_synchronisation_and_a_write_ahead_log(tmp_path: Path) -> None:
    log = opened(tmp_path)
    with log.database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA secure_delete").scalar() == 1
    log.close()


def test_a_conclusion_row_says_who_what_where_by_which_rules_at_what_cost(tmp_path: Path) -> None:
    log = opened(tmp_path)
    one = exchange("x1")
    done = {
        "would": "retract",
        "action": "retract",
        "review": review(2, 5),
        "timings": {"filter": 0.5, "review": 1.0},
    }
    asyncio.run(record(log, one, **done, reason="content_filter", bypass="none really"))
    log.close()
    row = rows(tmp_path / "audit.sqlite")[1]
    body = json.loads(row["body"])
    assert (row["closes"], row["action"], row["would"], row["flagged"], row["sampled"]) == (
        1,
        "retract",
        "retract",
        1,
        0,
    )
    assert row["bypass"] == "none really"
    assert row["at"].endswith("Z")
    assert body["review"] == {
        "rules": [2, 5],
        "verdict": "violates",
        "error": "",
        "reviewer": "r1",
        "windows": 1,
        "calls": 1,
        "tokens": 7,
        "seconds": 0.0,
    }
    assert body["seconds"] == {"filter": 0.5, "review": 1.0}
    assert body["extra"] == {"tokens": 3}
    assert body["reason"] == "content_filter"
    (span,) = body["spans"]
    assert (span["part"], span["turn"], span["start"], span["end"], span["category"]) == (
        "query",
        0,
        7,
        13,
        "fruit",
    )


def test_no_text_and_no_term_stands_in_the_database_unsealed(tmp_path: Path) -> None:
    log = opened(tmp_path)
    one = exchange(
        "x1", "tell me about my zanzibar banana", turns=(Turn("user", "zanzibar banana", "quokka"),)
    )
    asyncio.run(record(log, one, "the wombat answers", review=review(1)))
    log.close()
    data = b"".join(file.read_bytes() for file in tmp_path.glob("audit.sqlite*"))
    for word in (b"zanzibar", b"banana", b"quokka", b"wombat", b"a thought", b"said so", b"raw words"):
        assert word not in data


def test_the_same_text_has_the_same_hash_under_one_key_and_another_under_another() -> None:
    one, other = AuditKeys(b"1" * 32, None), AuditKeys(b"2" * 32, None)
    assert one.text_hash("hello") == one.text_hash("hello") != other.text_hash("hello")
    assert one.text_hash("\ud800 cut emoji")


def test_without_texts_the_log_keeps_hashes_only(tmp_path: Path) -> None:
    log = opened(tmp_path, keep_text=False)
    fill(log, ["x1"])
    log.close()
    with sqlite3.connect(tmp_path / "audit.sqlite") as raw:
        assert raw.execute("SELECT count(*) FROM audit_texts").fetchone() == (0,)
    assert sound(tmp_path)


@pytest.mark.parametrize("text", ["\x00\ud800\ufeff 🍌", "x" * 200_000, "", "'; DROP TABLE audit_rows; --"])
def test_hostile_text_is_kept_and_verifies(tmp_path: Path, text: str) -> None:
    log = opened(tmp_path)
    asyncio.run(record(log, exchange("x1", text), text, reason=text[:50], bypass=""))
    log.close()
    assert sound(tmp_path)


def test_whatever_stands_in_extra_the_row_is_written(tmp_path: Path) -> None:
    log = opened(tmp_path)

    async def odd() -> None:
        await log.intent(exchange("x1"), "p1")
        extra = {"nan": float("nan"), "path": Path("/x"), "set": {1}, "deep": {"inf": [float("inf")]}}
        await log.conclude(exchange("x1"), decision(exchange("x1")), "", "", extra)

    asyncio.run(odd())
    log.close()
    extra = json.loads(rows(tmp_path / "audit.sqlite")[1]["body"])["extra"]
    assert extra == {"nan": None, "path": "/x", "set": [1], "deep": {"inf": [None]}}


def test_a_conclusion_without_its_intent_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    log = opened(tmp_path)

    async def alone() -> None:
        await asyncio.gather(
            log.intent(exchange("x1"), "p1"),
            log.conclude(exchange("ghost"), decision(exchange("ghost")), "", "", {}),
            log.intent(exchange("x2"), "p1"),
            return_exceptions=True,
        )
        with pytest.raises(EnvironmentFailure, match="never began"):
            await log.conclude(exchange("ghost"), decision(exchange("ghost")), "", "", {})

    asyncio.run(alone())
    log.close()
    # The others of the same commit are there.
    assert [row["exchange"] for row in rows(tmp_path / "audit.sqlite")] == ["x1", "x2"]
    with sqlite3.connect(tmp_path / "audit.sqlite") as raw, pytest.raises(sqlite3.IntegrityError):
        raw.execute(
            "INSERT INTO audit_rows SELECT 9, form, 'conclusion', at, exchange, NULL, key, policy, action, would, "
            "flagged, sampled, bypass, body, mac FROM audit_rows WHERE number = 1"
        )


def test_an_exchange_begins_once_and_ends_once(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, ["x1"])

    async def again() -> None:
        with pytest.raises(EnvironmentFailure):
            await log.intent(exchange("x1"), "p1")
        with pytest.raises(EnvironmentFailure):
            await log.conclude(exchange("x1"), decision(exchange("x1")), "", "", {})
        assert await log.ready() == ""

    asyncio.run(again())
    log.close()
    assert len(rows(tmp_path / "audit.sqlite")) == 2
    assert sound(tmp_path)


def test_many_at_once_share_commits(tmp_path: Path) -> None:
    log = opened(tmp_path)

    async def crowd() -> None:
        await asyncio.gather(*(record(log, exchange(f"x{number}")) for number in range(300)))

    asyncio.run(crowd())
    commits = log.writer.commits
    log.close()
    assert len(rows(tmp_path / "audit.sqlite")) == 600
    assert commits < 300
    assert sound(tmp_path)


def test_a_cancelled_request_still_leaves_its_row(tmp_path: Path) -> None:
    log = opened(tmp_path)

    async def gone() -> None:
        await log.intent(exchange("x1"), "p1")
        task = asyncio.create_task(log.conclude(exchange("x1"), decision(exchange("x1")), "r", "", {}))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(gone())
    log.close()
    assert [row["kind"] for row in rows(tmp_path / "audit.sqlite")] == ["intent", "conclusion"]


def test_after_a_restart_the_chain_goes_on_and_old_exchanges_can_end(tmp_path: Path) -> None:
    log = opened(tmp_path)
    asyncio.run(log.intent(exchange("x1"), "p1"))
    log.close()
    log = opened(tmp_path)
    asyncio.run(log.conclude(exchange("x1"), decision(exchange("x1")), "r", "", {}))
    log.close()
    assert [row["number"] for row in rows(tmp_path / "audit.sqlite")] == [1, 2]
    assert sound(tmp_path)
    with pytest.raises(EnvironmentFailure, match="closed"):
        asyncio.run(log.intent(exchange("x2"), "p1"))


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


def test_database_and_key_are_for_their_owner_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        log = opened(tmp_path)
        fill(log, ["x1"])
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
        log.close()
    finally:
        os.umask(old)
    assert set(modes) == {"audit.key", "audit.sqlite", "audit.sqlite-wal", "audit.sqlite-shm"}
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_may_reach_is_refused(tmp_path: Path, mode: int) -> None:
    create_keys(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(UserError, match="chmod 600"):
        read_keys(tmp_path / "key")


def test_a_key_is_never_overwritten_and_never_printed(tmp_path: Path) -> None:
    keys = create_keys(tmp_path / "key")
    with pytest.raises(UserError, match="there already"):
        create_keys(tmp_path / "key")
    assert keys.chain.hex() not in repr(keys)
    assert str(keys.chain) not in repr(keys)
    assert read_keys(tmp_path / "key") == keys


@pytest.mark.parametrize(
    "text", ["", "chain", "chain 12", "texts " + "0" * 64, "chain " + "g" * 64, "chain é"]
)
def test_what_is_no_key_is_refused_in_words(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(UserError, match="64 hex digits"):
        read_keys(tmp_path / "key")


def test_the_key_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="needs its key"):
        read_keys(None)
    keys = create_keys(tmp_path / "key")
    monkeypatch.setenv(VARIABLE, (tmp_path / "key").read_text())
    assert read_keys(None) == keys
    open_audit(str(tmp_path / "audit.sqlite"), None).close()


def test_another_key_than_the_log_s_own_is_refused(tmp_path: Path) -> None:
    opened(tmp_path).close()
    create_keys(tmp_path / "other")
    with pytest.raises(UserError, match="begun with key"):
        open_audit(str(tmp_path / "audit.sqlite"), tmp_path / "other")


def test_an_auditor_s_copy_cannot_write_texts(tmp_path: Path) -> None:
    write_verifier(create_keys(tmp_path / "key"), tmp_path / "auditor")
    with pytest.raises(UserError, match="audit-read"):
        open_audit(str(tmp_path / "audit.sqlite"), tmp_path / "auditor")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://x/y", "SQLite and PostgreSQL"),
        ("://", "expected a file"),
        (":memory:", "name a file"),
        ("sqlite://", "name a file"),
    ],
)
def test_addresses_that_cannot_hold_a_log_are_refused(tmp_path: Path, url: str, words: str) -> None:
    create_keys(tmp_path / "key")
    with pytest.raises(UserError, match=words):
        open_audit(url, tmp_path / "key")


def test_a_command_makes_no_log_where_there_is_none(tmp_path: Path) -> None:
    create_keys(tmp_path / "key")
    with pytest.raises(UserError, match="there is no audit log"):
        open_audit(str(tmp_path / "none.db"), tmp_path / "key", create=False)
    sqlite3.connect(tmp_path / "empty.db").execute("CREATE TABLE other (x)").connection.close()
    with pytest.raises(UserError, match="there is no audit log"):
        open_audit(str(tmp_path / "empty.db"), tmp_path / "key", create=False)
    (tmp_path / "text.db").write_text("this is a text file, long enough to be looked at by SQLite" * 20)
    with pytest.raises(EnvironmentFailure, match="not a database"):
        open_audit(str(tmp_path / "text.db"), tmp_path / "key")


def test_an_older_log_is_migrated_and_stays_valid_and_a_later_one_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = opened(tmp_path)
    fill(log, ["x1"])
    older = opened(tmp_path)  # a worker of the version before, still at work
    log.close()

    def add_column(connection: sa.Connection) -> None:
        connection.execute(sa.text("ALTER TABLE audit_rows ADD COLUMN region TEXT NOT NULL DEFAULT ''"))

    with monkeypatch.context() as patched:
        patched.setattr(schema, "VERSION", 2)
        patched.setattr(schema, "MIGRATIONS", {2: add_column})
        newer = opened(tmp_path)
        fill(newer, ["x2"])
        fill(older, ["x3"])
        newer.close()
    older.close()
    assert "region" in rows(tmp_path / "audit.sqlite")[0]
    assert sound(tmp_path)
    with pytest.raises(UserError, match=r"version 2.*update ahalab"):
        opened(tmp_path)


def test_settings_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    create_keys(tmp_path / "key")
    with pytest.raises(UserError, match="more than 0"):
        open_audit(str(tmp_path / "audit.sqlite"), tmp_path / "key", AuditSettings(retention_days=0))


def test_spans_of_one_message_are_bounded_and_counted(tmp_path: Path) -> None:
    log = opened(tmp_path)
    one: Exchange = exchange("x1")
    spans = decision(one).spans * 3000
    asyncio.run(record(log, one, spans=spans))
    log.close()
    body = json.loads(rows(tmp_path / "audit.sqlite")[1]["body"])
    assert body["hits"] == 3000
    assert len(body["spans"]) == 1000


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
