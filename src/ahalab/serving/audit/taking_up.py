"""What processes that were killed had decided and not yet put into the database: put there by the next one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from ahalab.serving.audit.chain import Refused
from ahalab.serving.audit.database import Database
from ahalab.serving.audit.keyfile import AuditKeys
from ahalab.serving.audit.pending import LeftBehind, left_behind
from ahalab.serving.audit.schema import ROWS
from ahalab.serving.audit.writer import Writer

_LOG = logging.getLogger(__name__)
_ASIDE = ".refused"
_AT_ONCE = 500


def take_up(folder: Path, database: Database, keys: AuditKeys, writer: Writer) -> int:
    """How many conclusions came into the chain. Files are removed; one that holds what cannot is put aside.

    Raises:
        EnvironmentFailure: the database cannot be written; the files stay.
    """
    taken = 0
    with left_behind(folder, keys) as files:
        for one in files:
            refused = 0
            known = _concluded(database, [draft.exchange for draft in one.drafts])
            due = [draft for draft in one.drafts if draft.exchange not in known]
            for future in [writer.submit(partial(list, (draft,))) for draft in due]:
                try:
                    future.result()
                    taken += 1
                except Refused as error:
                    refused += 1
                    _LOG.error("%s: a conclusion that was left behind is refused: %s", one.path, error)
            _settle(one, refused)
    if taken:
        _LOG.warning("%d conclusions of a gateway that was killed are in the audit log now", taken)
    return taken


def _settle(one: LeftBehind, refused: int) -> None:
    if one.damaged or refused:
        aside = one.path.with_suffix(_ASIDE)
        _LOG.error(
            "%s: %d bytes are damaged, %d conclusions refused: kept as %s",
            one.path,
            one.damaged,
            refused,
            aside,
        )
        one.path.rename(aside)
    else:
        one.path.unlink()


def _concluded(database: Database, exchanges: Sequence[str]) -> set[str]:
    found: set[str] = set()
    with database.reading() as connection:
        for first in range(0, len(exchanges), _AT_ONCE):
            some = exchanges[first : first + _AT_ONCE]
            rows = sa.select(ROWS.c.exchange).where(ROWS.c.exchange.in_(some), ROWS.c.kind == "conclusion")
            found.update(connection.scalars(rows))
    return found
