"""Which texts are there, which are gone, and whether erasures account for those that are gone."""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from ahalab.serving.audit.database import Database
from ahalab.serving.audit.keyfile import AuditKeys
from ahalab.serving.audit.schema import TEXT_KEYS, TEXTS
from ahalab.serving.audit.sealing import unseal
from ahalab.serving.audit.verification import Verification


class TextAccount:
    """Fed with the chain's pages, settled at its end. With keys each text is opened as well."""

    def __init__(self, report: Verification, database: Database, keys: AuditKeys | None) -> None:
        self._report, self._database, self._keys = report, database, keys
        self._gone, self._erased = array("q"), array("q")

    def add(self, page: Sequence[Any]) -> None:
        """Rows of the chain, in order."""
        self._note_erasures(page)
        kept = [row for row in page if '"text":{' in str(row.body) and row.kind in ("intent", "conclusion")]
        if not kept:
            return
        columns = [TEXT_KEYS.c.number, TEXTS.c.at]
        if self._keys is not None:
            columns += [TEXT_KEYS.c.sealed, TEXTS.c.sealed]
        chosen = (
            sa.select(*columns)
            .join(TEXTS, TEXTS.c.number == TEXT_KEYS.c.number)
            .where(TEXT_KEYS.c.number.between(kept[0].number, kept[-1].number))
        )
        with self._database.reading() as connection:
            there = {row[0]: row for row in connection.execute(chosen)}
        for row in kept:
            self._look(row, there.get(row.number))

    def settle(self) -> None:
        """What is gone without an erasure is wrong; what is there in spite of one has come back."""
        accounted = merged(self._erased)
        at = 0
        for first, last in zip(self._gone[::2], self._gone[1::2], strict=True):
            while first <= last:
                while at < len(accounted) and accounted[at][1] < first:
                    at += 1
                if at == len(accounted) or accounted[at][0] > first:
                    self._report.found(f"the text of row {first} is gone, and no erasure says so")
                    break
                covered = min(last, accounted[at][1])
                self._report.erased += covered - first + 1
                first = covered + 1
        with self._database.reading() as connection:
            for first, last in accounted:
                counted = sa.select(sa.func.count()).where(TEXT_KEYS.c.number.between(first, last))
                self._report.returned += connection.scalar(counted) or 0

    def _note_erasures(self, page: Sequence[Any]) -> None:
        for row in page:
            if row.kind == "erasure":
                try:
                    runs = json.loads(row.body)["rows"]
                    flat = [int(one) for first, last in runs for one in (first, last)]
                except (ValueError, KeyError, TypeError):
                    continue  # its HMAC has told already
                self._erased.extend(flat)

    def _look(self, row: Any, found: Any) -> None:
        gone = self._gone
        if found is None:
            if gone and gone[-1] == row.number - 1:
                gone[-1] = row.number
            else:
                gone.extend((row.number, row.number))
            return
        self._report.texts += 1
        wrong = "" if self._keys is None else _unlike(self._keys, row, found[2], found[3])
        if not wrong and found[1] != row.at:
            wrong = "carries another time than its row, so retention would err"
        if wrong:
            self._report.found(f"the text of row {row.number} {wrong}")


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


def merged(flat: array[int]) -> list[tuple[int, int]]:
    """Runs, as pairs in a row, sorted and put together: [4, 6, 1, 3, 9, 9] is [(1, 6), (9, 9)]."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(zip(flat[::2], flat[1::2], strict=True)):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found
