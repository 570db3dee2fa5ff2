"""Recorded exchanges: intent and conclusion put together again, with their texts for those who may read them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from ahalab.errors import UserError
from ahalab.guard.records import Exchange, Turn
from ahalab.serving.audit.database import Database
from ahalab.serving.audit.keyfile import AuditKeys
from ahalab.serving.audit.schema import ROWS, TEXT_KEYS, TEXTS
from ahalab.serving.audit.sealing import unseal

PAGE = 200


@dataclass(frozen=True, slots=True)
class Period:
    """Which exchanges: all where nothing is set. Times as rows carry them, of the intent; `until` is left out."""

    since: str = ""
    until: str = ""
    key: str = ""
    policy: str = ""
    exchange: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """What was said. Hostile text."""

    turns: tuple[Turn, ...]
    reply: str
    thinking: str
    terms: tuple[str, ...]
    """Terms that were found, in words."""
    review: str
    """The reviewer's reason."""
    raw: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recorded:
    """One exchange that has its conclusion."""

    number: int
    """Of its intent."""
    exchange: str
    key: str
    at: str
    policy: str
    """Version that decided."""
    action: str
    would: str
    flagged: bool
    sampled: bool
    bypass: str
    asked: dict[str, Any] = field(repr=False)
    """Body of the intent."""
    done: dict[str, Any] = field(repr=False)
    """Body of the conclusion."""
    text: Text | None = field(default=None, repr=False)
    lacking: str = ""
    """Why there is no text though it was asked for: "erased" or "not kept"."""

    @property
    def verdict(self) -> bool | None:
        """Whether the reviewer found a violation; None without a verdict."""
        review = self.done.get("review")
        return None if not review or review["error"] else bool(review["rules"])

    def as_exchange(self) -> Exchange:
        """The exchange again, for the control; it must have its text."""
        assert self.text is not None
        return Exchange(
            self.exchange,
            self.key,
            self.text.turns,
            self.asked["model"],
            self.asked["stream"],
            self.asked["language"],
        )


def recorded(database: Database, period: Period, texts: AuditKeys | None = None) -> Iterator[Recorded]:
    """Exchanges in the order they began, a page at a time. With keys, their texts too: have the reading chained first.

    Raises:
        EnvironmentFailure: the database cannot be read.
        UserError: a text does not open, or a row is not what this program writes: run verify.
    """
    begin, end = ROWS.alias("begun"), ROWS.alias("ended")
    after = 0
    while True:
        chosen = (
            sa.select(
                begin, end.c.number.label("end"), *(end.c[name].label(f"end_{name}") for name in _OF_END)
            )
            .join(end, sa.and_(end.c.closes == begin.c.number, end.c.kind == "conclusion"))
            .where(begin.c.number > after, *_conditions(begin, end, period))
            .order_by(begin.c.number)
            .limit(PAGE)
        )
        with database.reading() as connection:
            page = connection.execute(chosen).all()
            sealed = _sealed(connection, page) if texts is not None and page else {}
        for row in page:
            yield _recorded(row, sealed, texts)
        if len(page) < PAGE:
            return
        after = page[-1].number


_OF_END = ("policy", "action", "would", "flagged", "sampled", "bypass", "body")


def _conditions(begin: Any, end: Any, period: Period) -> list[Any]:
    conditions = []
    if period.since:
        conditions.append(begin.c.at >= period.since)
    if period.until:
        conditions.append(begin.c.at < period.until)
    for column, value in (
        (begin.c.key, period.key),
        (end.c.policy, period.policy),
        (begin.c.exchange, period.exchange),
    ):
        if value:
            conditions.append(column == value)
    return conditions


def _sealed(connection: sa.Connection, page: Sequence[Any]) -> dict[int, tuple[bytes, bytes]]:
    numbers = [number for row in page for number in (row.number, row.end)]
    chosen = (
        sa.select(TEXTS.c.number, TEXTS.c.sealed, TEXT_KEYS.c.sealed)
        .join(TEXT_KEYS, TEXT_KEYS.c.number == TEXTS.c.number)
        .where(TEXTS.c.number.in_(numbers))
    )
    return {row[0]: (row[1], row[2]) for row in connection.execute(chosen)}


def _recorded(row: Any, sealed: dict[int, tuple[bytes, bytes]], keys: AuditKeys | None) -> Recorded:
    try:
        asked, done = json.loads(row.body), json.loads(row.end_body)
        text, lacking = None, ""
        if keys is not None:
            if "text" not in asked or "text" not in done:
                lacking = "not kept"
            elif row.number not in sealed or row.end not in sealed:
                lacking = "erased"
            else:
                first = _opened(keys, sealed[row.number], f"intent {row.exchange}", asked)
                last = _opened(keys, sealed[row.end], f"conclusion {row.exchange}", done)
                text = Text(
                    tuple(Turn(role, content, thinking) for role, content, thinking in first["turns"]),
                    last["reply"],
                    last["thinking"],
                    tuple(last["terms"]),
                    last.get("review", ""),
                    tuple(last.get("raw", ())),
                )
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"audit log, exchange {row.exchange} (rows {row.number} and {row.end}): {error}. "
            "Run `aha guard audit verify`."
        ) from error
    return Recorded(
        row.number,
        row.exchange,
        row.key,
        row.at,
        row.end_policy,
        row.end_action,
        row.end_would,
        bool(row.end_flagged),
        bool(row.end_sampled),
        row.end_bypass,
        asked,
        done,
        text,
        lacking,
    )


def _opened(keys: AuditKeys, sealed: tuple[bytes, bytes], label: str, body: dict[str, Any]) -> dict[str, Any]:
    text = unseal(keys.seal(), sealed[0], sealed[1], label)
    if keys.text_hash(text.decode("ascii")) != body["text"]["hash"]:
        raise ValueError("the text is not the one that its row signs")
    opened = json.loads(text)
    assert isinstance(opened, dict)
    return opened
