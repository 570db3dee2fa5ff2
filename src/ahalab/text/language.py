"""Which language a text's words are in, for the paper's language consistency: target words over all words.

How words are cut and what is neutral is our choice: the paper does not say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ahalab.errors import UserError


@dataclass(frozen=True, slots=True)
class LanguageCounts:
    """Words per language. A Han character counts as one word; numbers, formulas and code count as none."""

    en: int
    zh: int

    @property
    def total(self) -> int:
        return self.en + self.zh


_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_HAN_CHARACTER = re.compile(f"[{_HAN}]")
# A word joined to a digit, an underscore or a backslash is a name, a unit or a command: 5km, x_max, \frac.
# Han characters may touch it. A tag such as <think> is no word either.
_LETTERS = "A-Za-zÀ-ÖØ-öø-ɏ"
_ENGLISH_WORD = re.compile(
    rf"(?<![{_LETTERS}0-9_\\<{{])(?<!</)[{_LETTERS}]+(?:['’][{_LETTERS}]+)?(?![{_LETTERS}0-9_])"
)
# What Chinese mathematics writes in Latin letters, too.
_NEUTRAL = frozenset(
    word
    for line in (
        "sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh log ln lg exp",
        "lim max min sup inf mod gcd lcm det arg sqrt pi dx dy dt dz",
        "mm cm km mg kg ml",
    )
    for word in line.split()
)
_OPENER = re.compile(r"```|`|\$\$|\$|\\\(|\\\[")
_CLOSER = {"```": "```", "`": "`", "$$": "$$", "$": "$", "\\(": "\\)", "\\[": "\\]"}


def language_counts(text: str) -> LanguageCounts:
    """Count English and Chinese words; linear in the length of the text.

    English words are runs of two or more Latin letters, and "a" and "I"; single letters are variables.
    Formulas (`$…$`, `$$…$$`, `\\(…\\)`, `\\[…\\]`), code between back ticks and the common Latin
    abbreviations of mathematics and units are neutral.
    """
    words = _without_formulas(text)
    zh = len(_HAN_CHARACTER.findall(words))
    en = sum(
        1
        for word in _ENGLISH_WORD.findall(words)
        if (len(word) > 1 or word in ("a", "I")) and word.lower() not in _NEUTRAL
    )
    return LanguageCounts(en=en, zh=zh)


def language_share(text: str, target: str) -> float | None:
    """The share of words in the target language ("en" or "zh"), 0 to 1; None for a text without words.

    Raises:
        UserError: another target.
    """
    counts = language_counts(text)
    if target not in ("en", "zh"):
        raise UserError(f"the language {target!r} cannot be counted; set `language` to en or zh.")
    if not counts.total:
        return None
    return (counts.en if target == "en" else counts.zh) / counts.total


def is_mixed(text: str, target: str, threshold: float = 1.0) -> bool | None:
    """Whether less than `threshold` of the words are in the target language; None without words."""
    share = language_share(text, target)
    return None if share is None else share < threshold


def _without_formulas(text: str) -> str:
    kept: list[str] = []
    missing: set[str] = set()  # closers known not to come any more: looking again would make this quadratic
    start = position = 0
    while (opener := _OPENER.search(text, position)) is not None:
        position = opener.end()
        mark = opener.group()
        end = -1 if mark in missing else _end_of(text, mark, position)
        if end < 0:
            if mark not in ("$", "`"):
                missing.add(mark)
            continue
        kept.append(text[start : opener.start()])
        start = position = end
    kept.append(text[start:])
    return " ".join(kept)


def _end_of(text: str, mark: str, position: int) -> int:
    """Where the formula or code opened before `position` ends, or -1."""
    closer = _CLOSER[mark]
    if mark not in ("$", "`"):
        end = text.find(closer, position)
        return end + len(closer) if end >= 0 else -1
    end = _next_on_line(text, closer, position)
    if end < 0:
        return -1
    # "$5 and $6" are prices: like pandoc, a closing dollar has no space before it and no digit behind it.
    if mark == "$" and (
        text[end - 1].isspace() or text[position].isspace() or text[end + 1 : end + 2].isdigit()
    ):
        return -1
    return end + 1


_INLINE = re.compile(r"[$`\n]")


def _next_on_line(text: str, closer: str, position: int) -> int:
    # Stopping at either mark keeps each search short even where one mark never closes.
    found = _INLINE.search(text, position)
    return found.start() if found is not None and found.group() == closer else -1
