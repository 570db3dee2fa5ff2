"""A table of rows as a prompt source: every row is checked once at the start, and read again when drawn."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow
from ahalab.prompts.mapping import ColumnMapping, resolve
from ahalab.prompts.source import content_hash
from ahalab.records import Prompt

HEAD_ROWS = 100
"""Our choice: the columns are those of this many first rows, and known data sets are recognised by them."""


class RowTable(Protocol):
    """Rows by index, wherever they are kept. `row` raises BadRow for a row that cannot be read at all."""

    label: str
    """What the person calls it: the path of the file, the name of the data set."""

    def __len__(self) -> int: ...

    def columns(self) -> Sequence[str]: ...

    def head(self) -> list[dict[str, Any]]:
        """Up to HEAD_ROWS first rows, unreadable ones left out."""
        ...

    def select(self, columns: Sequence[str]) -> None:
        """Only these columns will be read from now on."""

    def row(self, index: int) -> dict[str, Any]: ...

    def number(self, index: int) -> int:
        """1-based number that an editor or viewer shows for the row."""
        ...


class TableSource:
    """The prompts of a table, in its own order. Memory: 16 bytes a row beside what the table itself keeps.

    Ids are `<name>/<content hash>`; the second row with the same content ends in -2, and so on.
    Raises UserError for a table without (good) rows, for a column that is not there, and, unless
    `skip_bad_rows`, for the first bad row: with file, row number, column, what was expected and what to do.
    """

    def __init__(
        self, name: str, table: RowTable, given: ColumnMapping, *, where: str, skip_bad_rows: bool = False
    ) -> None:
        if len(table) == 0:
            raise UserError(f"{where}: {table.label} has no rows; expected at least one question")
        self.name = name
        self._table = table
        self._mapping = resolve(given, table.columns(), table.head(), table.label, where)
        table.select(sorted(set(self._mapping.columns.values())))
        self._skipped: Counter[str] = Counter()
        self._rows = array("Q")
        self._hashes = array("Q")
        for index in range(len(table)):
            try:
                prompt_hash = self._hash(index)
            except BadRow as bad:
                if not skip_bad_rows:
                    raise self._refusal(index, bad) from None
                self._skipped[bad.reason] += 1
            else:
                self._rows.append(index)
                self._hashes.append(int(prompt_hash, 16))
        if not self._rows:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self._skipped.items())
            raise UserError(
                f"{where}: every row of {table.label} is bad ({reasons}); nothing is left to train on"
            )
        self.size = len(self._rows)
        self._occurrence = _occurrences(self._hashes)

    @property
    def skipped(self) -> Mapping[str, int]:
        return self._skipped

    def prompt(self, index: int) -> Prompt:
        row = self._rows[index]
        try:
            fields = self._mapping.read(self._table.row(row))
        except BadRow:
            raise self._changed(row) from None
        digest = content_hash(fields.question, fields.answer, self._mapping.domain)
        if int(digest, 16) != self._hashes[index]:
            raise self._changed(row)
        again = self._occurrence.get(index)
        return Prompt(
            id=f"{self.name}/{digest}" + (f"-{again}" if again else ""),
            question=fields.question,
            answer=fields.answer,
            domain=self._mapping.domain,
            source=self.name,
            verifier=self._mapping.verifier,
            language=fields.language,
            level=fields.level,
            extra=fields.extra,
        )

    def describe(self) -> dict[str, Any]:
        content = hashlib.blake2b(np.asarray(self._hashes, dtype="<u8").tobytes(), digest_size=8).hexdigest()
        stated: dict[str, Any] = {
            "name": self.name,
            "size": self.size,
            "content": content,
            **self._mapping.describe(),
        }
        return {**stated, "skipped": dict(self._skipped)} if self._skipped else stated

    def _hash(self, index: int) -> str:
        fields = self._mapping.read(self._table.row(index))
        return content_hash(fields.question, fields.answer, self._mapping.domain)

    def _refusal(self, index: int, bad: BadRow) -> UserError:
        column = f", column {bad.column!r}" if bad.column else ""
        return UserError(
            f"{self._table.label}, row {self._table.number(index)}{column}: "
            f"expected {bad.expected}, but {bad.found}. "
            "Correct the row, or leave such rows out with --skip-bad-rows (they are counted)"
        )

    def _changed(self, row: int) -> UserError:
        return UserError(
            f"{self._table.label}, row {self._table.number(row)}: the row changed since the run began; "
            "put the file back as it was, or start a new run with the new one"
        )


def _occurrences(hashes: array[int]) -> dict[int, int]:
    """Index -> 2, 3, … for every index whose hash came before; indices with new content are not in it."""
    values = np.asarray(hashes, dtype=np.uint64)
    order = np.argsort(values, kind="stable")
    repeated = np.flatnonzero(values[order][1:] == values[order][:-1]) + 1
    found: dict[int, int] = {}
    for place in repeated.tolist():
        found[int(order[place])] = found.get(int(order[place - 1]), 1) + 1
    return found
