"""The log as JSON lines, in the chain's order, each row with its HMAC; texts only for readers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from ahalab.serving.audit.database import Database
from ahalab.serving.audit.recorded import Period, Recorded
from ahalab.serving.audit.schema import ROWS

PAGE = 1000


def exported_rows(database: Database, period: Period) -> Iterator[dict[str, Any]]:
    """Every row of the period (by its own time), whatever its kind. EnvironmentFailure as reading."""
    after = 0
    while True:
        chosen = sa.select(ROWS).where(ROWS.c.number > after).order_by(ROWS.c.number).limit(PAGE)
        conditions = (
            (period.since, ROWS.c.at >= period.since),
            (period.until, ROWS.c.at < period.until),
            (period.exchange, ROWS.c.exchange == period.exchange),
            (period.policy, ROWS.c.policy == period.policy),
            (period.key, sa.or_(ROWS.c.key == period.key, ROWS.c.closes.in_(_begun_by(period.key)))),
        )
        for value, condition in conditions:
            if value:
                chosen = chosen.where(condition)
        with database.reading() as connection:
            page = connection.execute(chosen).all()
        for row in page:
            yield {**row._mapping, "body": json.loads(row.body)}
        if len(page) < PAGE:
            return
        after = page[-1].number


def exported_dialogue(one: Recorded) -> dict[str, Any]:
    """An exchange with its texts, as one object."""
    said = one.text
    return {
        "exchange": one.exchange,
        "at": one.at,
        "key": one.key,
        "policy": one.policy,
        "action": one.action,
        "would": one.would,
        "flagged": one.flagged,
        "sampled": one.sampled,
        "bypass": one.bypass,
        "asked": one.asked,
        "done": one.done,
        "text": None
        if said is None
        else {
            "turns": [
                {"role": turn.role, "content": turn.content, "thinking": turn.thinking} for turn in said.turns
            ],
            "reply": said.reply,
            "thinking": said.thinking,
            "terms": list(said.terms),
            "review": said.review,
        },
        "lacking": one.lacking,
    }


def _begun_by(key: str) -> sa.Select[int]:
    begun = ROWS.alias("begun")
    return sa.select(begun.c.number).where(begun.c.kind == "intent", begun.c.key == key)
