"""Verification: every row's HMAC from the first to the last, in flat memory, while the server goes on writing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from ahalab.errors import UserError
from ahalab.serving.audit.database import Database
from ahalab.serving.audit.heads import Head, own_head
from ahalab.serving.audit.keyfile import AuditKeys
from ahalab.serving.audit.rows import first_mac, row_mac
from ahalab.serving.audit.schema import ROWS, read_meta
from ahalab.serving.audit.text_account import TextAccount
from ahalab.serving.audit.verification import OpenExchange, Verification

PAGE = 1000
_LOWEST = -(2**63)
_MOST_NAMED = 20


def verify(
    database: Database, keys: AuditKeys, heads: Sequence[Head] = (), *, open_texts: bool = False
) -> Verification:
    """Follow the chain. `heads` are heads exported earlier; `open_texts` also opens each text and compares its hash.

    Raises:
        UserError: another log's head, another log's key, or no log at all.
        EnvironmentFailure: the database cannot be read.
    """
    report = Verification()
    with database.reading() as connection:
        if not sa.inspect(connection).has_table(ROWS.name):
            raise UserError(f"{database}: there is no audit log in this database")
        meta = read_meta(connection)
        begun = own_head(connection)
    if meta.get("key") != keys.fingerprint:
        raise UserError(f"{database}: begun with key {meta.get('key')}, the key given is {keys.fingerprint}")
    chain = meta.get("chain", "")
    for head in heads:
        if head.chain != chain:
            raise UserError(
                f"the head of {head.at} belongs to another log ({head.chain}, this one is {chain})"
            )
    expected: dict[int, list[Head]] = {}
    for head in heads:
        expected.setdefault(head.count, []).append(head)
    report.mac = first = first_mac(keys, chain)
    _compare_heads(report, expected, 0)
    texts = TextAccount(report, database, keys if open_texts else None)
    for page in _pages(database):
        _follow(report, page, keys, expected)
        texts.add(page)
    _compare_end(report, database, begun, first, expected)
    texts.settle()
    _look_for_half_rows(report, database)
    _list_open(report, database)
    return report


def _pages(database: Database) -> Iterator[Sequence[Any]]:
    after = _LOWEST
    while True:
        with database.reading() as connection:
            page = connection.execute(
                sa.select(ROWS).where(ROWS.c.number > after).order_by(ROWS.c.number).limit(PAGE)
            ).all()
        if not page:
            return
        yield page
        after = page[-1].number


def _follow(
    report: Verification, page: Sequence[Any], keys: AuditKeys, expected: dict[int, list[Head]]
) -> None:
    for row in page:
        wanted = report.last + 1
        if row.number > wanted:
            missing = (
                f"row {wanted} is" if row.number == wanted + 1 else f"rows {wanted} to {row.number - 1} are"
            )
            report.found(f"{missing} missing: deleted, or moved")
        elif row.number < wanted:
            where = "is there twice" if row.number > 0 else "was put in before the chain's first row"
            report.found(f"row {row.number} {where}")
        try:
            fits = row_mac(keys, report.mac, row._mapping) == row.mac
        except (ValueError, TypeError):
            fits = False
        if not fits:
            report.found(
                f"row {row.number} does not fit the row before it: changed, moved, or put in without the key"
            )
        report.rows += 1
        report.last, report.mac = row.number, row.mac
        report.kinds[str(row.kind)] += 1
        _compare_heads(report, expected, row.number)


def _compare_heads(report: Verification, expected: dict[int, list[Head]], number: int) -> None:
    for head in expected.pop(number, ()):
        if head.mac == report.mac:
            report.heads += 1
        else:
            report.found(
                f"row {number} is not the one that the head of {head.at} signed: the chain was rewritten"
            )


def _compare_end(
    report: Verification,
    database: Database,
    begun: tuple[int, str] | None,
    first: str,
    expected: dict[int, list[Head]],
) -> None:
    for count in sorted(expected):
        for head in expected[count]:
            report.found(
                f"row {report.last + 1} is missing: the head of {head.at} signed {count} rows, "
                f"{report.last} are there: rows were cut off the end"
            )
    with database.reading() as connection:
        ended = own_head(connection)
        counted = connection.scalar(
            sa.select(sa.func.count()).select_from(ROWS).where(ROWS.c.number <= report.last)
        )
        marked = (
            first
            if begun is None or not begun[0]
            else connection.scalar(sa.select(ROWS.c.mac).where(ROWS.c.number == begun[0]))
        )
    if report.rows and counted != report.rows:
        report.found(f"{counted} rows carry the numbers of {report.rows}: some number is there twice")
    if begun is None or ended is None:
        report.found("the chain's head is missing from the database, or is there twice")
        return
    if begun[0] > report.last:
        report.found(f"row {report.last + 1} is missing: the database itself counts {begun[0]} rows")
    elif ended[0] < report.last:
        report.found(
            f"row {ended[0] + 1} is not counted by the database's own head: put in, or the head put back"
        )
    elif marked != begun[1]:
        report.found(f"row {begun[0]} is not the one that the database's own head names")


def _look_for_half_rows(report: Verification, database: Database) -> None:
    end, begin = ROWS.alias("ending"), ROWS.alias("beginning")
    half = (
        sa.select(end.c.number)
        .join(begin, begin.c.number == end.c.closes, isouter=True)
        .where(
            sa.or_(
                sa.and_(end.c.closes.is_(None), end.c.kind.in_(("conclusion", "closure"))),
                sa.and_(
                    end.c.closes.is_not(None),
                    sa.or_(
                        begin.c.number.is_(None), begin.c.kind != "intent", begin.c.exchange != end.c.exchange
                    ),
                ),
            )
        )
        .order_by(end.c.number)
        .limit(1)
    )
    with database.reading() as connection:
        number = connection.scalar(half)
    if number is not None:
        report.found(f"row {number} ends an exchange that it does not belong to")


def _list_open(report: Verification, database: Database) -> None:
    with database.reading() as connection:
        chosen = open_exchanges()
        report.open_count = connection.scalar(sa.select(sa.func.count()).select_from(chosen.subquery())) or 0
        report.open_named = [OpenExchange(*row) for row in connection.execute(chosen.limit(_MOST_NAMED))]


def open_exchanges(before: str = "") -> sa.Select[int, str, str]:
    """Number, exchange and time of intents without an end, oldest first; only those from before a time."""
    begin, end = ROWS.alias("begun"), ROWS.alias("ended")
    chosen = (
        sa.select(begin.c.number, begin.c.exchange, begin.c.at)
        .join(end, end.c.closes == begin.c.number, isouter=True)
        .where(begin.c.kind == "intent", end.c.number.is_(None))
        .order_by(begin.c.number)
    )
    return chosen.where(begin.c.at < before) if before else chosen
