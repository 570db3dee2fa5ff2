"""Reading texts is a scope of its own, and leaves a row in the chain before anything is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from ahalab.errors import UserError
from ahalab.serving.audit.recorded import Period, Recorded, recorded
from ahalab.serving.audit.rows import Draft
from ahalab.serving.audit.store import AuditLog

SCOPE = "audit-read"


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads, why, and what they may. On the command line the scope is the key file's line `texts`."""

    who: str
    why: str
    scopes: frozenset[str]


def readers_with_key(log: AuditLog, who: str, why: str) -> Reader:
    """A reader on the command line: holding the line `texts` of the key file is the scope."""
    return Reader(who, why, frozenset({SCOPE}) if log.keys.texts is not None else frozenset())


def read_texts(log: AuditLog, period: Period, reader: Reader, purpose: str) -> Iterator[Recorded]:
    """Exchanges with their texts; the reading is durable in the chain before the first one comes.

    Raises:
        UserError: without the scope `audit-read`, or without saying who and why.
        EnvironmentFailure: the reading cannot be written, so nothing is read.
    """
    if SCOPE not in reader.scopes:
        raise UserError(
            f"{reader.who or 'this reader'} may not read texts: that needs the scope `{SCOPE}` "
            "(on the command line: the whole key file, not an auditor's copy)"
        )
    if not reader.who.strip() or not reader.why.strip():
        raise UserError("reading texts is written to the log: say who reads (--who) and why (--why)")
    body = {
        "who": reader.who,
        "why": reader.why,
        "purpose": purpose,
        "period": {name: value for name, value in asdict(period).items() if value},
    }
    log.writer.submit(lambda: [Draft("reading", period.exchange, period.key, body=body)]).result()
    return recorded(log.database, period, log.keys)
