"""HTML by construction: every plain string is escaped, and hidden characters of untrusted text are made visible."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable

from ahalab.text.hostile import make_visible, visible_code


class Safe(str):
    """Markup that is already HTML. Made here, by `figures` from matplotlib's output, and from the package's own CSS."""

    __slots__ = ()


SCROLLING = {"class_": "scroll", "tabindex": "0", "role": "group", "aria_label": "Table"}
"""Attributes of what a table scrolls in on a narrow screen: the keyboard must reach it to move it."""

VOID = frozenset({"meta", "link", "br"})


def element(tag: str, *children: str | Iterable[str], **attributes: str | int | bool | None) -> Safe:
    """`<tag attributes>children</tag>`; plain strings are escaped, `Safe` ones are not.

    An attribute named `class_` or `aria_label` loses the trailing or becomes the dashed name; None and False leave it
    out, True gives it without a value.
    """
    parts = [tag]
    for name, value in attributes.items():
        if value is None or value is False:
            continue
        shown = name.rstrip("_").replace("_", "-")
        parts.append(shown if value is True else f'{shown}="{attribute(str(value))}"')
    opening = f"<{' '.join(parts)}>"
    if tag in VOID:
        return Safe(opening)
    return Safe(f"{opening}{join(*children)}</{tag}>")


def join(*children: str | Iterable[str]) -> Safe:
    """Children one after another; plain strings escaped."""
    out: list[str] = []
    for child in children:
        if isinstance(child, str):
            out.append(escape(child))
        else:
            out.extend(escape(part) for part in child)
    return Safe("".join(out))


def escape(text: str) -> Safe:
    """HTML text of a plain string: markup characters escaped, hidden characters as `\\u{...}` in a marked span."""
    if isinstance(text, Safe):
        return text
    return Safe(make_visible(text, _marked_code, html.escape))


def attribute(text: str) -> str:
    """Text for inside a double-quoted attribute, hidden characters as plain `\\u{...}`."""
    return text if isinstance(text, Safe) else make_visible(text, visible_code, html.escape)


def _marked_code(character: str) -> str:
    return f'<span class="hidden">{visible_code(character)}</span>'


def highlight(text: str, pattern: re.Pattern[str]) -> Safe:
    """Untrusted text with reflective words in `<mark>` and the think and answer tags dimmed.

    Cut at the matches first and escaped piece by piece, so a match can never be part of an entity or a tag.
    """
    out: list[str] = []
    position = 0
    for match in pattern.finditer(text):
        out.append(escape(text[position : match.start()]))
        found = match.group()
        out.append(element("span", found, class_="tag") if found.startswith("<") else element("mark", found))
        position = match.end()
    out.append(escape(text[position:]))
    return Safe("".join(out))
