"""Where two plain values (recipes, configurations) differ, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ahalab.runs.hashing import canonical_json

_MISSING = object()


def differences(theirs: Any, ours: Any, key: str = "") -> Iterator[tuple[str, str, str]]:
    """(dotted key, their value, our value) wherever two JSON-able values differ; list items by number.

    Types count, as in `canonical_json`. A value that one side lacks is "not set".
    """
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        theirs, ours = dict(enumerate(theirs)), dict(enumerate(ours))
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in [*theirs, *(name for name in ours if name not in theirs)]:
            dotted = f"{key}.{name}" if key else str(name)
            yield from differences(theirs.get(name, _MISSING), ours.get(name, _MISSING), dotted)
    elif _show(theirs) != _show(ours):
        yield key, _show(theirs), _show(ours)


def shorten(text: str, width: int = 80) -> str:
    """At most `width` characters: its beginning and an ellipsis."""
    return text if len(text) <= width else text[: width - 1] + "…"


def _show(value: Any) -> str:
    return "not set" if value is _MISSING else canonical_json(value)
