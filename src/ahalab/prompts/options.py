"""A multiple-choice question: its options in an order, their letters, and how they may be shuffled."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass

from ahalab.counter import permutation

LETTERS = string.ascii_uppercase
MOST_OPTIONS = len(LETTERS)

Options = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One question, its options in order, and which of them is right, from 0."""

    stem: str
    options: Options
    right: int
    written: str | None = None
    """The question as it stands in the source where the options are part of it; None: they are written below it."""

    @property
    def question(self) -> str:
        """The question with its options, one a line."""
        if self.written is not None:
            return self.written
        lines = [f"{LETTERS[place]}) {option}" for place, option in enumerate(self.options)]
        return "\n".join([self.stem, "", *lines])

    @property
    def letter(self) -> str:
        """The right option's letter."""
        return LETTERS[self.right]

    def shuffled(self, key: int) -> Choice | None:
        """The same question with its options in the order that `key` decides; None where they must stay.

        "All of the above" and its like keep their place at the end. Options, or a question, that name others by
        letter or place keep the row as it is.
        """
        movable = _movable(self.stem, self.options)
        if movable < 2:
            return None
        order = [*permutation(key, movable), *range(movable, len(self.options))]
        return Choice(self.stem, tuple(self.options[place] for place in order), order.index(self.right))


_STANDING = re.compile(
    r"(?:(?:all|none|neither|both|any|either)\b(?: \w+){0,3} "
    r"(?:above|these|those|them|options|choices|answers|mentioned|listed|given)\b.{0,20}"
    r"|(?:all|none|neither|both|either)(?: are)?(?: true| false| correct| wrong| incorrect)?"
    r"|(?:no|not enough) (?:correct answer|information).{0,20}|(?:i )?(?:don't know|do not know)|other"
    r"|(?:以上|上述|上面|前面|以下)?(?:选项|答案|各项|三者|两者|二者|几项)?(?:都|均|皆|全部?|没有|无)"
    r"(?:不)?(?:非|是|对|正确|错|错误|不对|不是|有|可以|一个正确|正确答案|正确选项)?(?:的)?)[.。]?",
    re.IGNORECASE,
)
"""Whole options that speak of all the others: their place is the end, whatever the order before them."""

_PLACES = re.compile(
    r"\bthe above\b|\babove (?:options?|choices?|answers?|statements?|two|three)\b|\bof above\b"
    r"|\b(?:preceding|previous|other|first|second|third|fourth|last|next) (?:two |three )?"
    r"(?:options?|choices?|answers?)\b"
    r"|\b(?:former|latter)\b|以上|上述|前者|后者|前两|后两|其他选项|其它选项|其余选项",
    re.IGNORECASE,
)


def _movable(stem: str, options: Options) -> int:
    """How many options, from the first, may change places; 0 where none may."""
    letter = rf"[(（]?[{LETTERS[: len(options)]}][)）]?"
    by_name = rf"(?i:\b(?:options?|choices?|answers?)) {letter}(?![A-Za-z0-9'])|选项 ?{letter}|{letter} ?选项"
    joint = r" ?(?:,|，|、|&|和|与|及|或|/) ?(?:and |or )?| (?:and|or|nor) "
    of_option = re.compile(
        rf"{by_name}|(?<![A-Za-z]){letter} ?项|(?i:\b(?:both|either|neither|only|not)) {letter}(?![A-Za-z0-9'])"
        rf"|(?<![A-Za-z0-9'.]){letter}(?:{joint}){letter}(?![A-Za-z0-9'])"
    )
    standing = [_STANDING.fullmatch(option.strip()) is not None for option in options]
    movable = len(options)
    while movable and standing[movable - 1]:
        movable -= 1
    refers = (
        re.search(by_name, stem) is not None  # "A and B" of a question may be two blocks on a slope
        or any(of_option.search(option) for option in options)
        or any(standing[:movable])
        or any(_PLACES.search(option) for option in options[:movable])
    )
    return 0 if refers else movable


_MARK = re.compile(r"(?:(?<=\s)|^|(?<![A-Za-z0-9])(?=[(（]))[(（]?([A-Za-z]) ?([)）.．、:：])[ \t]*(?=\S)")


def split_options(text: str) -> tuple[str, Options] | None:
    """(question, options) of a text that holds its options as "A) … B) …", on lines of their own or in one; else None.

    The last list that begins with A counts, and nothing may follow it.
    """
    marks = list(_MARK.finditer(text))
    for begin in reversed(range(len(marks))):
        if marks[begin].group(1).upper() != "A":
            continue
        chain = [marks[begin]]
        for mark in marks[begin + 1 :]:
            same = (
                mark.group(2) == chain[0].group(2) and mark.group(1).isupper() == chain[0].group(1).isupper()
            )
            if same and len(chain) < MOST_OPTIONS and mark.group(1).upper() == LETTERS[len(chain)]:
                chain.append(mark)
        ends = [mark.start() for mark in chain[1:]] + [len(text)]
        options = tuple(
            text[mark.end() : end].strip(" \t\r\n,;，；") for mark, end in zip(chain, ends, strict=True)
        )
        stem = text[: chain[0].start()].strip()
        if len(chain) >= 2 and all(options) and "\n\n" not in options[-1]:
            return stem, options
    return None


def without_letters(options: Sequence[str]) -> Options:
    """The options without letters of their own ("(A) 21"), where all have them in order."""
    marks = [
        re.match(rf"[(（]?{LETTERS[place]} ?[)）.．、:：]\s*(?=\S)", option) if place < MOST_OPTIONS else None
        for place, option in enumerate(options)
    ]
    return tuple(
        option[mark.end() :] if mark is not None and all(marks) else option
        for option, mark in zip(options, marks, strict=True)
    )
