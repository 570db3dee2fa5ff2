"""One line of JSON Lines as a row, and how a bad row is told to a person."""

from __future__ import annotations

import json
from typing import Any

from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow


def read_line(line: bytes) -> dict[str, Any]:
    """The row that a line of UTF-8 JSON holds; a byte order mark is no fault. Raises BadRow."""
    if b"\0" in line:
        raise BadRow("NUL bytes", None, "it holds NUL bytes", "a line of UTF-8 text")
    try:
        row = json.loads(line.decode("utf-8-sig"), object_pairs_hook=_each_key_once)
    except UnicodeDecodeError:
        raise BadRow("not UTF-8", None, "it has other bytes", "a line of UTF-8 text") from None
    except json.JSONDecodeError as error:
        found = f"it is not JSON: {error.msg} at character {error.colno}"
        raise BadRow("not JSON", None, found, "one JSON object a line") from None
    except RecursionError:
        found = "it is not JSON: it nests too deep"
        raise BadRow("not JSON", None, found, "one JSON object a line") from None
    except ValueError:
        # Python refuses to read a whole number of thousands of digits: it would take it minutes.
        found = "it is not JSON: a number has too many digits"
        raise BadRow("not JSON", None, found, "one JSON object a line") from None
    if not isinstance(row, dict):
        raise BadRow("not an object", None, f"it is a {type(row).__name__}", "one JSON object a line")
    return row


def bad_row_error(label: str, number: int, bad: BadRow) -> UserError:
    """The refusal of a bad row: file, row, column, what was expected, what to do."""
    column = f", column {bad.column!r}" if bad.column else ""
    return UserError(
        f"{label}, row {number}{column}: expected {bad.expected}, but {bad.found}. "
        "Correct the row, or leave such rows out with --skip-bad-rows (they are counted)"
    )


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise BadRow("duplicate key", twice, "the key is there twice", "each key once in an object")
    return made
