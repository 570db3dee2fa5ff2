"""One thread that writes all rows of this process: what waits is committed together (group commit).

Rows that nobody waits for stay a little, so that they share the commit of the next rows that somebody waits for.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

import sqlalchemy as sa

from ahalab.errors import AhaError, EnvironmentFailure
from ahalab.serving.audit.chain import Chain, Job, Refused, Within
from ahalab.serving.audit.database import Database
from ahalab.serving.audit.keyfile import AuditKeys
from ahalab.serving.audit.rows import Draft
from ahalab.serving.audit.schema import META

_LOG = logging.getLogger(__name__)
GROUP = 256
"""Jobs of one commit."""
MOST_WAITING = 4096
"""Rows that may wait; more are refused, so a stuck database does not fill the memory."""
PROBE = 64 * 1024
"""Bytes of a probe in doubt."""
PATIENCE = 0.02
"""Seconds that rows nobody waits for stay at most before their commit begins."""


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
        self.doubtful = False
        """A commit has failed, and nothing of a row's size was written since."""
        self.last_success = 0.0
        self._tick, self._tick_seconds = tick, tick_seconds
        self._chain = Chain(database, keys)
        self._jobs: deque[Job] = deque()
        self._waited = 0
        """Jobs in the queue that somebody waits for."""
        self._sleeps_until = 0.0
        """When the thread looks again by itself."""
        self._wake = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="audit-writer", daemon=True)
        self._thread.start()

    def submit(self, build: Callable[[], Sequence[Draft]], *, waited: bool = True) -> Future[tuple[int, ...]]:
        """Queue rows, which `build` makes in the writer's thread; the future gives their numbers.

        `waited` False: nobody is held up by these, so their commit may begin `PATIENCE` seconds later.

        Raises:
            EnvironmentFailure: too many rows wait, or the log is closed. The future raises it when writing fails.
        """
        return self._queue(Job(build, by=0.0 if waited else time.monotonic() + PATIENCE))

    def submit_within(self, within: Within) -> Future[tuple[int, ...]]:
        """As `submit`, for rows that are made inside the transaction, with the chain's head locked."""
        return self._queue(Job(None, within))

    def probe(self) -> Future[tuple[int, ...]]:
        """Write and commit something that is not a row: whether rows could be written now.

        In doubt something as large as a row with its text: a few bytes may fit where that does not.
        """
        done = self._queue(Job(None, partial(_probe, size=PROBE if self.doubtful else 0)))
        if self.doubtful:
            done.add_done_callback(self._doubted)
        return done

    def _doubted(self, done: Future[tuple[int, ...]]) -> None:
        self.doubtful = done.exception() is not None

    def close(self) -> None:
        """Write what waits and end the thread. Twice is fine."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _queue(self, job: Job) -> Future[tuple[int, ...]]:
        with self._wake:
            if self._closing:
                raise EnvironmentFailure(self.failure or f"audit log {self.database}: it is closed")
            if len(self._jobs) >= MOST_WAITING:
                raise EnvironmentFailure(
                    f"audit log {self.database}: {MOST_WAITING} rows wait to be written already"
                )
            self._jobs.append(job)
            self._waited += not job.by
            if self._sleeps_until > job.by or len(self._jobs) >= GROUP:
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
        self._chain.drop_connection()

    def _turn(self) -> bool:
        """Write what waits, or look whether something is due; whether to go on."""
        with self._wake:
            self._sleep()
            jobs = [self._jobs.popleft() for _ in range(min(GROUP, len(self._jobs)))]
            self._waited -= sum(not job.by for job in jobs)
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

    def _sleep(self) -> None:
        """Until rows must be written, or a tick has passed. With the lock held, which waiting lends out."""
        moment = time.monotonic()
        until = moment + self._tick_seconds
        # A short nap first: rows that come within it and are in no hurry need not wake the thread to be counted in.
        nap = min(until, moment + PATIENCE)
        while not (self._closing or self._waited or len(self._jobs) >= GROUP):
            if self._jobs:  # in the order they came: the first has waited longest
                self._sleeps_until = min(until, self._jobs[0].by)
            else:
                self._sleeps_until = nap if moment < nap else until
            left = self._sleeps_until - moment
            if left <= 0:
                break
            self._wake.wait(left)
            moment = time.monotonic()
        self._sleeps_until = 0.0

    def _write(self, jobs: list[Job]) -> None:
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

    def _write_one(self, job: Job) -> None:
        try:
            (numbers,) = self._commit([job])
        except Exception as error:
            _fail(job, self._failed(error))
        else:
            _succeed(job, numbers)

    def _built(self, job: Job) -> bool:
        try:
            job.make(self.keys)
        except Exception as error:
            _fail(job, error)
            return False
        return True

    def _commit(self, jobs: list[Job]) -> list[tuple[int, ...]]:
        try:
            numbers = self._chain.append(jobs)
        except (sa.exc.IntegrityError, Refused):
            raise
        except BaseException as error:
            self.failure, self.doubtful = self.database.explain(error), True
            raise
        self.committed += sum(map(len, numbers))
        self.commits += 1
        self.failure, self.last_success = "", time.monotonic()
        return numbers

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


def _succeed(job: Job, numbers: tuple[int, ...]) -> None:
    if not job.future.done():  # a loop that was torn down has cancelled it; the rows are there all the same
        job.future.set_result(numbers)


def _fail(job: Job, error: BaseException) -> None:
    if not job.future.done():
        job.future.set_exception(error)


def _probe(connection: sa.Connection, size: int) -> Sequence[Draft]:
    value = f"{time.time()}{' ' * size}"
    connection.execute(META.update().where(META.c.name == "probe").values(value=value))
    return ()
