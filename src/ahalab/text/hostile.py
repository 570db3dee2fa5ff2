"""Text from a model is hostile: hidden characters are made visible before a person sees it anywhere."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_MAX_COMBINING = 3
"""Combining marks kept after one letter; more would draw over the neighbouring lines (our choice)."""


def visible_code(character: str) -> str:
    r"""A hidden character as readable text, `\u{202E}`."""
    return f"\\u{{{ord(character):04X}}}"


def make_visible(
    text: str,
    hidden: Callable[[str], str] = visible_code,
    plain: Callable[[str], str] = lambda character: character,
) -> str:
    """`text` with control, bidi and other hidden characters (line feed and tab kept) given to `hidden`.

    Every other character goes through `plain`. Terminal escape sequences and reversed text lose their power.
    """
    if text.isascii() and text.replace("\n", "").isprintable():
        return "".join(map(plain, text))
    out: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        unseen = category in _HIDDEN and character not in "\n\t"
        out.append(hidden(character) if unseen or marks > _MAX_COMBINING else plain(character))
    return "".join(out)
