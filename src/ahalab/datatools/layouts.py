"""What a table's columns are to this project: prompts, worked answers, pairs, labels; and what a recipe says of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from ahalab.datatools.stream import Row, open_stream
from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow, texts
from ahalab.prompts.contest.mapping import CodeMapping
from ahalab.prompts.files import HEAD_BYTES
from ahalab.prompts.mapping import ColumnMapping, RowMapping
from ahalab.prompts.table import HEAD_ROWS, TableMapping, resolve_table
from ahalab.stages.foreign_rows import ALIASES, Kind, RowReader
from ahalab.validation import suggestion, validate

KINDS: dict[Kind, str] = {
    "rows": "worked answers to fine-tune on (an sft stage's `data`)",
    "pairs": "preference pairs (a reward_model stage's `data`)",
    "labelled": "responses labelled safe or unsafe (a reward_model stage's `data`)",
}


@dataclass(frozen=True)
class Layout:
    """What the columns of a table were recognised as."""

    columns: list[str]
    prompts: TableMapping | None
    """How rows become prompts; None where that cannot be told."""
    why_not: str | None
    """In words, where `prompts` is None."""
    kinds: list[Kind]
    """The kinds of data sets of later stages that the columns can be read as."""

    @property
    def recognised(self) -> str | None:
        """The known data set whose columns these are, in words."""
        if self.prompts is None:
            return None
        named = self.prompts.describe().get("recognised")
        return None if named is None else str(named)

    def question_columns(self) -> list[str]:
        """The columns of the question, as recognised or by their usual names; empty where nothing tells."""
        if isinstance(self.prompts, CodeMapping):
            named = [self.prompts.names.get(name) for name in ("question", "issue")]
            return [column for column in named if column is not None]
        if isinstance(self.prompts, RowMapping):
            asked = self.prompts.question
            return [asked] if isinstance(asked, str) else list(asked)
        if self.prompts is not None:
            # Of multiple choice and of puzzles the question alone says little: "Which of these is right?"
            return list(dict.fromkeys(self.prompts.columns.values()))
        return self._usual("question")[:1] or self._usual("messages")[:1] or self._usual("chosen")[:1]

    def answer_columns(self) -> list[str]:
        """The columns of the answer and of the thinking before it, likewise."""
        known = self.prompts.answer if isinstance(self.prompts, RowMapping) else None
        return list(
            dict.fromkeys([*self._usual("thinking")[:1], *([known] if known else self._usual("answer")[:1])])
        )

    def _usual(self, name: str) -> list[str]:
        spelled = {column.lower(): column for column in reversed(self.columns)}
        return [spelled[alias] for alias in ALIASES[name] if alias in spelled]


def head_of(path: Path, encoding: str | None = None) -> list[dict[str, Any]]:
    """The first good rows, at most HEAD_ROWS. UserError as `open_stream`."""
    stream = open_stream(path, encoding)
    head = Head()
    try:
        # Of a file of bad rows only the beginning is looked at: whoever reads it all names them.
        for row in islice(stream, 10 * HEAD_ROWS):
            if row.bad is None:
                head.add(row)
            if head.full:
                break
        return [values for _, values in head.rows]
    finally:
        stream.close()


class Head:
    """The first rows of a file, by which its layout is told: fewer of them where they are large."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, Any]]] = []
        """(number, values)"""
        self._bytes = 0

    def add(self, row: Row) -> None:
        """Take one in."""
        self.rows.append((row.number, row.values))
        self._bytes += len(row.raw) if row.raw is not None else sum(map(len, texts(row.values)))

    @property
    def full(self) -> bool:
        """Whether there are enough."""
        return len(self.rows) >= HEAD_ROWS or self._bytes >= HEAD_BYTES


def layout_of(
    head: Sequence[Mapping[str, Any]],
    label: str,
    given: ColumnMapping | None = None,
    where: str | None = None,
) -> Layout:
    """What a table whose first rows are `head` was recognised as, `given` going before what is recognised.

    Raises:
        UserError: `given` names a column that is not there.
    """
    columns = list(dict.fromkeys(column for row in head for column in row))
    given = given or ColumnMapping()
    where = where or label
    mapping: TableMapping | None = None
    why_not = None
    try:
        mapping = resolve_table(given, columns, head, label, where)
    except UserError as error:
        if given.model_fields_set:
            raise
        why_not = str(error)
    return Layout(columns, mapping, why_not, _kinds(columns, head, label))


def _kinds(columns: Sequence[str], head: Sequence[Mapping[str, Any]], label: str) -> list[Kind]:
    found: list[Kind] = []
    for kind in KINDS:
        try:
            reader = RowReader(kind, {}, columns, label=label, where=label)
        except UserError:
            continue
        if any(_reads(reader, kind, row) for row in head):
            found.append(kind)
    return found


def _reads(reader: RowReader, kind: Kind, row: Mapping[str, Any]) -> bool:
    try:
        if kind == "pairs":
            reader.pair(row)
        else:
            reader.reply(row)
            if kind == "labelled":
                reader.safe(row)
    except BadRow:
        return False
    return True


def mapping_of(settings: Sequence[str]) -> ColumnMapping:
    """The mapping that `--map KEY=VALUE` options say; keys and values are those of a recipe's prompt entry.

    Raises:
        UserError: no KEY=VALUE, or an unknown key or value.
    """
    given: dict[str, Any] = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals or not key or not value:
            raise UserError(f"--map {text!r}: expected KEY=VALUE, such as question=prompt")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError:
            parsed = value
        head, dot, inside = key.partition(".")
        # A column, a domain or a marker is text, whatever it looks like: 1, no, ####.
        is_text = not dot and key != "strip_thousands"
        parsed = value if parsed is None or (is_text and isinstance(parsed, int | float)) else parsed
        if dot:
            given.setdefault(head, {})[inside] = parsed
        else:
            given[key] = parsed
    return validate(ColumnMapping, given, "--map")


def text_of(row: Mapping[str, Any], columns: Iterable[str]) -> str:
    """The texts of some columns, a blank line between; numbers as they are written."""
    found: list[str] = []
    for column in columns:
        value = row.get(column)
        found += [str(value)] if isinstance(value, int | float) else texts(value)
    return "\n\n".join(found)


def chosen_columns(
    given: Sequence[str], head: Sequence[Mapping[str, Any]], path: Path, option: str
) -> list[str]:
    """The columns that `option` names (each may be several, joined by commas). UserError for one that is not there."""
    there = list(dict.fromkeys(column for row in head for column in row))
    # A column's own name may hold a comma.
    named = [part for one in given for part in ([one] if one in there else one.split(","))]
    for column in named:
        if column not in there:
            raise UserError(f"{option}: {path} has no column {column!r}; {suggestion(column, there)}")
    return list(dict.fromkeys(named))


def prompt_entry(path: Path, layout: Layout) -> dict[str, Any]:
    """The entry of a recipe's `prompts:` that reads the file: the path alone where it is recognised, else with the
    likeliest columns, to be corrected."""
    entry: dict[str, Any] = {"file": str(path)}
    if layout.prompts is not None:
        return entry
    question = layout.question_columns()
    answer = [column for column in layout.answer_columns() if column not in question]
    entry["question"] = question[0] if question else "COLUMN OF THE QUESTION"
    if answer:
        entry |= {"answer": answer[-1], "domain": "general", "verifier": "exact"}
    else:
        entry |= {"domain": "general", "verifier": "none"}
    return entry


def fragment(key: str, entry: Mapping[str, Any]) -> str:
    """A piece of a recipe: `key` with one entry."""
    return yaml.safe_dump({key: [dict(entry)]}, sort_keys=False, allow_unicode=True).rstrip()
