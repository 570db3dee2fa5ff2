"""One thread that writes all rows of this process: what waits is committed together (group commit).

Every transaction locks the chain's head first, so processes on one database, or workers on one server, make one chain.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from ahalab.errors import AhaError, EnvironmentFailure
from ahalab.serving.audit.database import Database, silently
from ahalab.serving.audit.keyfile import AuditKeys
from ahalab.serving.audit.rows import Draft, row_mac
from ahalab.serving.audit.schema import HEAD, META, ROWS, TEXT_KEYS, TEXTS
from ahalab.serving.audit.sealing import seal

_LOG = logging.getLogger(__name__)
GROUP = 256
"""Rows of one commit."""
MOST_WAITING = 4096
"""Rows that may wait; more are refused, so a stuck database does not fill the memory."""
_MOST_REMEMBERED = 100_000
_LOOK = "run `aha guard audit verify`"
# Made once: 0.77 ms of CPU a commit of one row instead of 0.93 (SQLite, 2-core AMD EPYC).
_INSERTS = (ROWS.insert(), TEXTS.insert(), TEXT_KEYS.insert())
_LOCK_HEAD = sa.select(HEAD.c.length, HEAD.c.mac).with_for_update()
_SET_HEAD = HEAD.update()
Within = Callable[[sa.Connection], Sequence[Draft]]
"""Work inside the transaction, with the head locked, that makes rows itself (erasure)."""


@dataclass(slots=True)
class _Job:
    build: Callable[[], Sequence[Draft]] | None
    within: Within | None = None
    future: Future[tuple[int, ...]] = field(default_factory=Future)
    drafts: Sequence[Draft] = ()
    sealed: list[tuple[bytes, bytes] | None] = field(default_factory=list)


class Refused(EnvironmentFailure):
    """This row cannot be: it ends an exchange that never began, or that has ended. Others are not concerned."""


class Writer:
    """Takes rows from any thread; a future is done when its rows are durable."""

    def __init__(
        self,
        database: Database,
        keys: AuditKeys,
        tick: Callable[[], None] | None = None,
        tick_seconds: float = 1.0,
    ) -> None:
        self.database, self.keys = database, keys
        self.committed = 0
        """Rows of this process so far."""
        self.commits = 0
        self.failure = ""
        """Why the last commit failed; "" once one has worked again."""
        self.last_success = 0.0
        self._tick, self._tick_seconds = tick, tick_seconds
        self._jobs: deque[_Job] = deque()
        self._wake = threading.Condition()
        self._closing = False
        self._connection: sa.Connection | None = None
        self._intents: OrderedDict[str, int] = OrderedDict()
        self._seen: tuple[int, str] | None = None
        self._thread = threading.Thread(target=self._run, name="audit-writer", daemon=True)
        self._thread.start()

    def submit(self, build: Callable[[], Sequence[Draft]]) -> Future[tuple[int, ...]]:
        """Queue rows, which `build` makes in the writer's thread; the future gives their numbers.

        Raises:
            EnvironmentFailure: too many rows wait, or the log is closed. The future raises it when writing fails.
        """
        return self._queue(_Job(build))

    def submit_within(self, within: Within) -> Future[tuple[int, ...]]:
        """As `submit`, for rows that are made inside the transaction, with the chain's head locked."""
        return self._queue(_Job(None, within))

    def probe(self) -> Future[tuple[int, ...]]:
        """Write and commit something that is not a row: whether rows could be written now."""
        return self._queue(_Job(None, _probe))

    def close(self) -> None:
        """Write what waits and end the thread. Twice is fine."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _queue(self, job: _Job) -> Future[tuple[int, ...]]:
        with self._wake:
            if self._closing:
                raise EnvironmentFailure(self.failure or f"audit log {self.database}: it is closed")
            if len(self._jobs) >= MOST_WAITING:
                raise EnvironmentFailure(
                    f"audit log {self.database}: {MOST_WAITING} rows wait to be written already"
                )
            self._jobs.append(job)
            self._wake.notify()
        return job.future

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        except BaseException as error:
            # Never expected; but whoever waits for a row must not wait for ever.
            _LOG.exception("audit log %s: the writer ended", self.database)
            self.failure = f"audit log {self.database}: the writer ended ({type(error).__name__}: {error})"
        with self._wake:
            self._closing = True
            left = list(self._jobs)
            self._jobs.clear()
        for job in left:
            _fail(job, EnvironmentFailure(self.failure or f"audit log {self.database}: it is closed"))
        self._drop_connection()

    def _turn(self) -> bool:
        """Write what waits, or look whether something is due; whether to go on."""
        with self._wake:
            if not self._jobs and not self._closing:
                self._wake.wait(self._tick_seconds)
            jobs = [self._jobs.popleft() for _ in range(min(GROUP, len(self._jobs)))]
            ending = self._closing and not jobs
        if ending:
            return False
        if jobs:
            try:
                self._write(jobs)
            except BaseException as error:
                for job in jobs:
                    _fail(
                        job, EnvironmentFailure(f"audit log {self.database}: {type(error).__name__}: {error}")
                    )
                raise
        if self._tick is not None:
            try:
                self._tick()
            except Exception:
                _LOG.exception("audit log %s: a scheduled task failed", self.database)
        return True

    def _write(self, jobs: list[_Job]) -> None:
        built = [job for job in jobs if self._built(job)]
        if not built:
            return
        try:
            numbers = self._commit(built)
        except Exception as error:
            alone = isinstance(error, (sa.exc.IntegrityError, Refused)) or any(job.within for job in built)
            if len(built) > 1 and alone:
                for job in built:
                    self._write_one(job)
                return
            for job in built:
                _fail(job, self._failed(error))
            return
        for job, given in zip(built, numbers, strict=True):
            _succeed(job, given)

    def _write_one(self, job: _Job) -> None:
        try:
            (numbers,) = self._commit([job])
        except Exception as error:
            _fail(job, self._failed(error))
        else:
            _succeed(job, numbers)

    def _built(self, job: _Job) -> bool:
        try:
            if job.build is not None:
                job.drafts = job.build()
                job.sealed = [self._sealed(draft) for draft in job.drafts]
        except Exception as error:
            _fail(job, error)
            return False
        return True

    def _sealed(self, draft: Draft) -> tuple[bytes, bytes] | None:
        return (
            None
            if draft.text is None
            else seal(self.keys.seal(), draft.text, f"{draft.kind} {draft.exchange}")
        )

    def _failed(self, error: Exception) -> Exception:
        if isinstance(error, sa.exc.IntegrityError):
            return Refused(
                f"{self.database.explain(error)}: the row is there already, or its exchange never began"
            )
        if isinstance(error, AhaError):
            return error
        if isinstance(error, sa.exc.SQLAlchemyError):
            return EnvironmentFailure(self.database.explain(error))
        return error

    def _commit(self, jobs: list[_Job]) -> list[tuple[int, ...]]:
        """All rows of these jobs in one durable transaction. A connection that died while idle is opened once more."""
        for attempt in (1, 2):
            transaction: sa.Transaction | None = None
            committing, last = False, None
            try:
                fresh = self._connection is None
                if self._connection is None:
                    self._connection = self.database.connect(writing=True)
                transaction = self._connection.begin()
                numbers, last, begun = self._insert(self._connection, jobs)
                committing = True
                transaction.commit()
            except BaseException as error:
                if transaction is not None:
                    silently(transaction.rollback)
                lost = isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated
                if isinstance(error, sa.exc.DBAPIError) and not isinstance(error, sa.exc.IntegrityError):
                    self._drop_connection()
                if committing and last is not None and self._landed(last):
                    pass  # the server's yes was lost, not the rows
                elif lost and not committing and not fresh and attempt == 1:
                    continue
                else:
                    if not isinstance(error, (sa.exc.IntegrityError, Refused)):
                        self.failure = self.database.explain(error)
                    raise
            self._seen = last
            self._remember(begun, jobs)
            self.committed += sum(map(len, numbers))
            self.commits += 1
            self.failure, self.last_success = "", time.monotonic()
            return numbers
        raise AssertionError("unreachable")

    def _insert(
        self, connection: sa.Connection, jobs: list[_Job]
    ) -> tuple[list[tuple[int, ...]], tuple[int, str], dict[str, int]]:
        count, mac = self._locked_head(connection)
        numbers: list[tuple[int, ...]] = []
        rows: list[dict[str, Any]] = []
        texts: list[dict[str, Any]] = []
        text_keys: list[dict[str, Any]] = []
        begun: dict[str, int] = {}
        for job in jobs:
            if job.within is not None:
                job.drafts = job.within(connection)
                job.sealed = [self._sealed(draft) for draft in job.drafts]
            first = count + 1
            for draft, sealed in zip(job.drafts, job.sealed, strict=True):
                count += 1
                row = draft.row(count, self._closes(connection, draft, begun) if draft.ends else None)
                mac = row["mac"] = row_mac(self.keys, mac, row)
                rows.append(row)
                if draft.kind == "intent":
                    begun[draft.exchange] = count
                if sealed is not None:
                    texts.append({"number": count, "at": draft.at, "sealed": sealed[0]})
                    text_keys.append({"number": count, "sealed": sealed[1]})
            numbers.append(tuple(range(first, count + 1)))
        for insert, values in zip(_INSERTS, (rows, texts, text_keys), strict=True):
            if values:
                connection.execute(insert, values)
        if rows:
            connection.execute(_SET_HEAD, {"length": count, "mac": mac})
        return numbers, (count, mac), begun

    def _locked_head(self, connection: sa.Connection) -> tuple[int, str]:
        head = connection.execute(_LOCK_HEAD).one_or_none()
        if head is None:
            raise EnvironmentFailure(f"audit log {self.database}: the chain's head is gone; {_LOOK}")
        length, mac = int(head.length), str(head.mac)
        if self._seen is not None and (
            length < self._seen[0] or (length == self._seen[0] and mac != self._seen[1])
        ):
            raise EnvironmentFailure(
                f"audit log {self.database}: the chain was cut back while this process wrote to it "
                f"(it had {self._seen[0]} rows, now {length}); {_LOOK}"
            )
        return length, mac

    def _closes(self, connection: sa.Connection, draft: Draft, begun: dict[str, int]) -> int:
        number = begun.get(draft.exchange) or self._intents.get(draft.exchange)
        if number is None:
            found = sa.select(ROWS.c.number).where(ROWS.c.kind == "intent", ROWS.c.exchange == draft.exchange)
            number = connection.execute(found).scalar_one_or_none()
        if number is None:
            raise Refused(
                f"audit log {self.database}: exchange {draft.exchange!r} never began, so it cannot end"
            )
        return number

    def _remember(self, begun: dict[str, int], jobs: list[_Job]) -> None:
        self._intents.update(begun)
        for job in jobs:
            for draft in job.drafts:
                if draft.ends:
                    self._intents.pop(draft.exchange, None)
        while len(self._intents) > _MOST_REMEMBERED:
            self._intents.popitem(last=False)

    def _landed(self, last: tuple[int, str]) -> bool:
        try:
            with self.database.reading() as connection:
                return (
                    connection.execute(sa.select(ROWS.c.mac).where(ROWS.c.number == last[0])).scalar()
                    == last[1]
                )
        except AhaError:
            return False

    def _drop_connection(self) -> None:
        if self._connection is not None:
            silently(self._connection.invalidate)
            silently(self._connection.close)
            self._connection = None


def _succeed(job: _Job, numbers: tuple[int, ...]) -> None:
    if not job.future.done():  # a loop that was torn down has cancelled it; the rows are there all the same
        job.future.set_result(numbers)


def _fail(job: _Job, error: BaseException) -> None:
    if not job.future.done():
        job.future.set_exception(error)


def _probe(connection: sa.Connection) -> Sequence[Draft]:
    connection.execute(META.update().where(META.c.name == "probe").values(value=str(time.time())))
    return ()
