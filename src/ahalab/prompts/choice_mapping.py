"""From a row of a table to a multiple-choice prompt, or to a Countdown puzzle: what `RowMapping` is to plain rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ahalab.counter import make_key
from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow
from ahalab.prompts.choices import ChoiceColumns, find_choices
from ahalab.prompts.countdown import CountdownColumns, CountdownOptions, find_countdown
from ahalab.prompts.dialogue import is_dialogue
from ahalab.prompts.mapping import (
    VERIFIER_OF_DOMAIN,
    ColumnMapping,
    RowFields,
    Verifier,
    level_of,
    row_language,
)
from ahalab.prompts.source import content_hash, jsonable
from ahalab.validation import suggestion

SHUFFLED = "options shuffled"
LEFT_IN_PLACE = "options left in place"
NOT_FOUND = "options not found in the question"
"""What happened to a row, as it is counted."""


@dataclass(frozen=True)
class ChoiceMapping:
    """The layout of a table of multiple-choice questions, and what is made of its rows."""

    choices: ChoiceColumns
    given: ColumnMapping
    shuffle_key: int | None
    """With a row's content it decides the order of the options; None where they are not shuffled."""
    domain: str
    verifier: Verifier = "choice"

    @property
    def columns(self) -> dict[str, str]:
        """Recipe key -> column, for every column that is read."""
        return {f"choice[{n}]": column for n, column in enumerate(self.choices.columns)} | _further(
            self.given
        )

    def prompts(self, row: Mapping[str, Any]) -> list[RowFields]:
        """The prompt that `row` makes. Raises BadRow."""
        choice = self.choices.read(row)
        notes: tuple[str, ...] = () if choice.options else (NOT_FOUND,)
        digest = content_hash(choice.question, choice.letter, self.domain)
        if self.shuffle_key is not None:
            shuffled = choice.shuffled(make_key(self.shuffle_key, digest)) if choice.options else None
            notes += (LEFT_IN_PLACE,) if shuffled is None else (SHUFFLED,)
            choice = shuffled or choice
        options = {"options": list(choice.options)} if choice.options else {}
        return [
            RowFields(
                question=choice.question,
                answer=choice.letter,
                extra={**options, **_extra(self.given, row)},
                notes=notes,
                in_order=digest,
                **_of_row(self.given, row, choice.question),
            )
        ]

    def describe(self) -> dict[str, Any]:
        """The mapping as the resolved recipe states it."""
        return {
            "recognised": f"multiple choice, {self.choices.layout}",
            "columns": self.choices.columns,
            "domain": self.domain,
            "verifier": self.verifier,
            "language": self.given.language or self.given.language_column or "detected",
            "shuffle": self.shuffle_key is not None,
        }


@dataclass(frozen=True)
class CountdownMapping:
    """The layout of a table of numbers and targets, and what is made of its rows."""

    puzzles: CountdownColumns
    given: ColumnMapping
    domain: str
    verifier: Verifier = "countdown"

    @property
    def columns(self) -> dict[str, str]:
        """Recipe key -> column, for every column that is read."""
        return {f"countdown[{n}]": column for n, column in enumerate(self.puzzles.columns)} | _further(
            self.given
        )

    def prompts(self, row: Mapping[str, Any]) -> list[RowFields]:
        """The prompt that `row` makes; its gold answer is None: any expression will do. Raises BadRow."""
        question, extra = self.puzzles.read(row)
        return [
            RowFields(
                question=question,
                answer=None,
                extra={**_extra(self.given, row), **extra},
                **_of_row(self.given, row, question),
            )
        ]

    def describe(self) -> dict[str, Any]:
        """The mapping as the resolved recipe states it."""
        return {
            "recognised": "numbers and a target (Countdown, 24 game)",
            "columns": self.puzzles.columns,
            "domain": self.domain,
            "verifier": self.verifier,
            "language": self.given.language or self.given.language_column or "detected",
            "use_all": self.puzzles.use_all,
        }


def resolve_choice(
    given: ColumnMapping,
    columns: Sequence[str],
    head: Sequence[Mapping[str, Any]],
    table: str,
    where: str,
    seed: int,
) -> ChoiceMapping | CountdownMapping | None:
    """The mapping of a table of multiple choice or of Countdown puzzles; None for any other.

    It is one where the recipe says so (`choice`, `countdown`, the verifier, the domain), or where its columns do and
    the recipe says nothing else. Raises UserError for a column that is not there, naming the nearest, and where
    question, options and answer cannot be told.
    """
    mapping = _choice(given, columns, head, table, where, seed) or _countdown(given, columns, table, where)
    if mapping is None:
        return None
    for key, column in mapping.columns.items():
        if column not in columns:
            key = key.partition("[")[0]
            raise UserError(f"{where}.{key}: {table} has no column {column!r}; {suggestion(column, columns)}")
    return mapping


def _choice(
    given: ColumnMapping,
    columns: Sequence[str],
    head: Sequence[Mapping[str, Any]],
    table: str,
    where: str,
    seed: int,
) -> ChoiceMapping | None:
    asked = given.choice
    wanted = given.verifier == "choice" or VERIFIER_OF_DOMAIN.get(given.domain or "") == "choice"
    if asked is None:
        # `extra: {options: …}`: the question has its options in it already.
        if "options" in given.extra or given.verifier not in (None, "choice"):
            return None
        if given.answer_after is not None or (given.domain is not None and not wanted):
            return None
        if _is_of_dialogues(given.question, head):
            return None
    elif given.verifier not in (None, "choice"):
        raise UserError(
            f"{where}: `choice` is for the verifier choice, and this entry has `verifier: {given.verifier}`; "
            "leave one of them out"
        )
    if asked is not None and given.answer_after is not None:
        raise UserError(f"{where}.answer_after: multiple choice takes its answer as it stands; leave it out")
    found = find_choices(
        columns,
        question=given.question,
        options=asked.options if asked else None,
        answer=given.answer,
        first_option=asked.first_option if asked else None,
        inside=wanted or asked is not None,
    )
    if found is None:
        if asked is None:
            return None
        raise UserError(
            f"{where}: cannot tell question, options and answer in {table}. Columns there: {', '.join(columns)}. "
            "Set `question`, `answer` and `choice: {options: …}`, a column of lists or a list of columns"
        )
    if asked is None and not wanted and not _holds_options(found, head):
        return None  # the columns are called so, and hold something else
    key = make_key("shuffle", seed) if asked is not None and asked.shuffle else None
    return ChoiceMapping(found, given, key, given.domain or "stem")


def _countdown(
    given: ColumnMapping, columns: Sequence[str], table: str, where: str
) -> CountdownMapping | None:
    asked = given.countdown
    if asked is None and given.verifier is None and not _is_countdown(given, columns):
        return None
    if given.verifier not in (None, "countdown") or (
        given.verifier == "countdown" and "numbers" in given.extra
    ):
        return None
    found = find_countdown(columns, asked or CountdownOptions(), given.question)
    if found is None:
        raise UserError(
            f"{where}: cannot tell which column of {table} holds the numbers. Columns there: {', '.join(columns)}. "
            "Set `countdown: {numbers: …}`"
        )
    return CountdownMapping(found, given, given.domain or "logic")


def _is_countdown(given: ColumnMapping, columns: Sequence[str]) -> bool:
    """Whether the columns alone say so: numbers and a target, and no answer that a rule could compare with."""
    names = {column.lower() for column in columns}
    alone = given.question is None and given.answer is None and given.domain in (None, "logic")
    return alone and "target" in names and bool({"nums", "numbers"} & names) and "answer" not in names


def _is_of_dialogues(question: str | list[str] | None, head: Sequence[Mapping[str, Any]]) -> bool:
    return isinstance(question, str) and any(is_dialogue(row.get(question)) for row in head[:10])


def _holds_options(choices: ChoiceColumns, head: Sequence[Mapping[str, Any]]) -> bool:
    """Whether any of the first rows has options: a right answer that is none of them is a mistake to be told."""
    for row in head:
        try:
            choices.read(row)
        except BadRow as bad:
            if bad.reason == "no options":
                continue
        return True
    return False


def _further(given: ColumnMapping) -> dict[str, str]:
    """The columns that every kind of table may name."""
    named = {"language_column": given.language_column, "level_column": given.level_column}
    return {key: column for key, column in named.items() if column is not None} | {
        f"extra.{name}": column for name, column in given.extra.items()
    }


def _extra(given: ColumnMapping, row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: jsonable(row.get(column)) for name, column in given.extra.items()}


def _of_row(given: ColumnMapping, row: Mapping[str, Any], question: str) -> dict[str, Any]:
    return {
        "language": row_language(row, question, given.language, given.language_column),
        "level": None if given.level_column is None else level_of(row, given.level_column),
    }
