"""The audit log: what is durable when, what a row holds, texts apart."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ahalab.errors import EnvironmentFailure
from ahalab.guard.records import Exchange, Turn
from ahalab.serving.audit import AuditKeys
from audit_traffic import decision, exchange, fill, opened, record, review, rows, sound


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


def test_spans_of_one_message_are_bounded_and_counted(tmp_path: Path) -> None:
    log = opened(tmp_path)
    one: Exchange = exchange("x1")
    spans = decision(one).spans * 3000
    asyncio.run(record(log, one, spans=spans))
    log.close()
    body = json.loads(rows(tmp_path / "audit.sqlite")[1]["body"])
    assert body["hits"] == 3000
    assert len(body["spans"]) == 1000
