"""Verification: every row's HMAC from the first to the last, in flat memory, while the server goes on writing."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from ahalab.errors import UserError
from ahalab.serving.audit.database import Database
from ahalab.serving.audit.heads import Head
from ahalab.serving.audit.keyfile import AuditKeys
from ahalab.serving.audit.rows import first_mac, row_mac
from ahalab.serving.audit.schema import HEAD, ROWS, TEXT_KEYS, TEXTS, read_meta
from ahalab.serving.audit.sealing import unseal

PAGE = 1000
_LOWEST = -(2**63)
_MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class OpenExchange:
    """An intent without an end: under way, or left by a process that was killed."""

    number: int
    exchange: str
    at: str


@dataclass(slots=True)
class Verification:
    """What was found. `sound` is the answer; open exchanges are no error."""

    rows: int = 0
    last: int = 0
    """Number of the last row."""
    mac: str = ""
    kinds: Counter[str] = field(default_factory=Counter)
    first_bad: str = ""
    """The first bad row, and what is wrong; "" for none."""
    bad: int = 0
    heads: int = 0
    """Head files that fit."""
    texts: int = 0
    """Texts that are there."""
    erased: int = 0
    """Texts that an erasure row accounts for."""
    returned: int = 0
    """Texts that can be read though an erasure row says they are gone: an old copy was put back."""
    open_count: int = 0
    open_named: list[OpenExchange] = field(default_factory=list)
    """The oldest ones."""

    @property
    def sound(self) -> bool:
        """Whether nothing was changed, removed, added, moved or cut off."""
        return not self.first_bad

    def found(self, what: str) -> None:
        """Remember something that is wrong."""
        self.bad += 1
        self.first_bad = self.first_bad or what


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
        begun = connection.execute(sa.select(HEAD.c.length, HEAD.c.mac)).one_or_none()
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
    report.mac = first_mac(keys, chain)
    _compare_heads(report, expected, 0)
    gone, erased = array("q"), array("q")
    for page in _pages(database):
        _follow(report, page, keys, expected)
        _erasures(page, erased)
        _look_at_texts(report, database, keys if open_texts else None, page, gone)
    _compare_end(report, database, begun, expected)
    _account_for_texts(report, database, gone, erased)
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
            report.found(f"row {row.number} was put in before the chain's first row")
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
    report: Verification, database: Database, begun: Any, expected: dict[int, list[Head]]
) -> None:
    for count in sorted(expected):
        for head in expected[count]:
            report.found(
                f"row {report.last + 1} is missing: the head of {head.at} signed {count} rows, "
                f"{report.last} are there: rows were cut off the end"
            )
    with database.reading() as connection:
        ended = connection.execute(sa.select(HEAD.c.length, HEAD.c.mac)).one_or_none()
        marked = (
            None
            if begun is None
            else connection.scalar(sa.select(ROWS.c.mac).where(ROWS.c.number == begun.length))
        )
    if begun is None or ended is None:
        report.found("the chain's head is missing from the database")
        return
    if begun.length > report.last:
        report.found(f"row {report.last + 1} is missing: the database itself counts {begun.length} rows")
    elif ended.length < report.last:
        report.found(
            f"row {ended.length + 1} is not counted by the database's own head: put in, or the head put back"
        )
    elif begun.length and marked != begun.mac:
        report.found(f"row {begun.length} is not the one that the database's own head names")


def _erasures(page: Sequence[Any], erased: array[int]) -> None:
    for row in page:
        if row.kind == "erasure":
            try:
                runs = json.loads(row.body)["rows"]
                flat = [int(one) for first, last in runs for one in (first, last)]
            except (ValueError, KeyError, TypeError):
                continue  # its HMAC has told already
            erased.extend(flat)


def _look_at_texts(
    report: Verification, database: Database, keys: AuditKeys | None, page: Sequence[Any], gone: array[int]
) -> None:
    """Which rows of the page have lost their text, as runs in `gone`; with keys, whether the others open."""
    kept = [row for row in page if '"text":{' in str(row.body) and row.kind in ("intent", "conclusion")]
    if not kept:
        return
    columns = (
        [TEXT_KEYS.c.number] if keys is None else [TEXT_KEYS.c.number, TEXT_KEYS.c.sealed, TEXTS.c.sealed]
    )
    chosen = (
        sa.select(*columns)
        .join(TEXTS, TEXTS.c.number == TEXT_KEYS.c.number)
        .where(TEXT_KEYS.c.number.between(kept[0].number, kept[-1].number))
    )
    with database.reading() as connection:
        there = {row[0]: row for row in connection.execute(chosen)}
    for row in kept:
        found = there.get(row.number)
        if found is None:
            if gone and gone[-1] == row.number - 1:
                gone[-1] = row.number
            else:
                gone.extend((row.number, row.number))
            continue
        report.texts += 1
        if keys is not None:
            wrong = _unlike(keys, row, found[1], found[2])
            if wrong:
                report.found(f"the text of row {row.number} {wrong}")


def _unlike(keys: AuditKeys, row: Any, sealed_key: bytes, sealed: bytes) -> str:
    try:
        text = unseal(keys.seal(), sealed, sealed_key, f"{row.kind} {row.exchange}")
        signed = json.loads(row.body)["text"]["hash"]
    except (ValueError, KeyError, TypeError) as error:
        return str(error)
    return (
        ""
        if keys.text_hash(text.decode("ascii", "replace")) == signed
        else "is not the text that the row signs"
    )


def _account_for_texts(
    report: Verification, database: Database, gone: array[int], erased: array[int]
) -> None:
    accounted = merged(erased)
    at = 0
    for first, last in zip(gone[::2], gone[1::2], strict=True):
        while first <= last:
            while at < len(accounted) and accounted[at][1] < first:
                at += 1
            if at == len(accounted) or accounted[at][0] > first:
                report.found(f"the text of row {first} is gone, and no erasure says so")
                break
            covered = min(last, accounted[at][1])
            report.erased += covered - first + 1
            first = covered + 1
    with database.reading() as connection:
        for first, last in accounted:
            counted = sa.select(sa.func.count()).where(TEXT_KEYS.c.number.between(first, last))
            report.returned += connection.scalar(counted) or 0


def merged(flat: array[int]) -> list[tuple[int, int]]:
    """Runs, as pairs in a row, sorted and put together: [4, 6, 1, 3, 9, 9] is [(1, 6), (9, 9)]."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(zip(flat[::2], flat[1::2], strict=True)):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


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
