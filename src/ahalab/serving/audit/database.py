"""The database behind the audit log: SQLite in one file, or a PostgreSQL server; and its errors in words."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import NullPool

from ahalab.errors import EnvironmentFailure, UserError

WAIT_SECONDS = 5
"""How long a writer waits for another one's lock before the row is refused."""
LEAST_FREE = 128 * 1024
"""Bytes on SQLite's disk below which no exchange begins: a probe would still fit, a row with its text would not."""
_WRITING = "audit_writing"


class Database:
    """Opens connections; each is one transaction at a time. Many threads may ask."""

    def __init__(self, url: str | URL, *, create: bool = False) -> None:
        self.url = _understood(url)
        self.sqlite = self.url.get_backend_name() == "sqlite"
        if self.sqlite:
            self._prepare_file(create)
            self.engine = sa.create_engine(
                self.url, poolclass=NullPool, connect_args={"timeout": WAIT_SECONDS}
            )
            event.listen(self.engine, "connect", _set_up_sqlite)
        else:
            self.engine = sa.create_engine(
                self.url,
                poolclass=NullPool,
                connect_args={"connect_timeout": WAIT_SECONDS, "application_name": "ahalab-audit"},
            )
            event.listen(self.engine, "connect", _set_up_postgresql)

    @property
    def file(self) -> Path | None:
        """SQLite's file."""
        return Path(self.url.database) if self.sqlite and self.url.database else None

    def __str__(self) -> str:
        return str(self.file) if self.sqlite else self.url.render_as_string(hide_password=True)

    def connect(self, *, writing: bool = False) -> sa.Connection:
        """A connection. A writing one takes SQLite's write lock with BEGIN, so it never has to be upgraded."""
        return self.engine.connect().execution_options(**{_WRITING: writing})

    def begin(self, connection: sa.Connection) -> sa.Transaction:
        """Begin a transaction of a connection that `connect` gave."""
        transaction = connection.begin()
        if self.sqlite:
            # Here and not in a listener: one listener on the engine makes every statement look for listeners.
            writing = connection.get_execution_options().get(_WRITING)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
        return transaction

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that reads. EnvironmentFailure in words."""
        with self.explaining(), self.connect() as connection, self.begin(connection):
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that writes: for making tables and for erasure's clean-up. The chain has its own writer."""
        with self.explaining(), self.connect(writing=True) as connection, self.begin(connection):
            yield connection

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """Turns a database error into one clear message."""
        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            raise EnvironmentFailure(self.explain(error)) from error

    def explain(self, error: BaseException) -> str:
        """Why the audit log cannot be used, and what to do."""
        said = str(getattr(error, "orig", None) or error).strip().splitlines()
        why = said[0] if said else type(error).__name__
        return f"audit log {self}: {why}{_advice(why)}"

    def room(self) -> str:
        """ "" while SQLite's disk has room; a server's disk cannot be seen from here."""
        if self.file is None:
            return ""
        try:
            free = shutil.disk_usage(self.file.parent).free
        except OSError as error:
            return f"audit log {self}: {error.strerror}"
        return (
            ""
            if free >= LEAST_FREE
            else f"audit log {self}: the disk is full, {free} bytes are left (free space there)"
        )

    def forget_traces(self) -> str:
        """After an erasure: what the database itself still keeps of deleted rows goes too; "" or why not yet."""
        try:
            if self.sqlite:
                with self.connect() as connection:
                    raw: Any = connection.connection.dbapi_connection
                    busy = raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                return (
                    "another process is reading; its write-ahead log is emptied at the next erasure"
                    if busy
                    else ""
                )
            with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.execute(sa.text("VACUUM audit_text_keys"))
                connection.execute(sa.text("VACUUM audit_texts"))
        except sa.exc.SQLAlchemyError as error:
            return self.explain(error)
        return ""

    def close(self) -> None:
        """Give every connection back."""
        self.engine.dispose()

    def _prepare_file(self, create: bool) -> None:
        path = self.file
        if path is None or str(path) == ":memory:":
            raise UserError(
                "the audit log must outlive the process: name a file, such as sqlite:///audit.sqlite"
            )
        if path.exists():
            return
        if not create:
            raise UserError(f"{path}: there is no audit log there")
        try:
            # Readable by its owner alone from the first moment; SQLite's -wal and -shm take over the mode.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise EnvironmentFailure(f"audit log {path}: cannot be made ({error.strerror})") from error


def _understood(url: str | URL) -> URL:
    if isinstance(url, str) and "://" not in url:
        return URL.create("sqlite", database=url)
    try:
        made = make_url(url)
    except sa.exc.ArgumentError as error:
        raise UserError(
            f"audit log {url!r}: expected a file, sqlite:///FILE or postgresql://USER@HOST/DATABASE"
        ) from error
    backend = made.get_backend_name()
    if backend == "sqlite":
        return made.set(drivername="sqlite")
    if backend != "postgresql":
        raise UserError(
            f"audit log {made.render_as_string()}: SQLite and PostgreSQL are supported, not {backend}"
        )
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise UserError(
            "PostgreSQL needs the extra `postgresql`: pip install 'ahalab[postgresql]'"
        ) from error
    return made.set(drivername="postgresql+psycopg")


def _set_up_sqlite(raw: Any, _record: Any) -> None:
    raw.text_factory = (
        _lenient  # a row with bytes that are no UTF-8 must be named as changed, not end verification
    )
    raw.isolation_level = None  # `Database.begin` says BEGIN; the driver must not
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        raw.execute(f"PRAGMA {pragma}")


def _lenient(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _set_up_postgresql(raw: Any, _record: Any) -> None:
    with raw.cursor() as cursor:
        cursor.execute("SHOW fsync")
        if cursor.fetchone()[0] != "on":
            raise UserError(
                "the PostgreSQL server runs with fsync=off: what it confirms may be lost. Turn it on."
            )
        cursor.execute("SHOW synchronous_commit")
        if cursor.fetchone()[0] == "off":
            cursor.execute("SET synchronous_commit = on")
        cursor.execute(f"SET lock_timeout = '{WAIT_SECONDS}s'")
        # A worker that hangs with the head locked would hold up all others.
        cursor.execute(f"SET idle_in_transaction_session_timeout = '{2 * WAIT_SECONDS}s'")
    raw.commit()


def _advice(why: str) -> str:
    lower = why.lower()
    for words, advice in (
        (("full", "no space"), "free space there"),
        (("readonly", "read-only"), "make file and folder writable"),
        (("locked", "lock timeout"), "another process holds it: look for one that hangs"),
        (("connection", "connect"), "start the server or mend the network"),
        (("unable to open",), "file and folder must be there and writable"),
    ):
        if any(word in lower for word in words):
            return f" ({advice})"
    return ""


def silently(step: Any) -> None:
    """Run a clean-up step of a connection that is broken already."""
    with suppress(Exception):
        step()
