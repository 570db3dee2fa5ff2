"""Multiple choice: which option an answer names, by letter, by text or by both. English and Chinese, in linear time.

What is read is our choice; the paper only says that the reward is binary on the option (Table 4). An answer that names
two options names none: who hedges is not right.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ahalab.grading.failure import GraderFailure
from ahalab.grading.normal import final_answer, plain_number, plain_text

ALPHABET = 26
"""Options beyond the letters have none: they are named by their text alone."""


def choice_verifier(answer: str, gold: str, extra: Mapping[str, Any]) -> float:
    """1.0 when answer and gold name the same option, else 0.0.

    An option is named by its letter ("B", "(b)", "Ｂ", "B.", "\\boxed{\\text{B}}", "the answer is (B)", "选B",
    "B项正确"), by its text ("Paris", "the answer is Paris"), or by both where they agree ("B. Paris"). A letter that is
    denied ("not B", "B is wrong") is not named. Several letters name nothing. `extra["options"]` lists the texts;
    without it only letters count. Of a summary the last `\\boxed{…}` counts. Options of the same text are one.

    Raises:
        GraderFailure: the gold names no option, or two different ones by letter and by text.
    """
    options = extra.get("options") or []
    if not isinstance(options, list | tuple) or not all(isinstance(option, str) for option in options):
        raise GraderFailure("verifier error: choice needs extra = {'options': [text, …]}")
    reader = _reader(tuple(options))
    right = reader.gold(gold)
    named = reader.named(final_answer(answer))
    return float(named is not None and named <= right)


_WRAP = re.compile(
    r"\\(?:boxed|text|textbf|textit|textrm|textsf|mathrm|mathbf|mathit|mathsf|operatorname|bm)\s*\{([^{}]*)\}"
)
_SPACING = re.compile(r"\\(?:left|right|quad|qquad|displaystyle|bf|rm|[,;!: ()\[\]])")
_NOISE = str.maketrans(dict.fromkeys('$*`~“”"「」『』《》', " ") | {"’": "'", "‘": "'", "【": "[", "】": "]"})


def bare(text: str) -> str:
    """The text without width, LaTeX wrapping, Markdown and quotation marks, white space collapsed; its case stays."""
    plain = _SPACING.sub(" ", unicodedata.normalize("NFKC", text).translate(_NOISE))
    for _ in range(3):
        peeled = _WRAP.sub(r" \1 ", plain)
        if peeled == plain:
            break
        plain = peeled
    return " ".join(plain.split())


_LETTER = (
    r"(?:\( ?[A-Za-z] ?\)|\[ ?[A-Za-z] ?\]"
    r"|(?<![A-Za-z0-9])(?:[A-Z](?![A-Za-z0-9'-])|[a-z](?= ?(?:[.,。;:!)]|$))))"
)
"""A letter within a sentence. A small one counts in brackets or before a stop only: "the answer is a city"."""
_ITEM = r"(?: ?(?:选项|项))?"
_NOUN = r"(?i:(?:the )?(?:option|choice|letter|answer) )?"

_WHOLE = re.compile(r"[(\[<]? ?([A-Za-z]) ?[)\]>]?[.,:;、。)!]*")
_LETTER_THEN_TEXT = re.compile(r"[(\[]? ?([A-Za-z]) ?([)\].:、,;。]+ ?| [-—] | )(.+)")
_TEXT_THEN_LETTER = re.compile(r"(.+?) ?[(\[] ?([A-Za-z]) ?[)\]][.。]?")

_DENIED = re.compile(
    r"(?:(?i:\b(?:not|never|neither|nor|isn't|wasn't|cannot be|can't be|rul(?:e|ed|es|ing) out|exclud(?:e|ed|es|ing)|"
    r"eliminat(?:e|ed|es|ing)|reject(?:ed|s|ing)?|rather than|instead of|unlike|except)(?: be)?(?: the)?"
    r"(?: (?:answer|option|choice|letter))?(?: is)?)|不是|不选|不应选|不能选|不应该选|不为|并非|而非|排除)"
    rf"(?:选项)? ?{_LETTER}"
    rf"|{_LETTER}{_ITEM} ?(?:(?i:(?:(?:is|was|are|seems|looks|would be|must be) )?"
    rf"(?:(?:not|never)\b(?! {_NOUN}{_LETTER})|(?:wrong|incorrect|false|impossible|invalid)\b)"
    r"|isn't|wasn't|cannot|can't|doesn't|does not)"
    rf"|(?:是|为)?(?:不对|不正确|错|不符|排除|不成立|有误|(?:不是|不选)(?! ?(?:选项)?{_LETTER})))"
)
_GAP = "¬"
"""Stands where a denied letter stood."""
_RATHER = rf"(?:{_GAP}[ ,;]{{0,2}}(?:(?i:but|rather|instead|it is|it's)|而是|是|应选|应该选|选)? ?)?"

_LEAD = re.compile(
    r"(?:(?i:\banswers?(?: (?:is|was|would be|should be|must be))?|"
    r"\b(?:choice|option)(?: (?:is|was|would be|should be|must be)| ?(?=[:=]))|"
    r"\b(?:choose|chose|choosing|pick|picked|picking|select|selected|selecting|go with|going with)\b)"
    r"(?i: (?:clearly|therefore|thus|definitely|simply|likely|most likely|probably|indeed))?"
    r"|(?:答案|(?:正确|最佳|合适)的?选项|故选|应选|应该选|选择|选)(?!项)(?:应该|应|就)?(?:是|为|选)?)"
    rf" ?[:=]? ?{_RATHER}(?:选项 ?)?{_NOUN}"
)
_TAIL = re.compile(
    rf"({_LETTER}){_ITEM} ?(?:(?i:(?:is|would be|must be) (?:the )?(?:only )?(?:correct|right|best|true|answer)\b)"
    r"|(?:是|为)?(?:正确|对的|最佳|答案|对(?![应比])))"
)
_MENTION = re.compile(rf"(?i:\b(?:option|choice) )({_LETTER})|选项 ?({_LETTER})|({_LETTER}) ?(?:选项|项)")
_MORE = re.compile(
    rf" ?(?:(?:/|&|\+|、|;)|,? ?(?i:\b(?:and/or|and|or)\b)|,? ?(?:和|与|或者|或|及|以及)) ?{_NOUN}{_LETTER}"
    rf"| ?, ?{_LETTER}(?= ?(?:[.,;。、)!]|$|(?i:and|or)\b|和|或))"
)
_AT_LETTER = re.compile(_LETTER)
_SENTENCE_END = re.compile(r"[.。;!?](?= |$)|[。;!?]")
_LONE = re.compile(r"(?<![A-Za-z0-9])(?!A [a-z])[A-Z](?![A-Za-z0-9'-])")
"""A capital on its own; the article that begins a sentence is none."""
_SLACK = 40
"""Characters beyond the longest option that are looked at behind a letter, so that time stays linear."""


@lru_cache(maxsize=64)  # a group's answers share their options
def _reader(options: tuple[str, ...]) -> _Reader:
    return _Reader(options)


class _Reader:
    """Reads texts as options, by number from 0."""

    def __init__(self, options: tuple[str, ...]) -> None:
        self._texts = [plain_text(bare(option)) for option in options]
        self._numbers = [plain_number(bare(option)) for option in options]
        self._longest = 2 * max(map(len, options), default=0) + _SLACK

    def gold(self, text: str) -> frozenset[int]:
        """The right options: one, and those of the same text. Raises GraderFailure."""
        letter, written = self._letter(bare(text)), self._text(bare(text))
        if letter is not None and written and letter not in written:
            raise GraderFailure(
                f"gold unreadable: {text[:100]!r} is the letter of one option and the text of another"
            )
        right = frozenset({letter}) if letter is not None else self.named(text)
        if not right:
            raise GraderFailure(
                f"gold unreadable: {text[:100]!r} names none of the {len(self._texts)} options"
            )
        same = {self._texts[one] for one in right if one < len(self._texts)}
        return right | {one for one, option in enumerate(self._texts) if option in same}

    def named(self, text: str) -> frozenset[int] | None:
        """The option that a final answer names, more than one only where they share their text; None for none."""
        plain = bare(text)
        letter = self._letter(plain)
        if letter is not None:
            return frozenset({letter})
        return self._text(plain) or self._letter_and_text(plain) or self._stated(plain)

    def _letter(self, plain: str) -> int | None:
        match = _WHOLE.fullmatch(plain)
        return None if match is None else self._number(match.group(1))

    def _number(self, letter: str) -> int | None:
        number = ord(letter.strip("()[] ").upper()) - ord("A")
        return number if number < (len(self._texts) or ALPHABET) else None

    def _text(self, plain: str) -> frozenset[int]:
        written, number = plain_text(plain), plain_number(plain)
        return frozenset(
            one
            for one, option in enumerate(self._texts)
            if written and (written == option or (number is not None and number == self._numbers[one]))
        )

    def _letter_and_text(self, plain: str) -> frozenset[int] | None:
        """The option of "B. Paris" and of "Paris (B)"; words that are no option's text explain the letter."""
        if turned := _TEXT_THEN_LETTER.fullmatch(plain):
            letter, written = self._number(turned.group(2)), self._text(turned.group(1))
            if written:
                return frozenset({letter}) if letter in written and letter is not None else None
        match = _LETTER_THEN_TEXT.fullmatch(plain)
        letter = None if match is None else self._number(match.group(1))
        if match is None or letter is None:
            return None
        rest = match.group(3)
        written = self._text(rest) or self._text(rest.strip("()[] "))
        if written:
            return frozenset({letter}) if letter in written else None
        explains = bool(match.group(2).strip()) and not self._speaks_of_another(letter, rest)
        return frozenset({letter}) if explains else None

    def _speaks_of_another(self, letter: int, explanation: str) -> bool:
        """Whether the words after a letter name another option: then it is a list, or a contradiction."""
        left = _DENIED.sub(" ", explanation)
        if any(self._number(one.group()) not in (None, letter) for one in _LONE.finditer(left)):
            return True
        inside = plain_text(explanation)
        return any(option and option in inside for one, option in enumerate(self._texts) if one != letter)

    def _stated(self, plain: str) -> frozenset[int] | None:
        """What a sentence states ("the answer is B"); sentences that state different options state nothing."""
        left = _DENIED.sub(_GAP, plain)
        found: set[frozenset[int] | None] = set()
        for lead in _LEAD.finditer(left):
            at = _AT_LETTER.match(left, lead.end())
            if at is not None:
                found |= self._at(left, at.group(), at.end())
            elif written := self._sentence(left, lead.end()):
                found.add(written)
        for tail in _TAIL.finditer(left):
            found |= self._at(left, tail.group(1), tail.end())
        if not found:
            for mention in _MENTION.finditer(left):
                found |= self._at(left, mention.group(mention.lastindex or 0), mention.end())
        return found.pop() if len(found) == 1 else None

    def _at(self, left: str, letter: str, end: int) -> set[frozenset[int] | None]:
        """The option of a letter that ends at `end`, if it is one; None in it where another follows, or the text of
        another."""
        number = self._number(letter)
        if number is None:
            return set()
        if _MORE.match(left, end):
            return {None}
        written = self._sentence(left, end)
        return {frozenset({number}) if not written or number in written else None}

    def _sentence(self, left: str, start: int) -> frozenset[int]:
        """The options whose text stands at `start`, to the end or to that of the sentence."""
        rest = left[start : start + self._longest].lstrip(" ).,:、-—")
        end = _SENTENCE_END.search(rest)
        return self._text(rest) or (self._text(rest[: end.start()]) if end else frozenset())
