"""Texts: who reads them, how they end, and that the chain stays valid all the while; heads on a schedule."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ahalab.errors import EnvironmentFailure, UserError
from ahalab.guard.records import Turn
from ahalab.serving.audit import AuditLog, AuditSettings, open_audit
from ahalab.serving.audit import store as storing
from ahalab.serving.audit.erasure import Selection, erase_again, erase_texts, ranges
from ahalab.serving.audit.export import exported_dialogue, exported_rows
from ahalab.serving.audit.heads import read_heads
from ahalab.serving.audit.keyfile import write_verifier
from ahalab.serving.audit.reading import SCOPE, Reader, read_texts
from ahalab.serving.audit.recorded import Period, recorded
from ahalab.serving.audit.rows import now, stamp
from ahalab.serving.audit.sealing import seal, unseal
from ahalab.serving.audit.verify import verify
from audit_traffic import exchange, fill, opened, record, review

READER = Reader("ann", "a complaint", frozenset({SCOPE}))


def read(log: AuditLog, **period: str) -> dict[str, str | None]:
    """Exchange → its reply, None where there is no text."""
    found = read_texts(log, Period(**period), READER, "test")
    return {one.exchange: one.text.reply if one.text else None for one in found}


def test_what_was_said_comes_back_as_it_was(tmp_path: Path) -> None:
    log = opened(tmp_path)
    turns = (
        Turn("system", "be kind"),
        Turn("assistant", "hm", "let me see"),
        Turn("user", "a \ud83c banana\x00"),
    )
    asyncio.run(record(log, exchange("x1", turns=turns), "réponse 香蕉", review=review(3)))
    (one,) = read_texts(log, Period(), READER, "test")
    log.close()
    assert one.text is not None
    assert (one.text.turns, one.text.reply, one.text.thinking) == (turns, "réponse 香蕉", "a thought")
    assert (one.text.terms, one.text.review, one.text.raw) == (("banana",), "said so", ("raw words",))
    assert one.as_exchange() == exchange("x1", turns=turns)


def test_a_reading_is_in_the_chain_before_the_text_is_out(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, ["x1"])
    read_texts(log, Period(exchange="x1"), READER, "read")  # nothing taken from it yet
    row = list(exported_rows(log.database, Period()))[-1]
    log.close()
    assert (row["kind"], row["exchange"]) == ("reading", "x1")
    assert row["body"] == {
        "who": "ann",
        "why": "a complaint",
        "purpose": "read",
        "period": {"exchange": "x1"},
    }


def test_a_reading_that_cannot_be_written_reads_nothing(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, ["x1"])
    log.writer.close()
    with pytest.raises(EnvironmentFailure, match="closed"):
        read_texts(log, Period(), READER, "test")


@pytest.mark.parametrize(
    ("reader", "words"),
    [
        (Reader("ann", "why", frozenset()), "scope `audit-read`"),
        (Reader("ann", "why", frozenset({"admin", "chat"})), "scope `audit-read`"),
        (Reader("", "why", frozenset({SCOPE})), "say who reads"),
        (Reader("ann", "  ", frozenset({SCOPE})), "and why"),
    ],
)
def test_without_scope_name_and_reason_nothing_is_read(tmp_path: Path, reader: Reader, words: str) -> None:
    log = opened(tmp_path)
    fill(log, ["x1"])
    with pytest.raises(UserError, match=words):
        read_texts(log, Period(), reader, "test")
    assert len(list(exported_rows(log.database, Period()))) == 2
    log.close()


def test_an_auditor_s_key_verifies_and_cannot_open_a_text(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, ["x1"])
    log.close()
    write_verifier(log.keys, tmp_path / "auditor")
    auditor = open_audit(
        str(tmp_path / "audit.sqlite"), tmp_path / "auditor", AuditSettings(keep_text=False), create=False
    )
    assert verify(auditor.database, auditor.keys).sound
    with pytest.raises(UserError, match="audit-read"):
        list(recorded(auditor.database, Period(), auditor.keys))
    auditor.close()


def test_an_erased_text_is_noise_and_the_chain_stays_valid(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, ["x1", "x2", "x3"])
    with sqlite3.connect(tmp_path / "audit.sqlite") as raw:
        before = dict(raw.execute("SELECT number, sealed FROM audit_text_keys").fetchall())
    assert erase_texts(log, Selection(exchange="x2"), "asked for", "bob") == (2, "")
    assert read(log) == {"x1": "a reply", "x2": None, "x3": "a reply"}
    report = verify(log.database, log.keys, open_texts=True)
    assert (report.sound, report.texts, report.erased, report.returned) == (True, 4, 2, 0)
    row = next(row for row in exported_rows(log.database, Period()) if row["kind"] == "erasure")
    assert row["body"]["rows"] == [[3, 4]]
    assert (row["body"]["who"], row["body"]["why"], row["exchange"]) == ("bob", "asked for", "x2")
    log.close()
    # Not in the file either: neither in free pages nor in the write-ahead log.
    data = b"".join(file.read_bytes() for file in tmp_path.glob("audit.sqlite*"))
    assert before[1] in data
    assert before[3] not in data
    assert before[4] not in data


def test_what_is_erased_is_chosen_by_age_key_and_id_together(tmp_path: Path) -> None:
    log = opened(tmp_path)

    async def two_keys() -> None:
        await record(log, exchange("a1", key="alpha"))
        await record(log, exchange("b1", key="beta"))

    asyncio.run(two_keys())
    middle = now()
    fill(log, ["a2"])
    assert erase_texts(log, Selection(before=middle, key="alpha"), "", "bob")[0] == 2
    assert read(log) == {"a1": None, "b1": "a reply", "a2": "a reply"}
    assert erase_texts(log, Selection(exchange="a2", key="beta"), "", "bob")[0] == 0
    assert erase_texts(log, Selection(before=stamp(datetime.now(UTC) + timedelta(days=1))), "", "bob")[0] == 4
    assert verify(log.database, log.keys).sound
    log.close()
    with pytest.raises(UserError, match="which texts"):
        Selection()


def test_many_texts_go_in_several_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ahalab.serving.audit.erasure.BATCH", 3)
    log = opened(tmp_path)
    fill(log, [f"x{number}" for number in range(5)])
    assert erase_texts(log, Selection(key="alpha"), "", "bob")[0] == 10
    report = verify(log.database, log.keys)
    log.close()
    assert (report.sound, report.erased, report.kinds["erasure"]) == (True, 10, 4)


def test_texts_brought_back_by_an_old_copy_are_seen_and_erased_again(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, ["x1", "x2"])
    with sqlite3.connect(tmp_path / "audit.sqlite") as raw:
        kept = [
            raw.execute(f"SELECT * FROM {table}").fetchall() for table in ("audit_texts", "audit_text_keys")
        ]
    erase_texts(log, Selection(exchange="x1"), "", "bob")
    with sqlite3.connect(tmp_path / "audit.sqlite") as raw:
        raw.executemany("INSERT OR REPLACE INTO audit_texts VALUES (?, ?, ?)", kept[0])
        raw.executemany("INSERT OR REPLACE INTO audit_text_keys VALUES (?, ?)", kept[1])
    report = verify(log.database, log.keys)
    assert (report.sound, report.returned) == (True, 2)
    assert erase_again(log, "bob")[0] == 2
    report = verify(log.database, log.keys)
    log.close()
    assert (report.sound, report.returned, report.erased) == (True, 0, 2)


def test_erasures_are_repeated_on_no_word_but_the_key_holder_s(tmp_path: Path) -> None:
    """Otherwise whoever writes to the database has others delete texts, takes the row out again, and none is missed."""
    log = opened(tmp_path)
    fill(log, ["x1", "x2"])
    erase_texts(log, Selection(exchange="x1"), "asked", "tester")
    with sqlite3.connect(tmp_path / "audit.sqlite") as raw:
        raw.execute(
            "INSERT INTO audit_rows SELECT 6, form, kind, at, exchange, closes, key, policy, action, would, flagged, "
            "sampled, bypass, replace(body, '[[1,2]]', '[[1,4]]'), mac FROM audit_rows WHERE number = 5"
        )
    with pytest.raises(EnvironmentFailure, match="row 6 was put in or changed"):
        erase_again(log, "tester")
    with sqlite3.connect(tmp_path / "audit.sqlite") as raw:
        assert raw.execute("SELECT number FROM audit_text_keys").fetchall() == [(3,), (4,)]
    log.close()


def test_a_text_whose_own_time_was_changed_is_kept_as_long_as_its_row(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, ["x1"])
    with sqlite3.connect(tmp_path / "audit.sqlite") as raw:
        raw.execute("UPDATE audit_texts SET at = '2001-01-01T00:00:00.000000Z'")
    assert erase_texts(log, Selection(before="2020-01-01T00:00:00.000000Z"), "old", "tester") == (0, "")
    assert not verify(log.database, log.keys).sound
    log.close()


def test_texts_past_their_retention_go_while_the_server_runs(tmp_path: Path) -> None:
    log = opened(tmp_path)
    fill(log, ["x1"])
    log.close()
    time.sleep(0.01)
    log = opened(tmp_path, retention_days=0.005 / 86400)
    until = time.monotonic() + 30
    while any(read(log).values()) and time.monotonic() < until:
        time.sleep(0.05)
    report = verify(log.database, log.keys)
    log.close()
    assert report.sound
    assert report.erased == 2
    row = next(row for row in exported_rows(log.database, Period()) if row["kind"] == "erasure")
    assert row["body"]["why"] == "retention"


def test_heads_come_on_a_schedule_and_a_last_one_at_the_end(tmp_path: Path) -> None:
    log = opened(tmp_path, heads=tmp_path / "heads", heads_seconds=0.01)
    fill(log, ["x1"])
    until = time.monotonic() + 30
    while not list((tmp_path / "heads").glob("head-*.json")) and time.monotonic() < until:
        time.sleep(0.01)
    fill(log, ["x2", "x3"])
    log.close()
    heads = read_heads([tmp_path / "heads"], log.keys)
    assert len(heads) >= 2
    assert heads[-1].count == 6
    assert verify(log.database, log.keys, heads).heads == len(heads)


def test_heads_that_cannot_be_written_are_counted_and_stop_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "heads").write_text("a file where a folder was meant")
    log = opened(tmp_path, heads=tmp_path / "heads", heads_seconds=0.0)
    fill(log, ["x1"])
    log.close()
    assert log.heads_failed > 0
    assert "no head was exported" in caplog.text


def test_an_export_has_every_row_and_no_text_unless_a_reader_asks(tmp_path: Path) -> None:
    log = opened(tmp_path)
    asyncio.run(record(log, exchange("x1", "a zanzibar banana"), "the wombat"))
    lines = [json.dumps(row) for row in exported_rows(log.database, Period())]
    assert [json.loads(line)["number"] for line in lines] == [1, 2]
    assert "zanzibar" not in "".join(lines)
    assert "banana" not in "".join(lines)
    (one,) = read_texts(log, Period(), READER, "export")
    assert exported_dialogue(one)["text"]["turns"][0]["content"] == "a zanzibar banana"
    assert exported_dialogue(one)["text"]["reply"] == "the wombat"
    log.close()


def test_an_export_is_limited_by_time_key_policy_and_exchange(tmp_path: Path) -> None:
    log = opened(tmp_path)

    async def two_keys() -> None:
        await record(log, exchange("a1", key="alpha"))
        await record(log, exchange("b1", key="beta"))

    asyncio.run(two_keys())
    middle = now()
    fill(log, ["a2"])

    def ids(**period: str) -> list[tuple[str, str]]:
        return [(row["exchange"], row["kind"]) for row in exported_rows(log.database, Period(**period))]

    both = ["intent", "conclusion"]
    assert ids(key="beta") == [("b1", kind) for kind in both]
    assert ids(since=middle) == [("a2", kind) for kind in both]
    assert ids(until=middle, key="alpha") == [("a1", kind) for kind in both]
    assert ids(exchange="b1") == [("b1", kind) for kind in both]
    assert ids(policy="other") == []
    assert [one.exchange for one in recorded(log.database, Period(key="alpha", policy="p1"))] == ["a1", "a2"]
    log.close()


def test_pages_join_without_a_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("recorded", "export", "verify"):
        monkeypatch.setattr(f"ahalab.serving.audit.{module}.PAGE", 3)
    log = opened(tmp_path)
    names = [f"x{number}" for number in range(9)]
    fill(log, names)
    assert list(read(log)) == names
    assert [row["number"] for row in exported_rows(log.database, Period())] == list(range(1, 20))
    assert verify(log.database, log.keys, open_texts=True).texts == 18
    log.close()


def test_a_sealed_text_opens_with_its_own_key_and_label_only() -> None:
    secret = b"s" * 32
    sealed, key = seal(secret, b"hello", "intent x1")
    assert unseal(secret, sealed, key, "intent x1") == b"hello"
    other = seal(secret, b"hello", "intent x1")
    assert other[0] != sealed
    for wrong in (
        (b"t" * 32, sealed, key, "intent x1"),
        (secret, sealed, key, "intent x2"),
        (secret, sealed, other[1], "intent x1"),
        (secret, sealed[:-1], key, "intent x1"),
        (secret, b"", key, "intent x1"),
    ):
        with pytest.raises(ValueError, match="does not open"):
            unseal(*wrong)


def test_runs_of_numbers_are_short() -> None:
    assert ranges([1, 2, 3, 7]) == [[1, 3], [7, 7]]
    assert ranges([]) == []


def test_retention_looks_again_soon_while_there_is_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ahalab.serving.audit.erasure.BATCH", 1)
    log = opened(tmp_path)
    fill(log, ["x1", "x2"])
    log.close()
    assert storing._RETENTION_SECONDS > 60
    log = opened(tmp_path, retention_days=0.001 / 86400)
    until = time.monotonic() + 60
    while any(read(log).values()) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(read(log).values())
    log.close()
