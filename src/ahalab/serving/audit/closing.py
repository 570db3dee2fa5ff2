"""Closing what killed processes left open, so that each intent has its end in the chain."""

from __future__ import annotations

import sqlalchemy as sa

from ahalab.serving.audit.rows import Draft
from ahalab.serving.audit.store import AuditLog
from ahalab.serving.audit.verify import open_exchanges

BATCH = 200


def close_interrupted(log: AuditLog, before: str, who: str) -> int:
    """Chain a `closure` for every open intent from before a time; how many. Found and closed under the chain's lock."""
    closed = 0

    def within(connection: sa.Connection) -> list[Draft]:
        body = {"who": who, "why": "interrupted: the process ended before it wrote the conclusion"}
        return [
            Draft("closure", row.exchange, body=body)
            for row in connection.execute(open_exchanges(before).limit(BATCH))
        ]

    while numbers := log.writer.submit_within(within).result():
        closed += len(numbers)
    return closed
