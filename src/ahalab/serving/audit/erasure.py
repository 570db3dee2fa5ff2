"""Erasing texts by deleting their row keys. Which rows it was is chained: verification tells it from tampering."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ahalab.errors import EnvironmentFailure, UserError
from ahalab.serving.audit.chain import Within
from ahalab.serving.audit.rows import Draft, row_mac
from ahalab.serving.audit.schema import ROWS, TEXT_KEYS, TEXTS

if TYPE_CHECKING:
    from ahalab.serving.audit.store import AuditLog

BATCH = 500
"""Texts of one transaction: other writers wait meanwhile."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Whose texts: all conditions that are set hold together; at least one is."""

    before: str = ""
    """Time, as rows carry it; of the row."""
    key: str = ""
    """Id of an API key."""
    exchange: str = ""

    def __post_init__(self) -> None:
        if not (self.before or self.key or self.exchange):
            raise UserError(
                "which texts? Give --before, --key or --id; all texts go with --before and the time of now"
            )


def erasing(selection: Selection, why: str, who: str) -> Within:
    """One batch, for `Writer.submit_within`. It makes one row, or none when nothing is left to erase."""
    named = {name: value for name, value in asdict(selection).items() if value}
    return _deleting(lambda: _chosen(selection), named, selection.exchange, why, who)


def _deleting(
    chosen: Callable[[], sa.Select[int]], named: dict[str, str], exchange: str, why: str, who: str
) -> Within:
    def within(connection: sa.Connection) -> Sequence[Draft]:
        numbers = [int(one) for one in connection.scalars(chosen())]
        if not numbers:
            return ()
        connection.execute(TEXT_KEYS.delete().where(TEXT_KEYS.c.number.in_(numbers)))
        connection.execute(TEXTS.update().where(TEXTS.c.number.in_(numbers)).values(sealed=b""))
        body = {"who": who, "why": why, "selection": named, "texts": len(numbers), "rows": ranges(numbers)}
        return [Draft("erasure", exchange, body=body)]

    return within


def ranges(numbers: Sequence[int]) -> list[list[int]]:
    """Ascending numbers as first and last of each gapless run: [1, 2, 3, 7] is [[1, 3], [7, 7]]."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def _chosen(selection: Selection) -> sa.Select[int]:
    chosen = sa.select(TEXT_KEYS.c.number).order_by(TEXT_KEYS.c.number).limit(BATCH)
    if selection.before:
        chosen = chosen.join(TEXTS, TEXTS.c.number == TEXT_KEYS.c.number).where(TEXTS.c.at < selection.before)
        # The text's own time is not signed, its row's is: who changes the first alone must not make others erase.
        dated = ROWS.alias()
        chosen = chosen.join(dated, dated.c.number == TEXT_KEYS.c.number).where(dated.c.at < selection.before)
    if selection.exchange:
        rows = ROWS.alias()
        chosen = chosen.join(rows, rows.c.number == TEXT_KEYS.c.number).where(
            rows.c.exchange == selection.exchange
        )
    if selection.key:
        begun, rows = ROWS.alias(), ROWS.alias()
        chosen = (
            chosen.join(rows, rows.c.number == TEXT_KEYS.c.number)
            .join(begun, sa.func.coalesce(rows.c.closes, rows.c.number) == begun.c.number)
            .where(begun.c.key == selection.key)
        )
    return chosen


def erase_texts(log: AuditLog, selection: Selection, why: str, who: str) -> tuple[int, str]:
    """Erase all that is chosen, a batch a transaction; how many texts, and what the database may still keep of them."""
    erased = _until_none(log, erasing(selection, why or "asked for", who))
    return erased, log.database.forget_traces() if erased else ""


def erase_again(log: AuditLog, who: str) -> tuple[int, str]:
    """Erase what erasure rows name and an older copy of the database brought back; as `erase_texts`."""
    before = ROWS.alias("before")
    named = (
        sa.select(ROWS, before.c.mac.label("mac_before"))
        .join(before, before.c.number == ROWS.c.number - 1)
        .where(ROWS.c.kind == "erasure")
        .order_by(ROWS.c.number)
    )
    runs: list[tuple[int, int]] = []
    with log.database.reading() as connection:
        for row in connection.execute(named):
            if row_mac(log.keys, row.mac_before, row._asdict()) != row.mac:
                raise EnvironmentFailure(
                    f"audit log {log.database}: row {row.number} was put in or changed without the key, so nothing "
                    "is erased on its word; run `aha guard audit verify`"
                )
            runs += [(int(first), int(last)) for first, last in json.loads(row.body)["rows"]]
    erased = 0
    for first, last in runs:

        def chosen(first: int = first, last: int = last) -> sa.Select[int]:
            named = sa.select(TEXT_KEYS.c.number).where(TEXT_KEYS.c.number.between(first, last))
            return named.order_by(TEXT_KEYS.c.number).limit(BATCH)

        erased += _until_none(log, _deleting(chosen, {}, "", "erased before, and brought back", who))
    return erased, log.database.forget_traces() if erased else ""


def _until_none(log: AuditLog, within: Within) -> int:
    erased = 0
    while numbers := log.writer.submit_within(within).result():
        with log.database.reading() as connection:
            bodies = connection.scalars(sa.select(ROWS.c.body).where(ROWS.c.number.in_(numbers))).all()
        erased += sum(int(json.loads(body)["texts"]) for body in bodies)
    return erased
