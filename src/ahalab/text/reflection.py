"""Counting reflective words: the paper's measure of the "aha moment" (appendix C, figure 9a)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path

from ahalab.errors import UserError


@dataclass(frozen=True)
class ReflectiveWords:
    """The words to look for, per language."""

    english: tuple[str, ...]
    """Lower case; matched as whole words in any case: "check", not "checked"."""
    chinese: tuple[str, ...]
    """Matched anywhere, since Chinese writes no word borders."""

    @cached_property
    def _plain(self) -> tuple[frozenset[str], re.Pattern[str] | None] | None:
        """The quick way: (English words, pattern of the Chinese ones); None where words need the whole pattern.

        It holds where an English word is nothing but a run of Latin characters and no Chinese word has one: then the
        two never compete for a character, and a run of Latin characters either is a word of the list or is not.
        """
        cased = any(word != word.upper() or _RUN.search(word) for word in self.chinese)
        if cased or not all(map(_RUN.fullmatch, self.english)):
            return None
        longest_first = sorted(self.chinese, key=len, reverse=True)
        return frozenset(self.english), re.compile(
            "|".join(map(re.escape, longest_first))
        ) if longest_first else None

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        # Longest first, because an alternation takes its first match: 等一下 is not also 等.
        branches = [re.escape(word) for word in sorted(self.chinese, key=len, reverse=True)]
        if self.english:
            words = "|".join(re.escape(word) for word in sorted(self.english, key=len, reverse=True))
            # Not \b: Han characters are word characters too, and 等wait等 does hold "wait".
            branches.append(rf"(?<![{_LATIN}])(?:{words})(?![{_LATIN}])")
        return re.compile("|".join(branches), re.IGNORECASE) if branches else None


_LATIN = "A-Za-zÀ-ÖØ-öø-ɏ0-9_"
_RUN = re.compile(f"[{_LATIN}]+")
_ASCII_RUNS = {code: chr(code).lower() if _RUN.match(chr(code)) else " " for code in range(128)}


def load_reflective_words(path: Path | str | None = None) -> ReflectiveWords:
    """Read a word list: `[en]` and `[zh]` headings, one word a line, `#` comments. None: the one that ships.

    Raises:
        UserError: the file cannot be read, or a line stands under no known heading.
    """
    if path is None:
        name = "reflective_words.txt"
        text = resources.files("ahalab.text").joinpath(name).read_text(encoding="utf-8")
    else:
        name = str(path)
        try:
            # Windows editors begin a file with a byte order mark.
            text = Path(path).read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"the list of reflective words {name} cannot be read: {error}.") from error
    lists: dict[str, list[str]] = {"en": [], "zh": []}
    heading: str | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        word = line.partition("#")[0].strip()
        if not word:
            continue
        if word.startswith("[") and word.endswith("]"):
            heading = word[1:-1].strip()
            if heading not in lists:
                raise UserError(f"{name}, line {number}: unknown heading [{heading}]; use [en] or [zh].")
        elif heading is None:
            raise UserError(
                f"{name}, line {number}: {word!r} stands before a heading; put [en] or [zh] above it."
            )
        elif word.lower() not in lists[heading]:
            lists[heading].append(word.lower())
    return ReflectiveWords(english=tuple(lists["en"]), chinese=tuple(lists["zh"]))


DEFAULT_REFLECTIVE = load_reflective_words()
REFLECTIVE_EN = DEFAULT_REFLECTIVE.english
"""The paper's ten words."""
REFLECTIVE_ZH = DEFAULT_REFLECTIVE.chinese
"""Our Chinese list."""


def count_reflective(text: str, words: ReflectiveWords = DEFAULT_REFLECTIVE) -> dict[str, int]:
    """How often each word occurs in the text; words that do not occur are left out. In the list's order."""
    counts: dict[str, int] = {}
    plain = words._plain
    if plain is None:
        for match in words._pattern.finditer(text) if words._pattern else ():
            word = match.group().lower()
            counts[word] = counts.get(word, 0) + 1
    else:
        english, chinese = plain
        runs = _runs(text)
        counts = {word: runs.count(word) for word in english.intersection(runs)}
        for word in chinese.findall(text) if chinese and not text.isascii() else ():
            counts[word] = counts.get(word, 0) + 1
    return (
        {word: counts[word] for word in (*words.english, *words.chinese) if word in counts} if counts else {}
    )


def _runs(text: str) -> list[str]:
    """The runs of Latin characters, digits and underscores, in lower case."""
    if text.isascii():
        return text.translate(_ASCII_RUNS).split()
    return [run.lower() for run in _RUN.findall(text)]


def first_reflective(text: str, words: ReflectiveWords = DEFAULT_REFLECTIVE) -> int | None:
    """Where the first word begins; None where there is none."""
    found = words._pattern.search(text) if words._pattern else None
    return found.start() if found else None
