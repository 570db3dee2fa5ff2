"""The cells of a row of somebody's table, as text: what is missing or of a wrong type is a `BadRow`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


class BadRow(Exception):
    """A row that nothing can be made of. `reason` is a stable identifier: bad rows are counted by it."""

    def __init__(self, reason: str, column: str | None, found: str, expected: str) -> None:
        super().__init__(f"{reason}: {found}")
        self.reason, self.column, self.found, self.expected = reason, column, found, expected


class LeftOut(Exception):
    """A row in good order of a kind that no prompt is made of here (an interactive problem). Counted by `reason`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def present(row: Mapping[str, Any], column: str, what: str) -> Any:
    """The value of a cell that must be there. Raises BadRow."""
    value = row.get(column)
    if value is None:
        found = "it is null" if column in row else "the row has no such column"
        raise BadRow(f"no {what}", column, found, f"the {what}")
    return value


def text(value: Any, column: str, what: str, *, blank: bool = False) -> str:
    """A cell's value as stripped text; numbers are written out. Raises BadRow, also for blank text unless `blank`."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        found = f"it is a {type(value).__name__}"
        raise BadRow("wrong type", column, found, f"the {what} as text or a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRow("wrong type", column, f"it is {value}", f"the {what} as text or a finite number")
    stripped = str(value).strip()
    if not stripped and not blank:
        raise BadRow(f"no {what}", column, "it is empty", f"the {what}")
    try:
        stripped.encode()
    except UnicodeEncodeError:
        raise BadRow(
            "not Unicode", column, "it holds half of a surrogate pair", "valid Unicode text"
        ) from None
    return stripped


def joined(row: Mapping[str, Any], columns: str | Sequence[str], what: str) -> str:
    """The text of one column, or of several with a blank line between: the first must be there, of the others those
    that are not blank are taken. Raises BadRow."""
    if isinstance(columns, str):
        return text(present(row, columns, what), columns, what)
    first, *others = columns
    parts = [text(present(row, first, what), first, what)]
    parts += [text(row[column], column, what, blank=True) for column in others if row.get(column) is not None]
    return "\n\n".join(part for part in parts if part)


def texts(value: Any) -> Iterator[str]:
    """Every text in a value, wherever it stands, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from texts(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from texts(one)
