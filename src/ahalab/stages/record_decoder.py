"""From a JSON object to one of the records, strictly: a typing slip in a hand-edited file is said, never guessed."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from math import isfinite
from typing import Any, TypeVar, get_args, get_type_hints

from ahalab.errors import UserError
from ahalab.records import LabelledResponse, Messages, PreferencePair, SupervisedRow
from ahalab.validation import nearest

Record = TypeVar("Record", SupervisedRow, PreferencePair, LabelledResponse)

_TYPES = {str: "text", bool: "true or false", int: "a whole number", float: "a number", type(None): "null"}
_MAY_BE_BLANK = ("thinking",)
_MESSAGES = "messages"
_SPEAKERS = ("system", "user", "assistant")


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
        if _MESSAGES in values:
            values = {**values, _MESSAGES: read_messages(values[_MESSAGES], where)}
        for key, value in values.items():
            if key != _MESSAGES:
                _check(key, value, expected[key], where)
        return kind(**values)

    return decode


def as_values(record: Record) -> dict[str, Any]:
    """The record as a JSON object: every field, but no `messages` where it has a single turn."""
    values = asdict(record)
    if not values.get(_MESSAGES, True):
        del values[_MESSAGES]
    return values


def supervised_row(values: Mapping[str, Any], where: str = "a row of a shard") -> SupervisedRow:
    """The row that `as_values` made an object of; UserError for turns that are none."""
    return SupervisedRow(**{**values, _MESSAGES: read_messages(values.get(_MESSAGES, ()), where)})


def read_messages(value: object, where: str) -> Messages:
    """The turns of a dialogue from JSON: [[role, text], …], the last the user's. Raises UserError."""
    turns = value if isinstance(value, list | tuple) else None
    if turns is not None and all(
        isinstance(turn, list | tuple)
        and len(turn) == 2
        and turn[0] in _SPEAKERS
        and isinstance(turn[1], str)
        and turn[1].strip()
        for turn in turns
    ):
        found = tuple((str(role), str(said)) for role, said in turns)
        if not found or found[-1][0] == "user":
            return found
    raise UserError(
        f"{where}, key 'messages': expected the turns of a dialogue as [[role, text], …], the roles "
        f"{', '.join(_SPEAKERS)} and the last turn the user's; got {repr(value)[:60]}."
    )


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
