"""What can be told of a translation without knowing the language: it is one, it is in it, it is no answer."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from ahalab.errors import UserError
from ahalab.text.language import language_share
from ahalab.text.languages import LANGUAGE_CODES, check_language
from ahalab.text.quality import words

LEAST_SHARE = 0.5
"""Share of words in the wanted language, where it can be identified. Our choice: of MultiJail's 2,520 human
translations into eight such languages it refuses 2."""
RATIO = (0.3, 3.5)
"""Length of a translation over that of its source, Han, kana and Hangul counted three times. Our choice: those of
MultiJail into nine languages have 0.44 to 2.6."""
_DENSE = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_REFUSAL = re.compile(
    r"^\W*(?:I['’]?m (?:very |really |so )?sorry|I am sorry|sorry,|I apologi[sz]e"
    r"|I (?:can(?:['’]?t|not)|won['’]t|will not|am unable|must decline|am not able)|I['’]m (?:unable|not able)"
    r"|(?:as|being) an AI\b|unfortunately, I|抱歉|对不起|很遗憾|我(?:不能|无法|没法)"
    r"|作为(?:一个|一名)?(?:人工智能|AI))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checks say."""

    problem: str
    """Stable words to count by; "" for a translation that passes."""
    share: float | None
    """Of words in the wanted language; None where the identifier does not know it, or is not installed."""


def can_identify(language: str) -> bool:
    """Whether a text in this language is known for one, here and now."""
    if language not in LANGUAGE_CODES:
        return False
    try:
        check_language(language)
    except UserError:  # the extra `languages` is not installed: the caller states it
        return False
    return True


def check_translation(source: str, text: str, language: str, identify: bool | None = None) -> Checked:
    """The first problem found, in this order: empty, refusal, the source again, length, language.

    `identify` tells `can_identify` for callers with many texts.
    """
    if not words(text):
        return Checked("empty", None)
    if is_refusal(text) and not is_refusal(source):
        return Checked("translator refused", None)
    if words(text) == words(source):
        return Checked("same as the source", None)
    ratio = _length(text) / max(1, _length(source))
    if not RATIO[0] <= ratio <= RATIO[1]:
        return Checked("too short" if ratio < 1 else "too long", None)
    if not (can_identify(language) if identify is None else identify):
        return Checked("", None)
    share = language_share(text, language)
    if share is not None and share < LEAST_SHARE:
        return Checked("other language", share)
    return Checked("", share)


def is_refusal(text: str) -> bool:
    """Whether it begins as a translator's own refusal does, in English or Chinese."""
    return _REFUSAL.match(unicodedata.normalize("NFKC", text[:400])) is not None


def _length(text: str) -> int:
    plain = " ".join(text.split())
    return len(plain) + 2 * len(_DENSE.findall(plain))
