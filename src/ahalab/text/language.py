"""Which language a text's words are in, for the paper's language consistency: target words over all words.

How words are cut and what is neutral is our choice: the paper does not say. The choices and how well they agree with
a careful reader stand in docs/language-reward.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ahalab.text.common_words import (
    CODE_WORDS,
    COMMON_ENGLISH,
    GIVEN_AFTER_XIAO,
    NO_NAMES,
    NOTATION,
    SHOUTED,
    SURNAMES,
    TWO_LETTERS,
)
from ahalab.text.languages import detected_share
from ahalab.text.prose import HAN, HAN_PER_WORD, prose

CORE_LANGUAGES = ("en", "zh")
"""Counted here; every other language needs the extra `languages`."""


@dataclass(frozen=True, slots=True)
class LanguageCounts:
    """What a text is made of. Numbers, formulas, code, names and notation count as nothing."""

    en: int
    """English words. Another language in Latin letters is told apart only where the whole text is in it."""
    zh: int
    """Han characters; `HAN_PER_WORD` of them are a word."""
    other: float = 0.0
    """Words in another script: Cyrillic, kana, Hangul, Arabic …"""

    @property
    def words(self) -> float:
        """All words."""
        return self.en + self.zh / HAN_PER_WORD + self.other


def language_counts(text: str) -> LanguageCounts:
    """Count English words, Han characters and words of other scripts; linear in the length of the text.

    Neutral, besides all that `prose` takes out: single letters (variables, options; "a" and "I" are words before a
    word), the notation of mathematics and units, words joined to digits, brackets or "=", quotations of at most 60
    characters, glosses in brackets, and the names and abbreviations of the other script: Alice, CPU and Python in a
    Chinese line, 小明 and 王伟 in an English one.
    """
    en = zh = 0
    other = 0.0
    latin: list[str] = []
    said = _without_mentions(prose(text))
    variables = frozenset(_VARIABLE.findall(said))
    for line in said.split("\n"):
        if not line or line.isspace():
            continue
        chinese, foreign = _han_and_others(line)
        words = _english_words(line, variables if chinese or foreign else None)
        zh += chinese
        other += foreign
        en += len(words)
        latin += words
    if en >= _FEWEST_TO_JUDGE and sum(word in COMMON_ENGLISH for word in latin) < _LEAST_COMMON * en:
        return LanguageCounts(0, zh, other + en)
    return LanguageCounts(en, zh, other)


def language_share(text: str, target: str) -> float | None:
    """The share of words in the target language, 0 to 1; None for a text without words.

    `target` is "en", "zh", or with the extra `languages` the ISO 639-1 code of any language that lingua knows.

    Raises:
        UserError: an unknown code, or one that needs the extra while it is not installed.
    """
    if target not in CORE_LANGUAGES:
        return detected_share(prose(text), target)
    counts = language_counts(text)
    if not counts.words:
        return None
    return (counts.en if target == "en" else counts.zh / HAN_PER_WORD) / counts.words


def is_mixed(text: str, target: str, threshold: float = 1.0) -> bool | None:
    """Whether less than `threshold` of the words are in the target language; None without words."""
    share = language_share(text, target)
    return None if share is None else share < threshold


_FEWEST_TO_JUDGE, _LEAST_COMMON = 8, 0.05
"""So many words in Latin letters, and so few of them common English ones, are another language (our choice)."""

_LATIN = "A-Za-zÀ-ÖØ-öø-ɏḀ-ỿ"
_HAN_RUN = re.compile(f"[{HAN}]+")
_HAN_OR_KANA = re.compile(f"[{HAN}\u3040-\u30ff\u31f0-\u31ff]")
_KANA = re.compile("[\u3041-\u3096\u30a1-\u30fa\u31f0-\u31ff]")
_CLAUSE_END = re.compile(r"[,.;:!?、。!?；：\s]+")
_JAPANESE_FROM = 0.2
"""Share of kana from which a clause's Han characters are Japanese (our choice)."""
# Scripts with spaces between words, with their combining marks; a single Greek letter or two is a variable.
_OTHER_WORD = re.compile(
    "[\u0370-\u03ff\u1f00-\u1fff]{3,}|[\u0400-\u0dff\u10a0-\u177f\u1800-\u1cff\uac00-\ud7af]{2,}"
)
_SPACELESS_WORD = re.compile("[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff]+")
_SPACELESS_PER_WORD = 5

_MENTION = re.compile(
    r'“[^“”\n]{1,60}”|"[^"\n]{1,60}"|「[^「」\n]{1,60}」|『[^『』\n]{1,60}』|《[^《》\n]{1,60}》'
    rf"|(?<=[A-Za-z]) ?\([{HAN}·]{{1,8}}\)|(?<=[{HAN}]) ?\([{_LATIN}][{_LATIN} .'’-]{{0,40}}\)"
)
_HAN_NAME = re.compile(rf"[小老阿][{GIVEN_AFTER_XIAO}]|[{SURNAMES}][{HAN}]{{1,2}}")

# A word joined to a digit, an underscore or a backslash is a name, a unit or a command: 5km, x_max, \frac. Before a
# bracket or next to an operator it is a function or a variable. Han characters may touch it.
_WORD = rf"[{_LATIN}]+(?:['’][{_LATIN}]+)?"
_PHRASE = re.compile(
    rf"(?<![{_LATIN}Α-ω0-9_\\<{{=^*/+>])(?<!</){_WORD}(?:[ -]{_WORD})*(?![{_LATIN}0-9_])"
    r"(?P<variable>[(\[=^*/+<>]| [=<>*])?"
)
_VARIABLE = re.compile(r"(?<![A-Za-z0-9_])[a-z]{2,}(?=[(\[=^*/+<>]| [=<>])")


def _without_mentions(text: str) -> str:
    """Words that are spoken of, not spoken."""
    return _MENTION.sub(" ", text)


def _han_and_others(line: str) -> tuple[int, float]:
    """Han characters in Chinese, and words of other scripts."""
    if line.isascii():
        return 0, 0.0
    other = float(len(_OTHER_WORD.findall(line)))
    other += sum(max(1, len(run) // _SPACELESS_PER_WORD) for run in _SPACELESS_WORD.findall(line))
    if not _HAN_OR_KANA.search(line):
        return 0, other
    english = re.search(rf"[{_LATIN}]{{2}}", line) is not None
    chinese = 0
    for clause in _CLAUSE_END.split(line):
        han = sum(len(run) for run in _HAN_RUN.findall(clause) if not (english and _is_han_name(run)))
        kana = len(_KANA.findall(clause))
        if kana and kana >= _JAPANESE_FROM * (kana + han):
            other += (kana + han) / HAN_PER_WORD
        else:
            chinese += han
            other += kana / HAN_PER_WORD
    return chinese, other


def _is_han_name(run: str) -> bool:
    return len(run) <= 3 and run not in NO_NAMES and _HAN_NAME.fullmatch(run) is not None


def _english_words(line: str, variables: frozenset[str] | None) -> list[str]:
    """The English words of a line, in lower case.

    `variables`: for a line with Chinese in it, the names that the text uses as variables; else None.
    """
    found: list[str] = []
    for match in _PHRASE.finditer(line):
        words = re.findall(_WORD, match.group())
        if match["variable"]:
            words.pop()
        if variables is not None and len(words) <= _LONGEST_NAME:
            if all(word in variables or _is_term(word) for word in words):
                continue
            if len(words) == 1 and _is_short_string(words[0]):
                continue
        for position, word in enumerate(words):
            lowered = word.lower()
            if len(word) == 1:
                # An article or a pronoun has a word after it; "a" and "I" alone are variables.
                if word not in ("a", "A", "I") or position + 1 == len(words) or len(words[position + 1]) == 1:
                    continue
            elif lowered in NOTATION or (len(word) == 2 and lowered not in TWO_LETTERS):
                continue
            found.append(lowered)
    return found


_LONGEST_NAME = 4
"""In words."""
_LONGEST_STRING = 3
"""In letters: abc, es and the like are spoken of. Longer words are English."""


def _is_short_string(word: str) -> bool:
    return len(word) <= _LONGEST_STRING and word.islower() and word not in COMMON_ENGLISH


def _is_term(word: str) -> bool:
    """A name, an abbreviation or a word of programs, which Chinese, too, writes in Latin letters."""
    lowered = word.lower()
    if len(word) == 1 or lowered in NOTATION or word in CODE_WORDS:
        return True
    if word.isupper() and len(word) <= 3:
        return lowered not in SHOUTED
    return lowered not in COMMON_ENGLISH and lowered != word
