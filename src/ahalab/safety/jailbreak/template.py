"""A published wrapper: a text with the place where the question goes, and where it was found."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b

from ahalab.text.quality import words

SLOT = "\x00"
"""Stands in a text for the question; no published text holds this character."""
SEPARATOR = "\n\n"
"""Between a text without a place for the question and the question: "concatenated", says the paper (D.3.5)."""

_WHAT = r"(?:user[ _-])?(?:prompt|question|query|goal|request|message|instruction|behaviou?r)s?"
_PUT = r"(?:insert|put|add|place|enter|type|write)"
_OPEN, _CLOSE = r"[\[{<(]\s*", r"\s*\\?[\]}>)]"
_MARKED = re.compile(
    r"\{\{\s*(?:prompt|question|query|goal)\s*\}\}"
    rf"|{_OPEN}{_PUT}[ _-](?:(?:your|my|the|a|any)[ _-])?{_WHAT}(?:[ _-](?:on[ _-])?here)?{_CLOSE}"
    rf"|{_OPEN}(?:your|my|the)[ _-]{_WHAT}(?:[ _-]here)?{_CLOSE}"
    rf"|[\[{{<]\s*{_WHAT}(?:[ _-]here)?{_CLOSE}",
    re.IGNORECASE,
)
"""How collections mark the place (our reading of them): `{{ prompt }}`, `[INSERT PROMPT HERE]`, `{question}`, …"""


@dataclass(frozen=True, slots=True)
class Template:
    """One published template."""

    text: str
    """With `SLOT` once or several times, or without one: then the question is appended."""
    source: str
    """Name of its source."""
    licence: str
    """Of the text as far as known, and of the package or file it was read from."""
    name: str = ""
    """Its name there: a file name, a row. Never the text."""

    @property
    def id(self) -> str:
        """Made of the text, so that it is the same wherever and in whatever order the text is found."""
        return f"t{blake2b(plain(self.text).encode('utf-8', 'backslashreplace'), digest_size=5).hexdigest()}"

    @property
    def has_slot(self) -> bool:
        """Whether the text says where the question goes."""
        return SLOT in self.text

    def around(self, question: str) -> str:
        """The question within the template."""
        if self.has_slot:
            return self.text.replace(SLOT, question)
        return f"{self.text}{SEPARATOR}{question}"


def find_slots(text: str) -> str:
    """The text with `SLOT` in the places that it marks for the question; the same text where it marks none."""
    return _MARKED.sub(SLOT, text.replace(SLOT, ""))


def plain(text: str) -> str:
    """What two copies of a text have in common: its words. Case, width, signs, spaces and the slot do not count."""
    return " ".join(words(text.replace(SLOT, " ")))
