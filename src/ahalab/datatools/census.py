"""What is in the columns of a table: types, gaps, lengths, examples. Memory is bounded, whatever the file holds."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ahalab.text.quality import is_misread

MOST_COLUMNS = 500
"""Columns that are told apart; a file with a new key in every row has more, and they are only counted."""
EXAMPLES, MOST_VALUES, LONGEST_VALUE = 3, 12, 40
EXAMPLE_CHARACTERS = 200
_SEEN_TEXT = 4096
"""Of a longer text only so much is kept while it is looked at."""

_STRANGE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffd]")
_NUL, _SURROGATE, _REPLACED, _HIDDEN, _MISREAD = (
    "NUL characters",
    "halves of surrogate pairs",
    "replacement characters (text that was read in a wrong encoding)",
    "control or direction characters",
    "UTF-8 that was read as Latin-1 or Windows-1252",
)


def kind_of(value: Any) -> str:
    """The type of a value in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true/false"
    if isinstance(value, str):
        return "text"
    if isinstance(value, int):
        return "whole number"
    if isinstance(value, float):
        return "number"
    return "list" if isinstance(value, list | tuple) else "object"


@dataclass(slots=True)
class Column:
    """One column, over all rows."""

    name: str
    no_text: bool = False
    """Whether no examples and no values are kept."""
    kinds: Counter[str] = field(default_factory=Counter)
    """Type → rows; a row that lacks the column is in none."""
    blank: int = 0
    """Texts without a visible character, empty lists and objects."""
    shortest: int | None = None
    longest: int = 0
    total: int = 0
    """Characters of texts, or items of lists and objects."""
    examples: list[str] = field(default_factory=list)
    values: Counter[str] | None = field(default_factory=Counter)
    """Value → rows, while there are at most `MOST_VALUES` short ones; then None."""
    problems: Counter[str] = field(default_factory=Counter)
    """What is wrong with texts → rows."""

    def add(self, value: Any) -> None:
        """Take one cell into account."""
        kind = kind_of(value)
        self.kinds[kind] += 1
        if value is None:
            return
        if isinstance(value, str | list | tuple | dict):
            size = len(value)
            self.total += size
            self.longest = max(self.longest, size)
            self.shortest = size if self.shortest is None else min(self.shortest, size)
            self.blank += not (value.strip() if isinstance(value, str) else value)
        if isinstance(value, str) and not (value.isascii() and value.isprintable()):
            self._look(value)
        if not self.no_text and (len(self.examples) < EXAMPLES or self.values is not None):
            self._remember(value)

    def as_dict(self, rows: int) -> dict[str, Any]:
        """JSON-able; `rows` is the number of all rows."""
        there = self.kinds.total()
        measured = sum(self.kinds[kind] for kind in ("text", "list", "object"))
        return {
            "name": self.name,
            "types": dict(self.kinds.most_common()),
            "missing": rows - there,
            "null": self.kinds["null"],
            "blank": self.blank,
            "empty_share": (rows - there + self.kinds["null"] + self.blank) / max(1, rows),
            "length": {"shortest": self.shortest, "mean": self.total / measured, "longest": self.longest}
            if measured
            else None,
            "examples": self.examples,
            "values": None if self.values is None else dict(self.values.most_common()),
            "problems": dict(self.problems.most_common()),
        }

    def _look(self, text: str) -> None:
        if found := set(_STRANGE.findall(text)):
            self.problems[_NUL] += "\0" in found
            self.problems[_SURROGATE] += any("\ud800" <= one <= "\udfff" for one in found)
            self.problems[_REPLACED] += "\ufffd" in found
            self.problems[_HIDDEN] += any(
                one not in ("\0", "\ufffd") and not "\ud800" <= one <= "\udfff" for one in found
            )
            self.problems = +self.problems
        if is_misread(text):
            self.problems[_MISREAD] += 1

    def _remember(self, value: Any) -> None:
        short = value[:_SEEN_TEXT] if isinstance(value, str) else _written(value)
        if (
            len(self.examples) < EXAMPLES
            and short.strip()
            and short[:EXAMPLE_CHARACTERS] not in self.examples
        ):
            self.examples.append(short[:EXAMPLE_CHARACTERS])
        if self.values is None:
            return
        if len(short) > LONGEST_VALUE or isinstance(value, list | tuple | dict):
            self.values = None
            return
        self.values[short] += 1
        if len(self.values) > MOST_VALUES:
            self.values = None


class Census:
    """All columns of a table, in the order in which they first came.

    Args:
        no_text: keep no examples and no values.
    """

    def __init__(self, *, no_text: bool = False) -> None:
        self.rows = 0
        self._no_text = no_text
        self.columns: dict[str, Column] = {}
        self.other_keys = 0
        """Cells of columns beyond `MOST_COLUMNS`."""

    def add(self, row: Mapping[str, Any]) -> None:
        """Take one row into account."""
        self.rows += 1
        for name, value in row.items():
            column = self.columns.get(name)
            if column is None:
                if len(self.columns) >= MOST_COLUMNS:
                    self.other_keys += 1
                    continue
                column = self.columns[name] = Column(name, no_text=self._no_text)
            column.add(value)

    def as_dict(self) -> list[dict[str, Any]]:
        """JSON-able."""
        return [column.as_dict(self.rows) for column in self.columns.values()]


def _written(value: Any) -> str:
    """A value as JSON, cut before it is long: a list may hold megabytes."""
    if isinstance(value, list | tuple):
        value = value[:EXAMPLES]
    text = json.dumps(_cut(value), ensure_ascii=False, default=str)
    return text[:_SEEN_TEXT]


def _cut(value: Any, depth: int = 0) -> Any:
    if isinstance(value, str):
        return value[:EXAMPLE_CHARACTERS]
    if depth > 4:
        return "…"
    if isinstance(value, Mapping):
        return {str(key)[:LONGEST_VALUE]: _cut(value[key], depth + 1) for key in list(value)[:8]}
    if isinstance(value, list | tuple):
        return [_cut(one, depth + 1) for one in value[:8]]
    return value
