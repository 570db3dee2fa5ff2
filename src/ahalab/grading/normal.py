"""Normal forms of short answers: what counts as the same text and as the same number. In linear time."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal

_MINUS = str.maketrans({"−": "-", "﹣": "-", "–": "-", "‐": "-", "‑": "-"})
_BLANKS = re.compile(r"\s+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,3}(?: [0-9]{3})+)?(?:\.[0-9]*)?")
_HAS_DIGIT = re.compile(r"[0-9]")
_BOX = "\\boxed{"


def plain_text(text: str) -> str:
    """The text with full-width and other compatibility characters made plain, white space collapsed, case
    folded and one full stop at the end removed."""
    folded = unicodedata.normalize("NFKC", text).translate(_MINUS).casefold()
    collapsed = _BLANKS.sub(" ", folded).strip()
    return collapsed.rstrip(".。").rstrip() if not collapsed.endswith("..") else collapsed


def plain_number(text: str) -> Decimal | None:
    """The exact value of a text that is one integer or decimal and nothing else, else None.

    Understands signs, thousands separators ("1,234", "1 234"), full-width digits and a full stop at the end.
    No exponents, so no short text can stand for a huge number.
    """
    plain = plain_text(text)
    if not _HAS_DIGIT.search(plain) or not _NUMBER.fullmatch(plain):
        return None
    return Decimal(plain.replace(",", "").replace(" ", ""))


def final_answer(text: str) -> str:
    """What the last `\\boxed{…}` of a summary holds, or the whole text when there is none.

    Braces may be nested; a box that is never closed is none.
    """
    start = text.rfind(_BOX)
    if start < 0:
        return text
    depth = 1
    for position in range(start + len(_BOX), len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[start + len(_BOX) : position]
    return text
