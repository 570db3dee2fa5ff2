"""A table of multiple-choice questions, whatever its columns are called, as rows of question, options and letter."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ahalab.counter import make_key, permutation
from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow, joined, present, text
from ahalab.prompts.table import RowTable
from ahalab.validation import suggestion

LETTERS = string.ascii_uppercase
MOST_OPTIONS = len(LETTERS)
COLUMNS = ("question", "answer", "options")

_QUESTIONS = ("question", "problem", "prompt")
_ANSWERS = ("answer", "answerkey", "answer_key", "target")
_OPTIONS = ("options", "choices")
_RIGHT, _WRONG = "correct answer", "incorrect answer "


class ChoiceTable:
    """`table` read as choices: every row has `question` (with its options below, one a line), `answer` (a letter) and
    `options` (their texts).

    Columns are recognised, letters large or small: MMLU (question, choices, answer as a number from 0), MMLU-Pro
    (question, options, answer as a letter), C-Eval (question, A … D, answer), ARC (choices with text and label,
    answerKey) and GPQA (Question, Correct Answer, Incorrect Answer 1 to 3), whose options come in an order that the
    question's text decides. `question`, `options` (one column of lists, or several columns) and `answer` name them
    otherwise.

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
        self._spelled = {column.lower(): column for column in reversed(columns)}
        named = [question, answer, *([options] if isinstance(options, str) else options or [])]
        for column in named:
            if column is not None and column not in columns:
                raise UserError(
                    f"{where}: {self.label} has no column {column!r}; {suggestion(column, columns)}"
                )
        self._question = question or self._first(_QUESTIONS)
        self._reader = self._make_reader(options, answer)
        if self._question is None or self._reader is None:
            raise UserError(
                f"{where}: cannot tell question, options and answer in {self.label}. Columns there: "
                f"{', '.join(columns)}. Expected question, options or choices (a list) or A, B, C, D, and answer; "
                "name them otherwise as `?question=…&options=…&answer=…` behind the suite's name"
            )
        table.select(sorted({self._question, *self._reader.columns}))

    def __len__(self) -> int:
        return len(self._table)

    def columns(self) -> list[str]:
        return list(COLUMNS)

    def head(self) -> list[dict[str, Any]]:
        return []  # nothing is recognised by contents: the columns are settled

    def select(self, columns: Sequence[str]) -> None:
        """Nothing to do: the columns of the table behind this one are selected already."""

    def row(self, index: int) -> dict[str, Any]:
        row = self._table.row(index)
        assert self._question is not None
        assert self._reader is not None
        question = joined(row, self._question, "question")
        options, right = self._reader.read(row, question)
        if not 0 <= right < len(options):
            found = f"it names option {right + 1} of {len(options)}"
            raise BadRow("no such option", None, found, "an answer that is one of the options")
        lines = [f"{LETTERS[place]}) {option}" for place, option in enumerate(options)]
        return {
            "question": "\n".join([question, "", *lines]),
            "answer": LETTERS[right],
            "options": options,
        }

    def number(self, index: int) -> int:
        return self._table.number(index)

    def _first(self, names: Sequence[str]) -> str | None:
        return next((self._spelled[name] for name in names if name in self._spelled), None)

    def _make_reader(self, options: str | Sequence[str] | None, answer: str | None) -> _Reader | None:
        wrong = [column for name, column in sorted(self._spelled.items()) if name.startswith(_WRONG)]
        if options is None and answer is None and _RIGHT in self._spelled and wrong:
            return _Apart(self._spelled[_RIGHT], wrong)
        answer = answer or self._first(_ANSWERS)
        if answer is None:
            return None
        if isinstance(options, str):
            return _Listed(options, answer)
        if options:
            return _Columns(options, answer)
        if listed := self._first(_OPTIONS):
            return _Listed(listed, answer)
        lettered = [self._spelled[name] for name in string.ascii_lowercase if name in self._spelled]
        return _Columns(lettered, answer) if len(lettered) >= 2 else None


class _Reader(Protocol):
    """Finds the options of a row and which of them is right, from 0."""

    @property
    def columns(self) -> Sequence[str]: ...

    def read(self, row: Mapping[str, Any], question: str) -> tuple[list[str], int]: ...


class _Apart:
    """The right answer and the wrong ones in columns of their own (GPQA)."""

    def __init__(self, right: str, wrong: Sequence[str]) -> None:
        self.columns = [right, *wrong]

    def read(self, row: Mapping[str, Any], question: str) -> tuple[list[str], int]:
        given = [text(present(row, column, "option"), column, "option") for column in self.columns]
        order = permutation(make_key("options", question), len(given))
        return [given[place] for place in order], order.index(0)


class _Columns:
    """A column an option (C-Eval)."""

    def __init__(self, options: Sequence[str], answer: str) -> None:
        self._options, self._answer = options, answer
        self.columns = [*options, answer]

    def read(self, row: Mapping[str, Any], _question: str) -> tuple[list[str], int]:
        # Questions with fewer options leave the last columns empty.
        filled = [column for column in self._options if row.get(column) not in (None, "")]
        options = [text(row[column], column, "option") for column in filled]
        return options, _right(present(row, self._answer, "answer"), self._answer, options, None)


class _Listed:
    """One column with a list of texts (MMLU), or of texts with labels (ARC)."""

    def __init__(self, options: str, answer: str) -> None:
        self._options, self._answer = options, answer
        self.columns = [options, answer]

    def read(self, row: Mapping[str, Any], _question: str) -> tuple[list[str], int]:
        value = present(row, self._options, "options")
        labels = None
        if isinstance(value, Mapping):
            labels, value = value.get("label"), value.get("text")
        if not isinstance(value, list | tuple) or not 2 <= len(value) <= MOST_OPTIONS:
            found = f"it is {str(value)[:40]!r}"
            raise BadRow("no options", self._options, found, f"a list of 2 to {MOST_OPTIONS} options")
        options = [text(option, self._options, "option") for option in value]
        return options, _right(present(row, self._answer, "answer"), self._answer, options, labels)


def _right(answer: Any, column: str, options: Sequence[str], labels: Any) -> int:
    """The place of the right option: a number from 0, a label, a letter, or an option's own text."""
    if isinstance(answer, int) and not isinstance(answer, bool):
        return answer
    given = text(answer, column, "answer")
    if isinstance(labels, list | tuple) and given in labels:
        return labels.index(given)
    if len(given) == 1 and given.upper() in LETTERS:
        return LETTERS.index(given.upper())
    if given in options:
        return options.index(given)
    raise BadRow(
        "no such option",
        column,
        f"it is {given[:40]!r}",
        "a letter, a number from 0, or the text of one of the options",
    )
