"""The audit log as gateway and commands use it: rows in, durable when the call returns."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ahalab.errors import AhaError, UserError
from ahalab.guard.records import Decision, Exchange
from ahalab.serving.audit.bell import Bell
from ahalab.serving.audit.database import Database
from ahalab.serving.audit.erasure import Selection, erasing
from ahalab.serving.audit.heads import Head, current_head, write_head
from ahalab.serving.audit.keyfile import AuditKeys, read_keys
from ahalab.serving.audit.pending import Pending
from ahalab.serving.audit.rows import conclusion_draft, intent_draft, stamp
from ahalab.serving.audit.schema import prepare
from ahalab.serving.audit.taking_up import take_up
from ahalab.serving.audit.writer import Writer

_LOG = logging.getLogger(__name__)
_FRESH_SECONDS = 1.0
"""A commit, or a probe, this new answers `ready` without another one."""
_RETENTION_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """What may be set besides database and key."""

    heads: Path | None = None
    """Folder for signed heads, best on another machine's disk; None writes none."""
    heads_seconds: float = 300.0
    """Between two heads, if rows came in between."""
    keep_text: bool = True
    """Whether texts are kept, sealed; without them the log holds keyed hashes only, and nothing can be replayed."""
    pending: Path | None = None
    """Folder of this machine for conclusions on their way (`pending`); without one a kill may lose what nobody waits
    for: the conclusions of replies in which nothing was found."""
    retention_days: float | None = None
    """Texts older than this are erased while the server runs; None keeps them until `aha guard audit erase`."""


class AuditLog:
    """Implements `guard.protocols.AuditStore`. Made by `open_audit`; `close` writes what waits."""

    def __init__(self, database: Database, keys: AuditKeys, chain: str, settings: AuditSettings) -> None:
        self.database, self.keys, self.chain, self.settings = database, keys, chain, settings
        self.heads_failed = 0
        """Heads that could not be written (logged each time)."""
        self.taken_up = 0
        """Conclusions that processes which were killed had left behind."""
        self._head_due = 0.0
        self._head: Head | None = None
        self._retention_due = 0.0
        self._probe: Future[tuple[int, ...]] | None = None
        self._probed = 0.0
        self._bell: Bell | None = None
        self.writer = Writer(database, keys, self._tick)
        self._pending: Pending | None = None
        if settings.pending is not None:
            try:
                self.taken_up = take_up(settings.pending, database, keys, self.writer)
                self._pending = Pending(settings.pending, keys)
            except BaseException:
                self.writer.close()
                raise

    async def ready(self) -> str:
        """ "" when rows can be written; otherwise why not. Writes to find out, at most once a second."""
        moment = time.monotonic()
        full = self.database.room()
        if full:
            return full
        if (
            not (self.writer.failure or self.writer.doubtful)
            and moment - self.writer.last_success < _FRESH_SECONDS
        ):
            return ""
        try:
            if self._probe is None or (self._probe.done() and moment - self._probed >= _FRESH_SECONDS):
                self._probe, self._probed = self.writer.probe(), moment
            await self._durable(self._probe)
        except AhaError as error:
            return str(error)
        return self.writer.failure

    async def intent(self, exchange: Exchange, policy: str) -> None:
        """The exchange begins. EnvironmentFailure when that cannot be kept: then no reply may go out."""
        keep = self.settings.keep_text
        await self._durable(self.writer.submit(lambda: [intent_draft(self.keys, exchange, policy, keep)]))

    async def conclude(
        self, exchange: Exchange, decision: Decision, reply: str, thinking: str, extra: Mapping[str, Any]
    ) -> None:
        """What was done. EnvironmentFailure as `intent`, and for an exchange that never began or has ended."""
        keep = self.settings.keep_text
        await self._durable(
            self.writer.submit(
                lambda: [conclusion_draft(self.keys, exchange, decision, reply, thinking, extra, keep)]
            )
        )

    async def conclude_soon(
        self, exchange: Exchange, decision: Decision, reply: str, thinking: str, extra: Mapping[str, Any]
    ) -> Awaitable[None]:
        """What was done: outlives this process once this returns, and is durable once what it returns is done.

        The row shares the commit of the next one. Where the pending files cannot be written it waits for a commit.
        """
        draft = conclusion_draft(
            self.keys, exchange, decision, reply, thinking, extra, self.settings.keep_text
        )
        if self._pending is None:
            return self._durable(self.writer.submit(lambda: [draft], waited=False))
        try:
            written = self._pending.keep(draft)
        except OSError as error:
            _LOG.error("a pending conclusion cannot be kept (%s): it waits for its commit", error)
            writing = self.writer.submit(lambda: [draft])
            await self._durable(writing)
        else:
            writing = self.writer.submit(lambda: [draft], waited=False)
            writing.add_done_callback(lambda done: None if done.exception() else written())
        return self._durable(writing)

    def export_head(self) -> Path | None:
        """Write a head now; None when no folder is set."""
        if self.settings.heads is None:
            return None
        head = current_head(self.database, self.chain)
        path = write_head(self.settings.heads, head, self.keys)
        self._head = head
        return path

    def close(self) -> None:
        """Write what waits, export a last head, and give the database back."""
        self.writer.close()
        if self._pending is not None:
            self._pending.close()
        if self._head is None or self.writer.committed:
            self._export_due_head()
        self.database.close()

    async def _durable(self, future: Future[tuple[int, ...]]) -> None:
        loop = asyncio.get_running_loop()
        if self._bell is None or self._bell.loop is not loop:
            self._bell = Bell(loop)
        await self._bell.done(future)

    def _tick(self) -> None:
        moment = time.monotonic()
        if self.settings.heads is not None and moment >= self._head_due:
            self._head_due = moment + self.settings.heads_seconds
            self._export_due_head()
        if self.settings.retention_days is not None and moment >= self._retention_due:
            self._retention_due = moment + _RETENTION_SECONDS
            before = stamp(datetime.now(UTC) - timedelta(days=self.settings.retention_days))
            done = self.writer.submit_within(erasing(Selection(before=before), "retention", ""))
            done.add_done_callback(self._retained)

    def _export_due_head(self) -> None:
        if self.settings.heads is None:
            return
        try:
            head = current_head(self.database, self.chain)
            if self._head is None or head.count > self._head.count:
                write_head(self.settings.heads, head, self.keys)
                self._head = head
        except AhaError as error:
            self.heads_failed += 1
            _LOG.error("no head was exported: %s", error)

    def _retained(self, done: Future[tuple[int, ...]]) -> None:
        error = done.exception()
        if error is not None:
            _LOG.error("texts past their retention were not erased: %s", error)
        elif done.result():
            self._retention_due = 0.0  # there may be more: one batch at a time
            why = self.database.forget_traces()
            if why:
                _LOG.warning("after an erasure: %s", why)


def open_audit(
    url: str, key_file: Path | None, settings: AuditSettings | None = None, *, create: bool = True
) -> AuditLog:
    """The audit log in a database: a file name, sqlite:///FILE or postgresql://USER@HOST/DATABASE.

    `key_file` None takes the key from AHALAB_AUDIT_KEY. `create` makes the tables where there are none.

    Raises:
        UserError: a wrong address or key, or a key that others may read.
        EnvironmentFailure: the database cannot be reached or written.
    """
    settings = settings or AuditSettings()
    keys = read_keys(key_file)
    if settings.keep_text:
        keys.seal()
    if settings.retention_days is not None and not settings.retention_days > 0:
        raise UserError(f"retention of {settings.retention_days} days: expected more than 0, or none at all")
    database = Database(url, create=create)
    with database.writing() as connection:
        chain = prepare(connection, keys, create)
    return AuditLog(database, keys, chain, settings)
