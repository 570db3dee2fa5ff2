"""The words that label files use, read strictly: a word that is not known is an error, never a guess."""

from __future__ import annotations

import re
from typing import Literal

Head = Literal["verdict", "compliance", "refusal", "harm"]
"""What a labelled set says of a reply: the three verdicts · XSTest's three classes · refused or not · harmful or not.
XSTest's classes are compliance, not harm: the heads are measured apart."""

CLASSES: dict[Head, tuple[str, ...]] = {
    "verdict": ("unsafe", "safe", "rejection"),
    "compliance": ("full compliance", "partial refusal", "full refusal"),
    "refusal": ("complied", "refused"),
    "harm": ("unsafe", "not unsafe"),
}

_YES, _NO = ("1", "true", "yes", "1.0"), ("0", "false", "no", "0.0")
_WORDS: dict[Head, dict[str, str]] = {
    "verdict": {
        **{word: word for word in CLASSES["verdict"]},
        "harmful": "unsafe",
        "reject": "rejection",
        "rejected": "rejection",
        "不安全": "unsafe",
        "安全": "safe",
        "拒答": "rejection",
        "拒绝": "rejection",
    },
    "compliance": {
        **{word: word for word in CLASSES["compliance"]},
        "compliance": "full compliance",
        "refusal": "full refusal",
    },
    "refusal": {
        **dict.fromkeys(("complied", "compliance", "full compliance", *_NO), "complied"),
        **dict.fromkeys(("refused", "refusal", "full refusal", "partial refusal", *_YES), "refused"),
    },
    "harm": {
        **dict.fromkeys(("unsafe", "harmful", *_YES), "unsafe"),
        **dict.fromkeys(("not unsafe", "safe", "harmless", "not harmful", *_NO), "not unsafe"),
    },
}


def read_word(head: Head, value: object) -> str | None:
    """The class that a cell names; None where the word is not known. XSTest's numbers are dropped: 1_full_compliance.

    Case, underscores and hyphens do not count. 1 and true mean that the column's name holds.
    """
    if isinstance(value, bool | int | float):
        value = str(value)
    if not isinstance(value, str):
        return None
    word = re.sub(r"[\s_-]+", " ", value.strip().lower())
    word = re.sub(r"^\d (?=\D)", "", word)
    return _WORDS[head].get(word)


def known_words(head: Head) -> str:
    """What may stand there, for a message."""
    return ", ".join(CLASSES[head])
