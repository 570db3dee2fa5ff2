"""Whoever changes the log without its key is found: every change of one row, every removal, swap, cut and rewrite."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ahalab.errors import UserError
from ahalab.serving.audit import AuditKeys, create_keys, read_keys
from ahalab.serving.audit import verify as verifying
from ahalab.serving.audit.database import Database
from ahalab.serving.audit.heads import Head, current_head, read_head, read_heads, write_head
from ahalab.serving.audit.rows import row_mac
from ahalab.serving.audit.text_account import merged
from ahalab.serving.audit.verification import Verification
from ahalab.serving.audit.verify import verify
from audit_traffic import fill, opened

EXCHANGES = 6
ROWS = 2 * EXCHANGES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound log of twelve rows, with a head exported after row 8 and one at the end."""
    place = tmp_path_factory.mktemp("log")
    log = opened(place)
    fill(log, ["x0", "x1", "x2", "x3"])
    write_head(place / "heads", current_head(log.database, log.chain), log.keys)
    fill(log, ["x4", "x5"])
    write_head(place / "heads", current_head(log.database, log.chain), log.keys)
    log.close()
    return place


class Copy:
    """A copy to tamper with, as someone with the database's file and no key."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "copy.db"
        for old in folder.glob("copy.db*"):
            old.unlink()
        shutil.copyfile(folder / "audit.sqlite", self.path)
        self.keys = read_keys(folder / "audit.key")
        self.raw = sqlite3.connect(self.path, isolation_level=None)
        self.raw.execute("PRAGMA foreign_keys=OFF")
        self.raw.execute("PRAGMA ignore_check_constraints=ON")

    def verify(self, heads: list[Head] | None = None, **more: Any) -> Verification:
        self.raw.close()
        return verify(Database(str(self.path)), self.keys, heads or [], **more)

    def cut(self, left: int) -> None:
        """Remove the end, and put the database's own head back too."""
        mac = self.raw.execute("SELECT mac FROM audit_rows WHERE number = ?", (left,)).fetchone()[0]
        for table in ("audit_rows", "audit_texts", "audit_text_keys"):
            self.raw.execute(f"DELETE FROM {table} WHERE number > ?", (left,))
        self.raw.execute("UPDATE audit_head SET length = ?, mac = ?", (left, mac))

    def renumber(self, after: int, by: int) -> None:
        """Close or open a gap, as a careful forger would."""
        order = "ASC" if by < 0 else "DESC"
        for (number,) in self.raw.execute(
            f"SELECT number FROM audit_rows WHERE number > ? ORDER BY number {order}", (after,)
        ).fetchall():
            self.raw.execute("UPDATE audit_rows SET number = ? WHERE number = ?", (number + by, number))


@pytest.fixture
def copy(folder: Path) -> Iterator[Copy]:
    made = Copy(folder)
    yield made
    made.raw.close()


def test_the_untouched_log_is_sound_with_both_heads(copy: Copy, folder: Path) -> None:
    report = copy.verify(read_heads([folder / "heads"], copy.keys), open_texts=True)
    assert (report.sound, report.rows, report.heads, report.texts, report.open_count) == (
        True,
        ROWS,
        2,
        ROWS,
        0,
    )


COLUMNS = [
    "form",
    "kind",
    "at",
    "exchange",
    "closes",
    "key",
    "policy",
    "action",
    "would",
    "flagged",
    "sampled",
    "bypass",
    "body",
    "mac",
]


@pytest.mark.parametrize("column", COLUMNS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    number=st.integers(1, ROWS),
    value=st.one_of(st.integers(-5, 99), st.text(max_size=8), st.binary(max_size=8)),
)
def test_any_change_of_one_column_is_found_at_its_row(
    folder: Path, column: str, number: int, value: int | str | bytes
) -> None:
    copy = Copy(folder)
    old = copy.raw.execute(f"SELECT {column} FROM audit_rows WHERE number = ?", (number,)).fetchone()[0]
    try:
        copy.raw.execute(f"UPDATE audit_rows SET {column} = ? WHERE number = ?", (value, number))
    except (sqlite3.IntegrityError, UnicodeEncodeError):
        copy.raw.close()
        return  # the database itself refuses
    new = copy.raw.execute(f"SELECT {column} FROM audit_rows WHERE number = ?", (number,)).fetchone()[0]
    report = copy.verify()
    if new == old and type(new) is type(old):
        assert report.sound
    else:
        assert report.first_bad.startswith(f"row {number} does not fit")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(1, ROWS), data=st.data())
def test_one_changed_character_of_a_body_is_found_at_its_row(
    folder: Path, number: int, data: st.DataObject
) -> None:
    copy = Copy(folder)
    body = copy.raw.execute("SELECT body FROM audit_rows WHERE number = ?", (number,)).fetchone()[0]
    at = data.draw(st.integers(0, len(body) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda one: one != body[at]))
    copy.raw.execute(
        "UPDATE audit_rows SET body = ? WHERE number = ?", (body[:at] + other + body[at + 1 :], number)
    )
    assert copy.verify().first_bad.startswith(f"row {number} does not fit")


@pytest.mark.parametrize("number", range(1, ROWS))
def test_a_deleted_row_is_named(copy: Copy, number: int) -> None:
    copy.raw.execute("DELETE FROM audit_rows WHERE number = ?", (number,))
    assert copy.verify().first_bad.startswith(f"row {number} is missing")


@pytest.mark.parametrize("number", range(1, ROWS))
def test_a_deleted_row_whose_gap_was_closed_is_named(copy: Copy, number: int) -> None:
    copy.raw.execute("DELETE FROM audit_rows WHERE number = ?", (number,))
    copy.renumber(number, -1)
    assert copy.verify().first_bad.startswith(f"row {number} does not fit")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(one=st.integers(1, ROWS), other=st.integers(1, ROWS))
def test_two_swapped_rows_are_found_at_the_first(folder: Path, one: int, other: int) -> None:
    copy = Copy(folder)
    for old, new in ((one, -1), (other, one), (-1, other)):
        copy.raw.execute("UPDATE audit_rows SET number = ? WHERE number = ?", (new, old))
    report = copy.verify()
    assert (
        report.sound if one == other else report.first_bad.startswith(f"row {min(one, other)} does not fit")
    )


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(number=st.integers(0, ROWS), copied=st.integers(1, ROWS))
def test_an_inserted_row_is_found_at_its_place(folder: Path, number: int, copied: int) -> None:
    """A copy of a real row, HMAC and all, put in after row `number`."""
    copy = Copy(folder)
    (source,) = copy.raw.execute("SELECT exchange FROM audit_rows WHERE number = ?", (copied,)).fetchone()
    copy.raw.execute("DROP INDEX audit_rows_one_intent")
    row = copy.raw.execute(
        "SELECT form, kind, at, key, policy, action, would, flagged, sampled, bypass, body, mac FROM audit_rows "
        "WHERE number = ?",
        (copied,),
    ).fetchone()
    copy.renumber(number, 1)
    copy.raw.execute(
        "INSERT INTO audit_rows (number, exchange, form, kind, at, key, policy, action, would, flagged, sampled, "
        "bypass, body, mac) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (number + 1, source, *row),
    )
    # A copy put right before its original is the original: then the second of them is the one too many.
    twin = copied == number + 1 and row[1] == "intent"
    assert copy.verify().first_bad.startswith(f"row {number + 1 + twin} does not fit")


def test_a_row_before_the_first_is_named(copy: Copy) -> None:
    copy.raw.execute("UPDATE audit_rows SET number = -7 WHERE number = 12")
    assert copy.verify().first_bad.startswith("row -7 was put in before")


@pytest.mark.parametrize("left", range(1, ROWS))
def test_rows_cut_off_the_end_are_found_by_the_head(copy: Copy, folder: Path, left: int) -> None:
    copy.cut(left)
    assert copy.verify().sound  # the chain alone cannot know: this is why heads are exported
    report = verify(Database(str(copy.path)), copy.keys, read_heads([folder / "heads"], copy.keys))
    first = 8 if left < 8 else ROWS
    assert report.first_bad.startswith(f"row {left + 1} is missing: the head of")
    assert f"signed {first} rows" in report.first_bad


@pytest.mark.parametrize("left", [1, 5, 11])
def test_rows_cut_off_the_end_alone_are_found_without_a_head(copy: Copy, left: int) -> None:
    copy.raw.execute("DELETE FROM audit_rows WHERE number > ?", (left,))
    assert copy.verify().first_bad.startswith(
        f"row {left + 1} is missing: the database itself counts {ROWS} rows"
    )


def test_a_chain_cut_and_written_on_is_found_by_the_head(folder: Path, tmp_path: Path) -> None:
    """With the key, even: the server is made to go on from an older copy."""
    for name in ("audit.sqlite", "audit.key"):
        shutil.copy(folder / name, tmp_path / name)
    heads = read_heads([folder / "heads"], read_keys(folder / "audit.key"))
    with sqlite3.connect(tmp_path / "audit.sqlite") as raw:
        mac = raw.execute("SELECT mac FROM audit_rows WHERE number = 6").fetchone()[0]
        for table in ("audit_rows", "audit_texts", "audit_text_keys"):
            raw.execute(f"DELETE FROM {table} WHERE number > 6")
        raw.execute("UPDATE audit_head SET length = 6, mac = ?", (mac,))
    log = opened(tmp_path)
    fill(log, ["y1", "y2", "y3", "y4"])
    report = verify(log.database, log.keys, heads)
    log.close()
    assert report.first_bad.startswith("row 8 is not the one that the head of")


def test_a_row_rewritten_with_a_guessed_key_is_found(copy: Copy) -> None:
    copy.raw.row_factory = sqlite3.Row
    rows = [dict(row) for row in copy.raw.execute("SELECT * FROM audit_rows ORDER BY number")]
    forger = AuditKeys(b"guess" * 6 + b"..", None)
    before = rows[2]["mac"]
    for row in rows[3:]:
        row["action"] = "release"
        before = row_mac(forger, before, row)
        copy.raw.execute(
            "UPDATE audit_rows SET action = 'release', mac = ? WHERE number = ?", (before, row["number"])
        )
    copy.raw.execute("UPDATE audit_head SET mac = ?", (before,))
    assert copy.verify().first_bad.startswith("row 4 does not fit")


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM audit_head",
        "UPDATE audit_head SET length = 4",
        "UPDATE audit_head SET length = 99",
        "UPDATE audit_head SET mac = 'x'",
        "UPDATE audit_meta SET value = 'other' WHERE name = 'chain'",
        "DELETE FROM audit_meta WHERE name = 'chain'",
        "INSERT INTO audit_head VALUES (2, 4, 'x')",
    ],
)
def test_a_changed_head_or_name_of_the_chain_is_found(copy: Copy, change: str) -> None:
    copy.raw.execute(change)
    assert not copy.verify().sound


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("DELETE FROM audit_text_keys WHERE number = 5", "text of row 5 is gone, and no erasure says so"),
        ("DELETE FROM audit_texts WHERE number = 6", "text of row 6 is gone"),
        ("UPDATE audit_texts SET at = '2001' WHERE number = 4", "text of row 4 carries another time"),
        ("UPDATE audit_texts SET sealed = x'00' WHERE number = 3", "text of row 3 does not open"),
        ("UPDATE audit_text_keys SET sealed = x'00112233' WHERE number = 3", "text of row 3 does not open"),
        (
            "UPDATE audit_texts SET sealed = (SELECT sealed FROM audit_texts WHERE number = 4) WHERE number = 2",
            "text of row 2 does not open",
        ),
    ],
)
def test_lost_or_exchanged_texts_are_named(copy: Copy, change: str, words: str) -> None:
    copy.raw.execute(change)
    assert words in copy.verify(open_texts=True).first_bad


@pytest.mark.parametrize("number", [1, 4, ROWS])
def test_a_number_that_is_there_twice_is_found_wherever_a_page_ends(
    copy: Copy, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(verifying, "PAGE", 4)
    copy.raw.execute("ALTER TABLE audit_rows RENAME TO old")
    copy.raw.execute("CREATE TABLE audit_rows AS SELECT * FROM old")  # without its keys
    copy.raw.execute("INSERT INTO audit_rows SELECT * FROM old WHERE number = ?", (number,))
    assert "there twice" in copy.verify().first_bad


def test_a_changed_head_of_an_empty_log_is_found(tmp_path: Path) -> None:
    log = opened(tmp_path)
    assert verify(log.database, log.keys).sound
    with sqlite3.connect(tmp_path / "audit.sqlite") as raw:
        raw.execute("UPDATE audit_head SET mac = 'x'")
    assert "row 0 is not the one" in verify(log.database, log.keys).first_bad
    log.close()


def test_rows_written_while_the_clock_goes_back_are_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ahalab.serving.audit import rows

    class Backwards(datetime):
        left = 1000

        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            cls.left -= 1
            return datetime.fromtimestamp(1_700_000_000 + 60 * cls.left, tz)

    monkeypatch.setattr(rows, "datetime", Backwards)
    log = opened(tmp_path)
    fill(log, ["x1"])
    first = write_head(tmp_path / "heads", current_head(log.database, log.chain), log.keys)
    fill(log, ["x2"])
    second = write_head(tmp_path / "heads", current_head(log.database, log.chain), log.keys)
    report = verify(log.database, log.keys, read_heads([tmp_path / "heads"], log.keys), open_texts=True)
    log.close()
    assert (report.sound, report.heads, first != second) == (True, 2, True)


def test_a_text_moved_with_its_key_is_named(copy: Copy) -> None:
    for table in ("audit_texts", "audit_text_keys"):
        copy.raw.execute(f"UPDATE {table} SET number = number + 100 WHERE number IN (1, 3)")
        copy.raw.execute(f"UPDATE {table} SET number = 104 - number WHERE number > 100")
    assert "text of row 1 does not open" in copy.verify(open_texts=True).first_bad


def test_a_head_that_was_changed_or_belongs_elsewhere_is_refused(folder: Path, tmp_path: Path) -> None:
    keys = read_keys(folder / "audit.key")
    path = sorted((folder / "heads").iterdir())[0]
    data = json.loads(path.read_text())
    for change in ({"count": 3}, {"mac": "00"}, {"at": "2020"}, {"hmac": "00"}, {"chain": "other"}):
        (tmp_path / "head.json").write_text(json.dumps({**data, **change}))
        with pytest.raises(UserError, match="signature does not fit"):
            read_head(tmp_path / "head.json", keys)
    for wrong in ("[]", "{}", '{"count": 1}', json.dumps({**data, "count": "8"})):
        (tmp_path / "head.json").write_text(wrong)
        with pytest.raises(UserError, match="is no head"):
            read_head(tmp_path / "head.json", keys)
    with pytest.raises(UserError, match="belongs to another log"):
        verify(Database(str(folder / "audit.sqlite")), keys, [Head("other", 1, "00", "2020")])
    with pytest.raises(UserError, match=r"no head-\*\.json"):
        read_heads([tmp_path], keys)


def test_verification_wants_the_log_s_own_key(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="begun with key"):
        verify(Database(str(folder / "audit.sqlite")), create_keys(tmp_path / "other"))


def test_runs_are_put_together() -> None:
    from array import array

    assert merged(array("q", [4, 6, 1, 3, 9, 9])) == [(1, 6), (9, 9)]
    assert merged(array("q", [1, 9, 2, 3])) == [(1, 9)]
