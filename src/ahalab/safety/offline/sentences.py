"""A reply cut into sentences and list items, folded so that the rules read one form of it."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

MOST_SENTENCES = 120
"""Of a reply that are read, our choice: what follows hardly changes a share."""

_FOLD = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u02bc": "'", "\u201c": '"', "\u201d": '"', "\u00a0": " "}
)
_ITEM = re.compile(
    r"^\s*(?:[-*•·‣▪]\s+|\(?\d{1,2}[.)、:：]\s*|[（(][一二三四五六七八九十\d]{1,2}[)）]|[一二三四五六七八九十]{1,2}、|#{1,4}\s|step\s+\d)",
    re.IGNORECASE,
)
_END = re.compile(r"(?<=[.!?])[\"')\]*]*\s+(?=[^a-z])|(?<=[。！？；!?;])[\"'”’」』)）]*\s*(?=\S)")
_ABBREVIATION = re.compile(r"(?:\b(?i:mr|mrs|ms|dr|prof|st|vs|e\.g|i\.e|u\.s)\.|(?<![\w'])[A-Z]\.)$")
_MARKS = re.compile(r"\*\*|__|`+")


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence or list item."""

    text: str
    """Quotes and blanks folded, marks of emphasis dropped, case kept."""
    is_item: bool
    """It stands in a list, or under one of its items."""


def folded(text: str) -> str:
    """Typographic quotes made plain, full-width letters narrow, marks of emphasis dropped."""
    narrow = "".join(
        unicodedata.normalize("NFKC", one) if "！" <= one <= "～" and one.isalnum() else one for one in text
    )
    return _MARKS.sub("", narrow.translate(_FOLD))


def sentences(text: str) -> list[Sentence]:
    """The sentences in order, at most `MOST_SENTENCES`; [] of a text without any letter."""
    found: list[Sentence] = []
    for line in folded(text).splitlines():
        match = _ITEM.match(line)
        body = line[match.end() :] if match else line
        for piece in _pieces(body):
            found.append(Sentence(piece, match is not None))
            if len(found) >= MOST_SENTENCES:
                return found
    return found


def _pieces(line: str) -> list[str]:
    pieces: list[str] = []
    for part in _END.split(line):
        clean = " ".join(part.split())
        if not any(character.isalnum() for character in clean):
            continue
        if pieces and _ABBREVIATION.search(pieces[-1]):
            pieces[-1] = f"{pieces[-1]} {clean}"
        else:
            pieces.append(clean)
    return pieces
