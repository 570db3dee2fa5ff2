"""Nesting of brackets in a text, in linear time. Any kind closes any other: [1,2) is an interval."""

from __future__ import annotations

_OPENING, _CLOSING = "([{", ")]}"


def depths_of(text: str) -> list[int]:
    """The nesting at each character; a bracket counts as inside. Any kind closes any other: [1,2) is an interval."""
    depths, depth = [], 0
    for character in text:
        depth += character in _OPENING
        depths.append(depth)
        depth = max(0, depth - (character in _CLOSING))
    return depths


def closing(text: str) -> int:
    depths = depths_of(text)
    for position, character in enumerate(text):
        if depths[position] == 1 and character in _CLOSING:
            return position
    return -1


def has_list_at_top(text: str) -> bool:
    depths = depths_of(text)
    return any(character in ",;" and depths[position] == 0 for position, character in enumerate(text))
