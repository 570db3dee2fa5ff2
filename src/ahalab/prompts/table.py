"""A table of rows as a prompt source: every row is checked once at the start, and read again when drawn."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow, LeftOut
from ahalab.prompts.choice_mapping import ChoiceMapping, CountdownMapping, resolve_choice
from ahalab.prompts.contest.mapping import CodeMapping, resolve_code
from ahalab.prompts.lines import bad_row_error
from ahalab.prompts.mapping import ColumnMapping, RowFields, RowMapping, resolve
from ahalab.records import Prompt
from ahalab.text.template import rounds

HEAD_ROWS = 100
"""Our choice: the columns are those of this many first rows, and known data sets are recognised by them."""

TableMapping = CodeMapping | ChoiceMapping | CountdownMapping | RowMapping

_PROMPTS_A_ROW = 64
"""More than any row makes: a place in the table is the row's index times this, plus the prompt's place in it."""


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

    Ids are `<name>/<content hash>`; the second row with the same content ends in -2, and so on. A row may make several
    prompts (questions about inputs and outputs), or none where it is of a kind that cannot be used: that is counted.
    Raises UserError for a table without (good) rows, for a column that is not there, and, unless
    `skip_bad_rows`, for the first bad row: with file, row number, column, what was expected and what to do.
    `seed` decides the order of shuffled options.
    """

    def __init__(
        self,
        name: str,
        table: RowTable,
        given: ColumnMapping,
        *,
        where: str,
        skip_bad_rows: bool = False,
        seed: int = 0,
    ) -> None:
        if len(table) == 0:
            raise UserError(f"{where}: {table.label} has no rows; expected at least one question")
        self.name = name
        self._table = table
        columns, head = table.columns(), table.head()
        self._mapping = resolve_table(given, columns, head, table.label, where, seed)
        table.select(sorted(set(self._mapping.columns.values())))
        self._skipped: Counter[str] = Counter()
        self._noted: Counter[str] = Counter()
        self._rounds: Counter[int] = Counter()
        self._rows = array("Q")
        self._hashes = array("Q")
        for index in range(len(table)):
            try:
                made = self._mapping.prompts(table.row(index))
            except LeftOut as left:
                self._skipped[left.reason] += 1
            except BadRow as bad:
                if not skip_bad_rows:
                    raise self._refusal(index, bad) from None
                self._skipped[bad.reason] += 1
            else:
                self._noted.update(note for fields in made for note in fields.notes)
                self._rounds.update(rounds(fields.messages) for fields in made)
                self._rows.extend(index * _PROMPTS_A_ROW + place for place in range(len(made)))
                self._hashes.extend(int(fields.digest(self._mapping.domain), 16) for fields in made)
        if not self._rows:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self._skipped.items())
            raise UserError(
                f"{where}: no row of {table.label} can be used ({reasons}); nothing is left to train on"
            )
        self.size = len(self._rows)
        self._occurrence = _occurrences(self._hashes)

    @property
    def skipped(self) -> Mapping[str, int]:
        return self._skipped

    @property
    def noted(self) -> Mapping[str, int]:
        """What was done to rows, counted: options shuffled or left in place, replies left off."""
        return dict(sorted(self._noted.items()))

    def prompt(self, index: int) -> Prompt:
        row, place = divmod(self._rows[index], _PROMPTS_A_ROW)
        fields = self._fields(row, place)
        if fields is None or int(digest := fields.digest(self._mapping.domain), 16) != self._hashes[index]:
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
            messages=fields.messages,
        )

    def describe(self) -> dict[str, Any]:
        content = hashlib.blake2b(np.asarray(self._hashes, dtype="<u8").tobytes(), digest_size=8).hexdigest()
        stated: dict[str, Any] = {
            "name": self.name,
            "size": self.size,
            "content": content,
            **self._mapping.describe(),
        }
        if self._noted:
            stated["noted"] = dict(self.noted)
        if set(self._rounds) != {1}:
            stated["rounds"] = {str(number): self._rounds[number] for number in sorted(self._rounds)}
        return {**stated, "skipped": dict(self._skipped)} if self._skipped else stated

    def _fields(self, row: int, place: int) -> RowFields | None:
        """A row read again; None where it is no longer what it was."""
        try:
            made = self._mapping.prompts(self._table.row(row))
        except (BadRow, LeftOut):
            return None
        return made[place] if place < len(made) else None

    def _refusal(self, index: int, bad: BadRow) -> UserError:
        return bad_row_error(self._table.label, self._table.number(index), bad)

    def _changed(self, row: int) -> UserError:
        return UserError(
            f"{self._table.label}, row {self._table.number(row)}: the row changed since the run began; "
            "put the file back as it was, or start a new run with the new one"
        )


def resolve_table(
    given: ColumnMapping,
    columns: Sequence[str],
    head: Sequence[Mapping[str, Any]],
    label: str,
    where: str,
    seed: int = 0,
) -> TableMapping:
    """How the rows of a table become prompts: as code problems, as multiple choice, or as questions and answers.

    Raises UserError as `resolve`.
    """
    return (
        resolve_code(given, columns, label, where)
        or resolve_choice(given, columns, head, label, where, seed)
        or resolve(given, columns, head, label, where)
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
