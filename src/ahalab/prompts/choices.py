"""Tables of multiple-choice questions, whatever their columns are called: where options and the right one stand.

Recognised, letters large or small: MMLU (question, choices, answer as a number from 0), MMLU-Pro (question, options,
answer as a letter), C-Eval and CMMLU (question, A … D, answer), ARC and OpenBookQA (choices with text and label,
answerKey), MedMCQA (opa … opd, cop), GPQA (Question, Correct Answer, Incorrect Answer 1 to 3) and SciQ
(correct_answer, distractor1 to 3). The last two get an order that the question's text decides.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from pydantic import Field

from ahalab.counter import make_key, permutation
from ahalab.prompts.cells import BadRow, joined, present, text
from ahalab.prompts.options import LETTERS, MOST_OPTIONS, Choice, split_options, without_letters
from ahalab.validation import StrictModel

_QUESTIONS = ("question", "problem", "prompt", "question_stem", "query")
_ANSWERS = ("answer", "answerkey", "answer_key", "target", "cop", "correct_option", "answer_idx", "label")
_OPTIONS = ("options", "choices")
_LETTERED = (tuple(string.ascii_lowercase), tuple(f"op{letter}" for letter in string.ascii_lowercase))
_APART = (
    ("correct answer", "incorrect answer "),
    ("correct_answer", "distractor"),
    ("correct_answer", "incorrect_answer"),
)
"""Column of the right answer, and how the columns of wrong ones begin."""


class ChoiceOptions(StrictModel):
    """How the rows of a table become multiple-choice prompts. All of it has a default."""

    options: str | list[str] | None = Field(
        None,
        min_length=1,
        description="Column of the options (a list, texts with labels, or a mapping), or a list of columns, one an "
        "option (default: recognised; without any they are looked for in the question)",
    )
    first_option: Literal[0, 1] | None = Field(
        None, description="Number of the first option, where the answer column holds numbers (default: 0)"
    )
    shuffle: bool = Field(
        False,
        description="Shuffle the options, in an order that the seed and the row's content decide. Rows whose options "
        "name each other stay as they are; both are counted",
    )


@dataclass(frozen=True)
class ChoiceColumns:
    """Where a table's multiple-choice questions are."""

    layout: str
    """In words, for the resolved recipe."""
    question: str | list[str]
    reader: _Reader

    @property
    def columns(self) -> list[str]:
        """Every column that is read, each once."""
        several = [self.question] if isinstance(self.question, str) else self.question
        return list(dict.fromkeys([*several, *self.reader.columns]))

    def read(self, row: Mapping[str, Any]) -> Choice:
        """The question of a row. Raises BadRow."""
        choice = self.reader.read(row, joined(row, self.question, "question"))
        if not 0 <= choice.right < (len(choice.options) or MOST_OPTIONS):
            found = f"it names option {choice.right + 1} of {len(choice.options)}"
            raise BadRow("no such option", None, found, "an answer that is one of the options")
        return choice


def find_choices(
    columns: Sequence[str],
    *,
    question: str | list[str] | None = None,
    options: str | Sequence[str] | None = None,
    answer: str | None = None,
    first_option: int | None = None,
    inside: bool = False,
) -> ChoiceColumns | None:
    """The layout of a table with these columns, or None where question, options and answer cannot be told.

    `question`, `options` (one column of lists, or several columns) and `answer` name columns otherwise;
    `first_option` is the number of the first option where answers are numbers (0 where it is left out, and then
    numbers written as text are refused). `inside`: without a column of options they may stand in the question.
    """
    spelled = {column.lower(): column for column in reversed(columns)}
    asked = question or _first(spelled, _QUESTIONS)
    found = _reader(spelled, options, answer, first_option, inside)
    return None if asked is None or found is None else ChoiceColumns(found[0], asked, found[1])


class _Reader(Protocol):
    """Finds the options of a row and which of them is right."""

    @property
    def columns(self) -> Sequence[str]: ...

    def read(self, row: Mapping[str, Any], question: str) -> Choice: ...


def _first(spelled: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((spelled[name] for name in names if name in spelled), None)


def _reader(
    spelled: Mapping[str, str],
    options: str | Sequence[str] | None,
    answer: str | None,
    first: int | None,
    inside: bool,
) -> tuple[str, _Reader] | None:
    if options is None and answer is None:
        for right, beginning in _APART:
            wrong = [column for name, column in sorted(spelled.items()) if name.startswith(beginning)]
            if right in spelled and wrong:
                return "the right answer and the wrong ones apart (GPQA, SciQ)", _Apart(spelled[right], wrong)
    answer = answer or _first(spelled, _ANSWERS)
    if answer is None:
        return None
    gold = _Gold(answer, first)
    if isinstance(options, str):
        return _LISTED, _Listed(options, gold)
    if options:
        return _SPREAD, _Columns(options, gold)
    if listed := _first(spelled, _OPTIONS):
        return _LISTED, _Listed(listed, gold)
    for names in _LETTERED:
        lettered = [spelled[name] for name in names if name in spelled]
        if len(lettered) >= 2:
            return _SPREAD, _Columns(lettered, gold)
    return ("options inside the question", _Inside(gold)) if inside else None


_LISTED = "options in one column (MMLU, MMLU-Pro, ARC)"
_SPREAD = "a column an option (C-Eval, CMMLU, MedMCQA)"


class _Apart:
    """The right answer and the wrong ones in columns of their own."""

    def __init__(self, right: str, wrong: Sequence[str]) -> None:
        self.columns = [right, *wrong]

    def read(self, row: Mapping[str, Any], question: str) -> Choice:
        given: list[str] = []
        for column in self.columns:
            value = present(row, column, "option")
            parts = value if isinstance(value, list | tuple) and given else [value]
            given += [text(part, column, "option") for part in parts]
        _check_number(given, self.columns[-1])
        order = permutation(make_key("options", question), len(given))
        return Choice(question, tuple(given[place] for place in order), order.index(0))


class _Columns:
    """A column an option."""

    def __init__(self, options: Sequence[str], gold: _Gold) -> None:
        self._options, self._gold = options, gold
        self.columns = [*options, gold.column]

    def read(self, row: Mapping[str, Any], question: str) -> Choice:
        # Questions with fewer options leave the last columns empty.
        filled = [column for column in self._options if row.get(column) not in (None, "")]
        options = [text(row[column], column, "option") for column in filled]
        _check_number(options, self._options[0])
        return Choice(question, tuple(options), self._gold.read(row, options, None))


class _Listed:
    """One column: a list of texts, texts with labels, a mapping of letters to texts, or these as text."""

    def __init__(self, options: str, gold: _Gold) -> None:
        self._options, self._gold = options, gold
        self.columns = [options, gold.column]

    def read(self, row: Mapping[str, Any], question: str) -> Choice:
        value, labels = _opened(present(row, self._options, "options")), None
        if isinstance(value, Mapping):
            if "text" in value:
                labels, value = value.get("label"), value.get("text")
            else:
                labels, value = list(value), list(value.values())
        if not isinstance(value, list | tuple):
            raise _no_options(self._options, value)
        _check_number(value, self._options)
        options = without_letters([text(option, self._options, "option") for option in value])
        stem = question
        if (split := split_options(question)) is not None and split[1] == options:
            stem = split[0]  # some tables repeat the options in the question
        return Choice(stem, options, self._gold.read(row, options, labels))


class _Inside:
    """Options that are part of the question's text. One whose options cannot be found is graded by letter alone."""

    def __init__(self, gold: _Gold) -> None:
        self._gold = gold
        self.columns = [gold.column]

    def read(self, row: Mapping[str, Any], question: str) -> Choice:
        stem, options = split_options(question) or (question, ())
        known = options or tuple(LETTERS)
        return Choice(stem, options or (), self._gold.read(row, known, None), written=question)


class _Gold:
    """The column of the right option: a number, a label, a letter, or an option's own text."""

    def __init__(self, column: str, first: int | None) -> None:
        self.column = column
        self._first = first

    def read(self, row: Mapping[str, Any], options: Sequence[str], labels: Any) -> int:
        """The place of the right option, from 0; not always one that is there. Raises BadRow."""
        answer = present(row, self.column, "answer")
        if isinstance(answer, list | tuple) and len(answer) == 1:
            answer = answer[0]
        if isinstance(answer, int) and not isinstance(answer, bool):
            return answer - (self._first or 0)
        given = text(answer, self.column, "answer")
        if isinstance(labels, list | tuple) and given in labels:
            return labels.index(given)
        letter = re.fullmatch(r"[(（]?([A-Za-z])[)）.．:：]*", given)
        if letter is not None:
            return LETTERS.index(letter.group(1).upper())
        if given in options:
            return list(options).index(given)
        if self._first is not None and re.fullmatch(r"[0-9]{1,2}", given):
            return int(given) - self._first
        named = re.fullmatch(r"[(（]?([A-Z])[)）.．:：]+\s*(.+)", given, re.DOTALL)
        if named is not None and named.group(2).strip() in options:
            return list(options).index(named.group(2).strip())
        expected = "a letter, a number from 0, or the text of one of the options"
        if given.isdigit():
            expected += " (for numbers as text set `first_option` to 0 or 1)"
        raise BadRow("no such option", self.column, f"it is {given[:40]!r}", expected)


def _opened(value: Any) -> Any:
    """Options that are written as text: JSON, or "A) … B) …"."""
    if not isinstance(value, str):
        return value
    if value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    split = split_options(value)
    return value if split is None or split[0] else list(split[1])


def _check_number(options: Sequence[Any], column: str) -> None:
    if not 2 <= len(options) <= MOST_OPTIONS:
        raise _no_options(column, options)


def _no_options(column: str, value: Any) -> BadRow:
    return BadRow(
        "no options", column, f"it is {str(value)[:40]!r}", f"a list of 2 to {MOST_OPTIONS} options"
    )
