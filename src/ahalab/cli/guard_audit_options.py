"""Options that the commands of `aha guard audit` share."""

from __future__ import annotations

import getpass
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ahalab.errors import UserError

if TYPE_CHECKING:
    from ahalab.serving.audit.reading import Reader
    from ahalab.serving.audit.recorded import Period
    from ahalab.serving.audit.store import AuditLog

Log = Annotated[
    str,
    typer.Option(
        "--log", metavar="FILE|URL", help="The audit log: SQLite's file, or postgresql://USER@HOST/DATABASE."
    ),
]
Key = Annotated[
    Path | None, typer.Option("--key-file", help="The audit key's file; AHALAB_AUDIT_KEY when left out.")
]
Since = Annotated[
    str | None, typer.Option(metavar="TIME|AGO", help="From this time on (UTC), or ago: 2026-11-26, 24h, 7d.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME|AGO", help="Before this time.")]
KeyId = Annotated[str | None, typer.Option("--key", metavar="ID", help="Only of this API key, by its id.")]
PolicyVersion = Annotated[
    str | None, typer.Option("--version", metavar="HASH", help="Only under this version of a policy.")
]
Who = Annotated[
    str | None, typer.Option("--who", help="Your name, for the log; the system's user when left out.")
]
Why = Annotated[str | None, typer.Option("--why", help="Why the texts are read; is written to the log.")]

DEFAULT_LOG = "audit.sqlite"
_AGO = re.compile(r"(\d{1,6})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


@contextmanager
def opened(log: str, key_file: Path | None) -> Iterator[AuditLog]:
    """The log, for a command: it must be there."""
    from ahalab.serving.audit import AuditSettings, open_audit

    store = open_audit(log, key_file, AuditSettings(keep_text=False), create=False)
    try:
        yield store
    finally:
        store.close()


def reader_of(store: AuditLog, who: str | None, why: str | None) -> Reader:
    """Who asks for texts: the scope is in the key file."""
    from ahalab.serving.audit.reading import readers_with_key

    return readers_with_key(store, who_am_i(who), why or "")


def moment(text: str | None) -> str:
    """A time as rows carry it. UserError for anything else than a date, a time or an age."""
    from ahalab.serving.audit.rows import stamp

    if text is None:
        return ""
    ago = _AGO.fullmatch(text)
    if ago:
        return stamp(datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])}))
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(
            f"time {text!r}: expected 2026-11-26, 2026-11-26T12:30 (UTC), or an age such as 30m, 24h, 7d"
        ) from None
    return stamp(found if found.tzinfo else found.replace(tzinfo=UTC))


def period(
    since: str | None = None,
    until: str | None = None,
    key: str | None = None,
    version: str | None = None,
    exchange: str | None = None,
) -> Period:
    """What the options choose."""
    from ahalab.serving.audit.recorded import Period

    return Period(moment(since), moment(until), key or "", version or "", exchange or "")


def who_am_i(who: str | None) -> str:
    """The name for the log."""
    if who:
        return who
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        raise UserError("the system does not know your name: say it with --who") from None
