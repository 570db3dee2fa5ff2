"""A table of multiple-choice questions, whatever its columns are called, as rows of question, options and letter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ahalab.errors import UserError
from ahalab.prompts.choices import find_choices
from ahalab.prompts.table import RowTable
from ahalab.validation import suggestion

COLUMNS = ("question", "answer", "options")


class ChoiceTable:
    """`table` read as choices: every row has `question` (with its options below, one a line), `answer` (a letter) and
    `options` (their texts).

    Columns are recognised as in prompts (`ahalab.prompts.choices`); `question`, `options` (one column of lists, or
    several columns) and `answer` name them otherwise.

    Raises:
        UserError: a column that is not there, naming the nearest, or columns that cannot be told.
    """

    def __init__(
        self,
        table: RowTable,
        where: str,
        *,
        question: str | None = None,
        options: str | Sequence[str] | None = None,
        answer: str | None = None,
    ) -> None:
        self.label = table.label
        self._table = table
        columns = list(table.columns())
        named = [question, answer, *([options] if isinstance(options, str) else options or [])]
        for column in named:
            if column is not None and column not in columns:
                raise UserError(
                    f"{where}: {self.label} has no column {column!r}; {suggestion(column, columns)}"
                )
        found = find_choices(columns, question=question, options=options, answer=answer)
        if found is None:
            raise UserError(
                f"{where}: cannot tell question, options and answer in {self.label}. Columns there: "
                f"{', '.join(columns)}. Expected question, options or choices (a list) or A, B, C, D, and answer; "
                "name them otherwise as `?question=…&options=…&answer=…` behind the suite's name"
            )
        self._choices = found
        table.select(sorted(found.columns))

    def __len__(self) -> int:
        return len(self._table)

    def columns(self) -> list[str]:
        return list(COLUMNS)

    def head(self) -> list[dict[str, Any]]:
        return []  # nothing is recognised by contents: the columns are settled

    def select(self, columns: Sequence[str]) -> None:
        """Nothing to do: the columns of the table behind this one are selected already."""

    def row(self, index: int) -> dict[str, Any]:
        choice = self._choices.read(self._table.row(index))
        return {"question": choice.question, "answer": choice.letter, "options": list(choice.options)}

    def number(self, index: int) -> int:
        return self._table.number(index)
