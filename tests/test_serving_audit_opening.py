"""Opening the audit log: its key and who may reach it, addresses, logs of other versions, settings."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest
import sqlalchemy as sa

from ahalab.errors import EnvironmentFailure, UserError
from ahalab.serving.audit import AuditSettings, create_keys, open_audit, read_keys, schema
from ahalab.serving.audit.keyfile import VARIABLE, write_verifier
from audit_traffic import fill, opened, rows, sound


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


@pytest.mark.parametrize(
    "change",
    [
        "DROP TABLE audit_meta",
        "DROP TABLE audit_meta; DROP TABLE audit_head",
        "DELETE FROM audit_meta WHERE name = 'version'",
        "UPDATE audit_meta SET value = 'x' WHERE name = 'version'",
        "DELETE FROM audit_meta WHERE name = 'chain'",
    ],
)
def test_a_log_that_lost_what_names_it_is_not_written_on_nor_begun_anew(tmp_path: Path, change: str) -> None:
    log = opened(tmp_path)
    fill(log, ["x1"])
    log.close()
    with sqlite3.connect(tmp_path / "audit.sqlite") as raw:
        raw.executescript(change)
    before = raw.execute("SELECT name FROM sqlite_master").fetchall()
    with pytest.raises(UserError, match="is damaged"):
        opened(tmp_path)
    assert raw.execute("SELECT name FROM sqlite_master").fetchall() == before
    raw.close()


def test_a_password_in_an_address_is_never_shown(tmp_path: Path) -> None:
    create_keys(tmp_path / "key")
    with pytest.raises(UserError) as caught:
        open_audit("mysql://ann:sesame@host/db", tmp_path / "key")
    assert "sesame" not in str(caught.value)
