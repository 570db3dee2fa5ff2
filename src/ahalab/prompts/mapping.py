"""From a row of somebody's table to a prompt: which column is what, and what is wrong with a bad row."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow, joined, present
from ahalab.prompts.choices import ChoiceOptions
from ahalab.prompts.contest.options import CodeOptions
from ahalab.prompts.countdown import CountdownOptions
from ahalab.prompts.dialogue import dialogue_of, is_dialogue
from ahalab.prompts.source import content_hash, detect_language, jsonable
from ahalab.records import Messages
from ahalab.text.languages import LANGUAGE_CODES
from ahalab.validation import StrictModel, suggestion, told

Verifier = Literal["math", "exact", "choice", "countdown", "code", "patch", "code_io", "none"]
CODE_VERIFIERS: tuple[Verifier, ...] = ("code", "patch", "code_io")
"""Verifiers of code problems, whose rows `ahalab.prompts.contest` reads."""
VERIFIER_OF_DOMAIN: dict[str, Verifier] = {"math": "math", "choice": "choice", "stem": "choice"}
QuestionColumns = (
    Annotated[str, Field(min_length=1)]
    | Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
)
"""A column, or several whose texts are joined."""
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(,\d{3})+(\.\d+)?")


class ColumnMapping(StrictModel):
    """What a recipe says about a table's columns. Everything left out is recognised or detected."""

    question: QuestionColumns | None = Field(
        None,
        description="Column of the question, or a list of columns whose texts are joined by a blank line, blank ones "
        "left out (alpaca: [instruction, input]). Of a dialogue (messages, hh-rlhf) the turns before the last reply",
    )
    answer: str | None = Field(None, min_length=1, description="Column of the gold answer")
    answer_after: str | None = Field(
        None, min_length=1, description="Take what follows the last such marker in the answer (GSM8K: '####')"
    )
    strip_thousands: bool | None = Field(
        None, description="Read the gold answer 1,450 as 1450 (default: only for GSM8K)"
    )
    domain: str | None = Field(
        None, min_length=1, description="Domain of all rows, such as math, logic, choice, general"
    )
    verifier: Verifier | None = Field(
        None,
        description="How answers are graded (default: math and choice by their domain, none for recognised "
        "dialogues, others exact)",
    )
    language: str | None = Field(
        None,
        description="Language of all rows as a code such as en, zh, fr (default: zh where the question has any Han "
        "character, else en); others than en and zh need the extra `languages`",
    )
    language_column: str | None = Field(None, min_length=1, description="Column of each row's language")
    level_column: str | None = Field(None, min_length=1, description="Column of the difficulty, 1 upwards")
    extra: dict[str, str] = Field(
        {},
        description="For the verifier: name in the prompt's extra data -> column, such as options: choices",
    )
    choice: ChoiceOptions | None = Field(
        None,
        description="Of multiple choice: where the options are, and whether they are shuffled (docs/stem.md)",
    )
    countdown: CountdownOptions | None = Field(
        None,
        description="Of Countdown and the 24 game: where the numbers are, and how they may be used (docs/logic.md)",
    )
    code: CodeOptions | None = Field(
        None, description="Of code problems: what is kept of them, and how they are asked (docs/code-data.md)"
    )

    @model_validator(mode="after")
    def _one_language(self) -> Self:
        if self.language is not None and self.language not in LANGUAGE_CODES:
            raise told(
                f"unknown language {self.language!r}; {suggestion(self.language, list(LANGUAGE_CODES))}"
            )
        if self.language and self.language_column:
            raise told("give either `language` or `language_column`, not both")
        return self


@dataclass(frozen=True)
class RowFields:
    """A row as read: what a prompt needs, before it has an id."""

    question: str
    answer: str | None
    language: str
    level: int | None
    extra: Mapping[str, Any]
    messages: Messages = ()
    notes: tuple[str, ...] = ()
    """What was done to the row, to be counted: "options shuffled", "reply left off"."""
    in_order: str | None = None
    """Content hash of the question before its options were shuffled: the id does not depend on the order."""
    graded_by: str | None = None
    """Digest of the tests, where tests and not an answer decide: the prompt's id is made of it."""

    def digest(self, domain: str) -> str:
        """The content hash of the prompt that this is."""
        if self.in_order is not None:
            return self.in_order
        return content_hash(self.question, self.answer if self.graded_by is None else self.graded_by, domain)


@dataclass(frozen=True)
class RowMapping:
    """A `ColumnMapping` with nothing left open, for one table."""

    question: str | list[str]
    answer: str | None
    answer_after: str | None
    strip_thousands: bool
    domain: str
    verifier: Verifier
    language: str | None
    language_column: str | None
    level_column: str | None
    extra: Mapping[str, str]
    recognised: str | None
    """The known data set whose columns these are."""
    dialogue: bool = False
    """The question column holds dialogues."""

    @property
    def columns(self) -> dict[str, str]:
        """Recipe key -> column, for every column that is read."""
        several = [self.question] if isinstance(self.question, str) else self.question
        keys = (
            ["question"]
            if isinstance(self.question, str)
            else [f"question[{n}]" for n in range(len(several))]
        )
        named = {
            **dict(zip(keys, several, strict=True)),
            "answer": self.answer,
            "language_column": self.language_column,
            "level_column": self.level_column,
            **{f"extra.{name}": column for name, column in self.extra.items()},
        }
        return {key: column for key, column in named.items() if column is not None}

    def prompts(self, row: Mapping[str, Any]) -> list[RowFields]:
        """The prompts that `row` makes: one, here. Raises BadRow."""
        return [self.read(row)]

    def read(self, row: Mapping[str, Any]) -> RowFields:
        """The fields of `row`. Raises BadRow."""
        messages: Messages = ()
        notes: tuple[str, ...] = ()
        if self.dialogue:
            assert isinstance(self.question, str)
            dialogue = dialogue_of(present(row, self.question, "question"), self.question)
            question, messages = dialogue.question, dialogue.messages
            notes = () if dialogue.reply is None else ("reply left off",)
        else:
            question = joined(row, self.question, "question")
        return RowFields(
            question=question,
            answer=None if self.answer is None else self._gold(row, self.answer),
            language=row_language(row, question, self.language, self.language_column),
            level=None if self.level_column is None else level_of(row, self.level_column),
            extra={name: jsonable(present(row, column, name)) for name, column in self.extra.items()},
            messages=messages,
            notes=notes,
        )

    def describe(self) -> dict[str, Any]:
        """The mapping as the resolved recipe states it; `language` "detected" where no key decides it."""
        stated = {name: value for name, value in self.__dict__.items() if value not in (None, {}, False)}
        return stated if self.language_column else {"language": "detected", **stated}

    def _gold(self, row: Mapping[str, Any], column: str) -> str:
        answer = joined(row, column, "answer")
        if self.answer_after is not None:
            _, marker, answer = answer.rpartition(self.answer_after)
            answer = answer.strip()
            if not marker or not answer:
                found = "it has no such marker" if not marker else "nothing follows the marker"
                raise BadRow(
                    "marker missing" if not marker else "no answer",
                    column,
                    found,
                    f"a gold answer after {self.answer_after!r}",
                )
        return answer.replace(",", "") if self.strip_thousands and _THOUSANDS.fullmatch(answer) else answer


GSM8K_MARKER = "#### "
_KNOWN: dict[str, dict[str, Any]] = {
    "GSM8K (question, answer ending in '#### N')": {
        "columns": ("question", "answer"),
        "answer_after": "####",
        "strip_thousands": True,
        "domain": "math",
    },
    "MATH-500, AIME and alike (problem, answer)": {"columns": ("problem", "answer"), "domain": "math"},
    "plain questions and answers (question, answer)": {
        "columns": ("question", "answer"),
        "domain": "general",
    },
}
_DIALOGUES: dict[str, tuple[str, ...]] = {
    "pairs of dialogues, as hh-rlhf (chosen, rejected)": ("chosen", "rejected"),
    "chats (messages)": ("messages",),
    "chats (conversations)": ("conversations",),
    "chats (conversation)": ("conversation",),
    "dialogues (dialogue)": ("dialogue",),
    "turns in a list, as UltraChat (data)": ("data",),
}
"""Name -> the columns that are there; the first holds the dialogue whose question is asked."""


def resolve(
    given: ColumnMapping, columns: Sequence[str], head: Sequence[Mapping[str, Any]], table: str, where: str
) -> RowMapping:
    """`given` completed for a table with these columns, from its first rows (`head`).

    Known data sets are recognised by their columns and markers; what the recipe says goes before that.
    Raises UserError naming a column that is not there and the nearest, or asking for what cannot be told.
    """
    name, known = _recognise(given, columns, head)
    question = given.question or known.get("question")
    domain = given.domain or known.get("domain", "general")
    verifier = given.verifier or VERIFIER_OF_DOMAIN.get(domain, known.get("verifier", "exact"))
    # Where nothing is graded, a gold answer that nobody asked for is nothing a row must have.
    answer = given.answer or (None if verifier == "none" else known.get("answer"))
    for key, column in (("question", question), ("answer", answer)):
        if column is None and (key == "question" or verifier != "none"):
            raise UserError(
                f"{where}: cannot tell which column of {table} is the {key}. "
                f"Columns there: {', '.join(columns)}. Set `{key}`"
                + ("" if key == "question" else ", or `verifier: none` where no rule can check")
            )
    assert question is not None
    if isinstance(question, list) and len(set(question)) < len(question):
        raise UserError(f"{where}.question: a column is named twice: {', '.join(question)}")
    thousands = given.strip_thousands
    mapping = RowMapping(
        question=question,
        answer=answer,
        answer_after=given.answer_after or known.get("answer_after"),
        strip_thousands=known.get("strip_thousands", False) if thousands is None else thousands,
        domain=domain,
        verifier=verifier,
        language=given.language,
        language_column=given.language_column,
        level_column=given.level_column,
        extra=given.extra,
        recognised=name,
        dialogue=isinstance(question, str) and _holds_dialogues(question, head),
    )
    for key, column in mapping.columns.items():
        if column not in columns:
            raise UserError(f"{where}.{key}: {table} has no column {column!r}; {suggestion(column, columns)}")
    return mapping


def _recognise(
    given: ColumnMapping, columns: Sequence[str], head: Sequence[Mapping[str, Any]]
) -> tuple[str | None, dict[str, Any]]:
    # AIME's own files spell the columns Problem and Answer.
    spelled = {column.lower(): column for column in reversed(columns)}
    for name, known in _KNOWN.items():
        question, answer = (spelled.get(column) for column in known["columns"])
        if question is None or answer is None:
            continue
        if given.question not in (None, question) or given.answer not in (None, answer):
            continue
        if "answer_after" in known and not any(GSM8K_MARKER in str(row.get(answer)) for row in head):
            continue
        return name, {**known, "question": question, "answer": answer}
    for name, needed in _DIALOGUES.items():
        found = [spelled.get(column) for column in needed]
        column = found[0]
        if (
            column is None
            or None in found
            or given.answer is not None
            or given.question not in (None, column)
        ):
            continue
        if _holds_dialogues(column, head):
            return name, {"question": column, "domain": "general", "verifier": "none"}
    return None, {}


def _holds_dialogues(column: str, head: Sequence[Mapping[str, Any]]) -> bool:
    """Whether most of the column's cells do: a question that merely begins like a dialogue makes no table of them."""
    cells = [row[column] for row in head if row.get(column)]
    return sum(map(is_dialogue, cells)) > len(cells) / 2


def row_language(row: Mapping[str, Any], question: str, language: str | None, column: str | None) -> str:
    """The language of a row: what its `column` says, else `language`, else what the question's characters say.

    Raises BadRow for a column that names no language.
    """
    if column is None:
        return language or detect_language(question)
    given = joined(row, column, "language").lower()
    named = {name.lower(): code for code, name in LANGUAGE_CODES.items()}
    # zh-CN, en_US and the like name a region after the language.
    code = re.split(r"[-_]", named.get(given, given))[0]
    if code not in LANGUAGE_CODES:
        expected = "a language code such as en, zh, fr, or its English name"
        raise BadRow("unknown language", column, f"it is {given!r}", expected)
    return code


def level_of(row: Mapping[str, Any], column: str) -> int | None:
    """The level in a column ("3", 3, "Level 3"), None where there is none. Raises BadRow."""
    value = row.get(column)
    if value is None:
        return None
    # MATH writes "Level 5".
    digits = re.fullmatch(r"(?:level\s*)?(\d+)(?:\.0)?", str(value).strip(), re.IGNORECASE)
    if digits is None or int(digits[1]) < 1:
        raise BadRow("wrong level", column, f"it is {str(value)[:40]!r}", "a whole number, 1 or more")
    return int(digits[1])
