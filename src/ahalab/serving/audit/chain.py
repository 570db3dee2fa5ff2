"""The end of the chain: one transaction that locks the head, puts rows after it, and moves it on.

Every writer locks the head first, so processes on one database, or workers on one server, make one chain.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.sql.compiler import SQLCompiler

from ahalab.errors import AhaError, EnvironmentFailure
from ahalab.serving.audit.database import Database, silently
from ahalab.serving.audit.keyfile import AuditKeys
from ahalab.serving.audit.rows import Draft, row_mac
from ahalab.serving.audit.schema import HEAD, ROWS, TEXT_KEYS, TEXTS
from ahalab.serving.audit.sealing import seal

_MOST_REMEMBERED = 100_000
_LOOK = "run `aha guard audit verify`"
Within = Callable[[sa.Connection], Sequence[Draft]]
"""Work inside the transaction, with the head locked, that makes rows itself (erasure)."""


class Refused(EnvironmentFailure):
    """This row cannot be: it ends an exchange that never began, or that has ended. Others are not concerned."""


@dataclass(slots=True)
class Job:
    """Rows that belong together: all of them are written, or none."""

    build: Callable[[], Sequence[Draft]] | None
    within: Within | None = None
    by: float = 0.0
    """Monotonic time until which they may wait for others to share a commit; 0.0 when somebody waits for them."""
    future: Future[tuple[int, ...]] = field(default_factory=Future)
    drafts: Sequence[Draft] = ()
    sealed: list[tuple[bytes, bytes] | None] = field(default_factory=list)

    def make(self, keys: AuditKeys, connection: sa.Connection | None = None) -> None:
        """Make the drafts and seal their texts: outside of a transaction where that can be."""
        if connection is None and self.build is not None:
            self.drafts = self.build()
        elif connection is not None and self.within is not None:
            self.drafts = self.within(connection)
        else:
            return
        self.sealed = [
            None if one.text is None else seal(keys.seal(), one.text, f"{one.kind} {one.exchange}")
            for one in self.drafts
        ]


class Chain:
    """Appends to the chain over one connection, which it opens when it needs it. For one thread."""

    def __init__(self, database: Database, keys: AuditKeys) -> None:
        self.database, self._keys = database, keys
        self._connection: sa.Connection | None = None
        self._intents: OrderedDict[str, int] = OrderedDict()
        self._seen: tuple[int, str] | None = None
        self._dialect = dialect = database.engine.dialect
        self._lock_head = str(sa.select(HEAD.c.length, HEAD.c.mac).with_for_update().compile(dialect=dialect))
        self._set_head = _Statement(HEAD.update(), ["length", "mac"], dialect)
        self._inserts = [
            _Statement(table.insert().inline(), list(table.c.keys()), dialect)
            for table in (ROWS, TEXTS, TEXT_KEYS)
        ]

    def append(self, jobs: Sequence[Job]) -> list[tuple[int, ...]]:
        """All rows of these jobs in one durable transaction; the numbers of each job's.

        A connection that died while idle is opened once more, unseen.
        """
        for attempt in (1, 2):
            transaction: sa.Transaction | None = None
            committing, last = False, None
            try:
                fresh = self._connection is None
                if self._connection is None:
                    self._connection = self.database.connect(writing=True)
                transaction = self.database.begin(self._connection)
                numbers, last, begun = self._insert(self._connection, jobs)
                committing = True
                transaction.commit()
            except BaseException as found:
                error = self._in_common_words(found)
                if transaction is not None:
                    silently(transaction.rollback)
                lost = isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated
                if isinstance(error, sa.exc.DBAPIError) and not isinstance(error, sa.exc.IntegrityError):
                    self.drop_connection()
                if committing and last is not None and self._landed(last):
                    pass  # the server's yes was lost, not the rows
                elif lost and not committing and not fresh and attempt == 1:
                    continue
                elif error is found:
                    raise
                else:
                    raise error from found
            self._seen = last
            self._remember(begun, jobs)
            return numbers
        raise AssertionError("unreachable")

    def drop_connection(self) -> None:
        """Give the connection up; the next rows open another one."""
        if self._connection is not None:
            silently(self._connection.invalidate)
            silently(self._connection.close)
            self._connection = None

    def _insert(
        self, connection: sa.Connection, jobs: Sequence[Job]
    ) -> tuple[list[tuple[int, ...]], tuple[int, str], dict[str, int]]:
        # The driver's own cursor for what every commit does: SQLAlchemy's way around it takes 40 µs a statement.
        cursor = connection.connection.cursor()
        count, mac = self._locked_head(cursor)
        numbers: list[tuple[int, ...]] = []
        rows: list[dict[str, Any]] = []
        texts: list[dict[str, Any]] = []
        text_keys: list[dict[str, Any]] = []
        begun: dict[str, int] = {}
        for job in jobs:
            job.make(self._keys, connection)
            first = count + 1
            for draft, sealed in zip(job.drafts, job.sealed, strict=True):
                count += 1
                row = draft.row(count, self._closes(connection, draft, begun) if draft.ends else None)
                mac = row["mac"] = row_mac(self._keys, mac, row)
                rows.append(row)
                if draft.kind == "intent":
                    begun[draft.exchange] = count
                if sealed is not None:
                    texts.append({"number": count, "at": draft.at, "sealed": sealed[0]})
                    text_keys.append({"number": count, "sealed": sealed[1]})
            numbers.append(tuple(range(first, count + 1)))
        for insert, values in zip(self._inserts, (rows, texts, text_keys), strict=True):
            insert.execute(cursor, values)
        if rows:
            self._set_head.execute(cursor, [{"length": count, "mac": mac}])
        cursor.close()
        return numbers, (count, mac), begun

    def _locked_head(self, cursor: DBAPICursor) -> tuple[int, str]:
        cursor.execute(self._lock_head)
        heads = cursor.fetchall()
        if len(heads) != 1:
            raise EnvironmentFailure(f"audit log {self.database}: the chain has {len(heads)} heads; {_LOOK}")
        length, mac = int(heads[0][0]), str(heads[0][1])
        if self._seen is not None and (
            length < self._seen[0] or (length == self._seen[0] and mac != self._seen[1])
        ):
            raise EnvironmentFailure(
                f"audit log {self.database}: the chain was cut back while this process wrote to it "
                f"(it had {self._seen[0]} rows, now {length}); {_LOOK}"
            )
        return length, mac

    def _closes(self, connection: sa.Connection, draft: Draft, begun: Mapping[str, int]) -> int:
        number = begun.get(draft.exchange) or self._intents.get(draft.exchange)
        if number is None:
            found = sa.select(ROWS.c.number).where(ROWS.c.kind == "intent", ROWS.c.exchange == draft.exchange)
            number = connection.execute(found).scalar_one_or_none()
        if number is None:
            raise Refused(
                f"audit log {self.database}: exchange {draft.exchange!r} never began, so it cannot end"
            )
        return number

    def _remember(self, begun: Mapping[str, int], jobs: Sequence[Job]) -> None:
        self._intents.update(begun)
        for job in jobs:
            for draft in job.drafts:
                if draft.ends:
                    self._intents.pop(draft.exchange, None)
        while len(self._intents) > _MOST_REMEMBERED:
            self._intents.popitem(last=False)

    def _in_common_words(self, error: BaseException) -> BaseException:
        """A driver's error as SQLAlchemy's, as its own ways of execution have it."""
        driver = self._dialect.loaded_dbapi
        if self._connection is None or not isinstance(error, driver.Error):
            return error
        pooled = None if self._connection.invalidated else self._connection.connection
        lost = self._dialect.is_disconnect(error, pooled, None)
        return sa.exc.DBAPIError.instance(
            None, None, error, driver.Error, connection_invalidated=lost, dialect=self._dialect
        )

    def _landed(self, last: tuple[int, str]) -> bool:
        try:
            with self.database.reading() as connection:
                return (
                    connection.execute(sa.select(ROWS.c.mac).where(ROWS.c.number == last[0])).scalar()
                    == last[1]
                )
        except AhaError:
            return False


class _Statement:
    """A statement in the database's own words, made once."""

    def __init__(self, statement: sa.Insert | sa.Update, columns: list[str], dialect: sa.Dialect) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=columns)
        assert isinstance(compiled, SQLCompiler)
        self._sql, self._order, self._table = str(compiled), compiled.positiontup, statement.table

    def execute(self, cursor: DBAPICursor, rows: Sequence[Mapping[str, Any]]) -> None:
        """Once for each row. EnvironmentFailure where the database says yes and does less: a trigger can do that."""
        order = self._order
        values = rows if order is None else [tuple([row[name] for name in order]) for row in rows]
        if not values:
            return
        if len(values) == 1:
            cursor.execute(self._sql, values[0])
        else:
            cursor.executemany(self._sql, values)
        if cursor.rowcount != len(values):
            raise EnvironmentFailure(
                f"the audit log's database took {cursor.rowcount} of {len(values)} rows without an error: "
                f"look for triggers and rules on {self._table}; {_LOOK}"
            )
