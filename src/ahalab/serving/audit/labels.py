"""What people say about decisions. A label is a row of the chain; the newest one of an exchange counts."""

from __future__ import annotations

import json
from typing import Literal, cast, get_args

import sqlalchemy as sa

from ahalab.errors import UserError
from ahalab.serving.audit.database import Database
from ahalab.serving.audit.rows import Draft
from ahalab.serving.audit.schema import ROWS
from ahalab.serving.audit.store import AuditLog

Label = Literal["false_positive", "missed", "correct", "withdrawn"]
"""Harmless, but flagged or acted against · violating, but released · rightly decided · taken back."""
LABELS: tuple[Label, ...] = get_args(Label)
_MOST_NOTE = 500


def add_label(log: AuditLog, exchange: str, label: str, who: str, note: str = "") -> int:
    """Chain a label; its row's number.

    Raises:
        UserError: no such label or exchange, or the label says what the decision contradicts.
    """
    if label not in LABELS:
        raise UserError(f"label {label!r}: expected one of {', '.join(LABELS)}")
    if len(note) > _MOST_NOTE:
        raise UserError(
            f"the note has {len(note)} characters: at most {_MOST_NOTE}, and no text of the dialogue"
        )
    with log.database.reading() as connection:
        done = connection.execute(
            sa.select(ROWS.c.flagged, ROWS.c.would).where(
                ROWS.c.exchange == exchange, ROWS.c.kind == "conclusion"
            )
        ).one_or_none()
    if done is None:
        raise UserError(
            f"exchange {exchange!r}: there is no such exchange with a conclusion in {log.database}"
        )
    acted = done.would != "release"
    if label == "false_positive" and not done.flagged and not acted:
        raise UserError(
            f"exchange {exchange}: nothing was flagged and it was released, so it is no false positive"
        )
    if label == "missed" and acted:
        raise UserError(f"exchange {exchange}: it was not released ({done.would}), so it was not missed")
    draft = Draft("label", exchange, body={"label": label, "who": who, "note": note})
    return log.writer.submit(lambda: [draft]).result()[0]


def read_labels(database: Database) -> dict[str, Label]:
    """Exchange → its label; withdrawn ones are left out."""
    with database.reading() as connection:
        rows = connection.execute(
            sa.select(ROWS.c.exchange, ROWS.c.body).where(ROWS.c.kind == "label").order_by(ROWS.c.number)
        ).all()
    labels: dict[str, Label] = {}
    for row in rows:
        label = cast(Label, json.loads(row.body)["label"])
        labels.pop(row.exchange, None)
        if label != "withdrawn":
            labels[row.exchange] = label
    return labels


def truly_violates(label: Label | None, verdict: bool | None, acted: bool) -> bool | None:
    """Whether a dialogue violates: a person's word first, then the reviewer's, None where neither is there."""
    if label == "false_positive":
        return False
    if label == "missed":
        return True
    return acted if label == "correct" else verdict
