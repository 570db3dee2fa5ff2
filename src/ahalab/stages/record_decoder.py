"""From a JSON object to one of the records, strictly: a typing slip in a hand-edited file is said, never guessed."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from math import isfinite
from typing import Any, TypeVar, get_args, get_type_hints

from ahalab.errors import UserError
from ahalab.records import LabelledResponse, PreferencePair, SupervisedRow
from ahalab.validation import nearest

Record = TypeVar("Record", SupervisedRow, PreferencePair, LabelledResponse)

_TYPES = {str: "text", bool: "true or false", int: "a whole number", float: "a number", type(None): "null"}
_MAY_BE_BLANK = ("thinking",)


def decoder(kind: type[Record]) -> Callable[[Mapping[str, Any], str], Record]:
    """A function (object, where it stands) -> record; it raises UserError for anything that does not fit."""
    hints = get_type_hints(kind)
    expected = {field.name: _members(hints[field.name]) for field in fields(kind)}
    required = [f.name for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING]

    def decode(values: Mapping[str, Any], where: str) -> Record:
        for key in values:
            if key not in expected:
                raise UserError(
                    f"{where}: unknown key {key!r} (nearest: {nearest(key, expected)!r}). "
                    f"Known here: {', '.join(expected)}."
                )
        for key in required:
            if key not in values:
                raise UserError(f"{where}: the key {key!r} is missing. Needed: {', '.join(required)}.")
        for key, value in values.items():
            _check(key, value, expected[key], where)
        return kind(**values)

    return decode


def _members(hint: Any) -> tuple[type, ...]:
    return tuple(get_args(hint)) if isinstance(hint, types.UnionType) else (hint,)


def _check(key: str, value: Any, allowed: Sequence[type], where: str) -> None:
    # By exact type: true is an int to Python, not to a person.
    kinds = [*allowed, int] if float in allowed else allowed
    if type(value) not in kinds or (isinstance(value, float) and not isfinite(value)):
        wanted = " or ".join(_TYPES[one] for one in allowed)
        raise UserError(f"{where}, key {key!r}: expected {wanted}, got {repr(value)[:60]}.")
    if isinstance(value, str):
        if not value.strip() and key not in _MAY_BE_BLANK:
            raise UserError(f"{where}, key {key!r}: it is blank; expected text.")
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise UserError(
                    f"{where}, key {key!r}: it holds half of a surrogate pair, which is no character. Mend it."
                ) from None
