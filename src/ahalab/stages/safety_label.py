"""What a label says: safe or unsafe. 0 and 1 are not guessed: data sets use either for "unsafe"."""

from __future__ import annotations

from typing import Any

EXPECTED = (
    "safe or unsafe, true or false (of 0 and 1, or words of your own, name the one that is safe: `safe_when`)"
)
"""What to write, for a refusal."""

_WORDS = {"safe": True, "unsafe": False, "true": True, "false": False}


def read_label(value: Any, safe_when: str | None) -> bool | None:
    """Whether a label says that a response is safe; None where it does not tell.

    `safe_when` is the value that means safe: any other word or number then means unsafe. `safe`, `unsafe`, `true`
    and `false` keep their meaning unless `safe_when` is one of them.
    """
    if not isinstance(value, bool | str | int):
        return None
    word = str(value).strip().lower()
    if safe_when is None:
        return _WORDS.get(word)
    wanted = safe_when.strip().lower()
    if word in _WORDS and wanted not in _WORDS:
        return _WORDS[word]
    return word == wanted if word else None
