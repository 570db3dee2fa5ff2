"""A suite's items from a table: a file, or a data set on the Hub, with the columns that the suite names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.evaluation.suites.choices import ChoiceTable
from ahalab.evaluation.suites.suite import Suite
from ahalab.prompts import FileEntry, HubEntry, PromptSource
from ahalab.prompts.files import open_table
from ahalab.prompts.mapping import ColumnMapping
from ahalab.prompts.table import RowTable, TableSource
from ahalab.validation import StrictModel, validate

_PLACES = ("hub", "config", "split", "revision")
"""Keys that say where on the Hub."""


class _ChoiceKnobs(StrictModel):
    """The knobs of a suite of choices: its columns, and where on the Hub."""

    question: str | None = None
    options: str | list[str] | None = None
    answer: str | None = None
    language: str | None = None
    hub: str | None = None
    config: str | None = None
    split: str | None = None
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class TableItems:
    """The rows of a table as prompts, and their worked solutions."""

    source: PromptSource
    solutions: _WithSolution | None
    """By the source's own index; None where the table has none, or bad rows were left out of the source."""


def table_items(
    suite: Suite, knobs: Mapping[str, Any], file: Path | None, skip_bad_rows: bool, where: str
) -> TableItems:
    """The table of a suite. UserError for a file, data set, column or knob that is not there, and for a bad row."""
    read = _choices if suite.layout == "choices" else _columns
    table, mapping, opened = read(suite, knobs, file, where)
    source = TableSource(suite.name, table, mapping, where=where, skip_bad_rows=skip_bad_rows)
    # Rows that are left out would shift the two against each other.
    keeps = isinstance(opened, _WithSolution) and not skip_bad_rows
    return TableItems(source, opened if keeps and isinstance(opened, _WithSolution) else None)


Opened = tuple[RowTable, ColumnMapping, RowTable]
"""(the table as the prompts read it, its mapping, the table as it was opened)"""


def _columns(suite: Suite, knobs: Mapping[str, Any], file: Path | None, where: str) -> Opened:
    wanted = {**suite.source, **knobs}
    if file is None:
        entry = validate(HubEntry, wanted, where)
        table = _opened(suite, _hub(entry.hub, entry.config, entry.split, entry.revision, where))
        return table, entry, table
    table = _opened(suite, open_table(file, where))
    fitting = _fitting(wanted, knobs, table)
    return table, validate(FileEntry, {"file": str(file), **fitting}, where), table


def _fitting(wanted: Mapping[str, Any], given: Mapping[str, Any], table: RowTable) -> dict[str, Any]:
    """The suite's mapping for a file: what the file does not have and nobody asked for is left to be recognised."""
    columns = table.columns()
    kept = {key: value for key, value in wanted.items() if key not in _PLACES or key in given}
    for key in ("question", "answer", "level_column"):
        if key in kept and key not in given and kept[key] not in columns:
            del kept[key]
    marker = kept.get("answer_after")
    if marker is not None and "answer_after" not in given:
        answers = [str(row.get(kept.get("answer", "answer"))) for row in table.head()]
        if not any(marker in answer for answer in answers):
            del kept["answer_after"]
    return kept


def _choices(suite: Suite, given: Mapping[str, Any], file: Path | None, where: str) -> Opened:
    knobs = validate(_ChoiceKnobs, given, where)
    if file is not None:
        table = open_table(file, where)
    else:
        places = {**suite.source, **{key: getattr(knobs, key) for key in _PLACES if getattr(knobs, key)}}
        if "hub" not in places:
            raise UserError(f"{where}: give the questions with --file, or `?hub=OWNER/NAME`")
        table = _hub(
            places["hub"], places.get("config"), places.get("split", "test"), places.get("revision"), where
        )
    table = _opened(suite, table)
    choices = ChoiceTable(table, where, question=knobs.question, options=knobs.options, answer=knobs.answer)
    mapping = {
        "question": "question",
        "answer": "answer",
        "domain": "choice",
        "extra": {"options": "options"},
    }
    language = {} if knobs.language is None else {"language": knobs.language}
    return choices, validate(ColumnMapping, {**mapping, **language}, where), table


def _hub(path: str, config: str | None, split: str, revision: str | None, where: str) -> RowTable:
    from ahalab.prompts.hub import HubTable

    try:
        return HubTable(path, config, split, revision, where)
    except UserError as error:
        raise UserError(f"{error} (with --file PATH)") from error.__cause__


class _WithSolution:
    """A table that reads the column of the worked solution beside whatever it is asked to."""

    def __init__(self, table: RowTable, column: str) -> None:
        self.label = table.label
        self._table, self._column = table, column

    def __len__(self) -> int:
        return len(self._table)

    def columns(self) -> Sequence[str]:
        return self._table.columns()

    def head(self) -> list[dict[str, Any]]:
        return self._table.head()

    def select(self, columns: Sequence[str]) -> None:
        self._table.select(sorted({*columns, self._column}))

    def row(self, index: int) -> dict[str, Any]:
        return self._table.row(index)

    def number(self, index: int) -> int:
        return self._table.number(index)

    def solution(self, index: int) -> str:
        """The worked solution of a row, "" where it has none."""
        return str(self._table.row(index).get(self._column) or "")


def _opened(suite: Suite, table: RowTable) -> RowTable:
    column = suite.solution
    return table if column is None or column not in table.columns() else _WithSolution(table, column)
