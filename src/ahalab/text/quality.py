"""Is a text fit to learn from: loops, unreadable characters, long paragraphs, code, and n-grams to find twins.

The paper drops samples by "repetition detection", "readable format", "long paragraphs" and "code blocks" (B.3.2,
B.3.3) and gives no threshold. All of them here are our choice, held on hand-made examples.
Everything is linear in the length of the text: model output is hostile.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ahalab.text.prose import HAN, code_lines

LoopKind = Literal["character", "word", "phrase", "line"]

LONGEST_UNIT = 200
"""Longest unit, in tokens, whose back-to-back repeats are looked for; longer ones return as repeated lines."""
WORD_TIMES = 8
"""One word so many times without a break is a loop: more than laughter."""
PHRASE_TIMES, PHRASE_TOKENS = 4, 20
"""A phrase is a loop when it stands so many times in a row and its copies hold so many tokens …"""
PASSAGE_TIMES, PASSAGE_TOKENS = 3, 30
"""… or, a long one, so few times with so many tokens. Twice is what a person does who checks again."""
WORDLESS_TOKENS = 120
"""Without a word and without "=" a sequence is mathematics for long: 1+1+1+1, a list of zeros, a table's rule."""
CHARACTER_TIMES = 100
"""One character so many times in a row; a line drawn with dashes is shorter."""
LINE_SHARE, LINE_COPIES = 0.5, 4
"""Sentences said before are a loop when they are more than this share of the text; a refrain is less."""
LONG_PARAGRAPH = 300
"""Words of a long paragraph (each Han character is one)."""

_LETTER = rf"(?![{HAN}])[^\W\d_]"
_TOKEN = re.compile(rf"[{HAN}]|\\[A-Za-z]+|(?:{_LETTER})+(?:['’](?:{_LETTER})+)*|\d+(?:\.\d+)*|\S")
_WORD = re.compile(rf"[{HAN}]|(?:{_LETTER})+(?:['’](?:{_LETTER})+)*|\d+(?:\.\d+)*")
_ASCII_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*|[0-9]+(?:\.[0-9]+)*")
"""What `_WORD` finds in plain text in lower case, some times faster."""
_SENTENCE_END = re.compile(r"[.!?](?=\s|\Z)|[。！？；\n]")
_SAME_CHARACTER = re.compile(rf"(\S)\1{{{CHARACTER_TIMES - 1},}}")


@dataclass(frozen=True, slots=True)
class Repetition:
    """How much of a text only says again what stands before it in a loop."""

    score: float
    """Share of the tokens (for "character": of the characters) that are copies, 0 to 1; 0 without a loop."""
    kind: LoopKind | None
    """What loops: one character, a word, a phrase or passage, or whole lines that keep returning. None: nothing."""


def repetition(text: str) -> Repetition:
    """Find the loop that holds the most of `text`.

    A unit repeated back to back counts from `WORD_TIMES`, `PHRASE_TIMES` or `PASSAGE_TIMES` on, and sentences that
    return out of order from `LINE_SHARE` on. Numbers are not masked: a list of steps whose numbers go on is no loop,
    and neither is an endless count (a stated limit).
    """
    tokens = [token.lower() for token in _TOKEN.findall(text)]
    units = _unit_loop(tokens)
    # What stands back to back is described best as that, though its lines return as well.
    words = units if units.kind else _returning_lines(text)
    return max(_character_loop(text), words, key=lambda one: one.score)


def has_long_paragraph(text: str, limit: int = LONG_PARAGRAPH) -> bool:
    """Whether any paragraph (a text without a line break in it) has more than `limit` words.

    Words are as in `ngrams`: each Han character is one.
    """
    return any(len(paragraph) > limit and _n_words(paragraph) > limit for paragraph in text.splitlines())


_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)


def has_code_block(text: str) -> bool:
    """Whether `text` holds a fenced block, or two lines of code one below the other without a fence.

    One of the two must be unmistakable (`def f(x):`, `import x`, `print(x)`): "x = 3" above "y = 4" is mathematics.
    Inline code is no block, nor is a single `def f(x): return …` line.
    """
    return _FENCE.search(text) is not None or any(code_lines(text.splitlines()))


_CONTROL = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ue000-\uf8ff\ufdd0-\ufdef]"
)
# UTF-8 read as Latin-1 or Windows-1252: é becomes Ã©, ’ becomes â€™, ， becomes ï¼Œ.
_MOJIBAKE = re.compile("[ÃÂ][\u0080-\u00bf]|â€.|ï¼.|[åäæçè][\u0080-\u00bf¡-¿ŒœŠšŽžŸ‚„…†‡ˆ‰‹›]{2}")
_LONG_WORD = re.compile("[A-Za-z\u00c0-\u024f\u0370-\u03ff\u0400-\u04ff]{81,}")
_HAN_OR_KANA = re.compile(rf"[{HAN}\u3040-\u30ff]")
_MOST_OPEN = 8
_MOST_SYMBOLS, _SYMBOLS_FROM = 0.75, 40


def why_unreadable(text: str) -> str | None:
    """Why a person could not read `text`, in words for a table of drops; None for a readable one.

    Reasons: "nothing in it" (no letter and no digit), "control characters" (also bidi and private use),
    "replacement characters", "broken encoding", "a word without end" (over 80 letters), "unbalanced brackets"
    (more than 8 left open), "mostly symbols" (over three quarters of at least 40 visible characters).
    """
    visible = "".join(text.split())
    plain = sum(map(str.isalnum, visible))
    if not plain:
        return "nothing in it"
    if _CONTROL.search(text):
        return "control characters"
    if "\ufffd" in text:
        return "replacement characters"
    if is_misread(text):
        return "broken encoding"
    if _LONG_WORD.search(text):
        return "a word without end"
    if any(text.count(left) - text.count(right) > _MOST_OPEN for left, right in ("()", "[]", "{}", "（）")):
        return "unbalanced brackets"
    if len(visible) >= _SYMBOLS_FROM and 1 - plain / len(visible) > _MOST_SYMBOLS:
        return "mostly symbols"
    return None


def is_misread(text: str) -> bool:
    """Whether `text` looks like UTF-8 that was read as Latin-1 or Windows-1252 (Ã© for é)."""
    return not text.isascii() and len(_MOJIBAKE.findall(text)) >= 2


def is_readable(text: str) -> bool:
    """Whether `why_unreadable` finds nothing. Loops are `repetition`'s business."""
    return why_unreadable(text) is None


def words(text: str) -> list[str]:
    """The words of `text` as `ngrams` cuts them: runs of letters, numbers, and single Han characters, full-width forms
    folded and in lower case."""
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def ngrams(text: str, n: int) -> frozenset[str]:
    """The runs of `n` words of `text`, normalised: for near-duplicates and for decontamination.

    Words are runs of letters, numbers, and single Han characters, full-width forms folded and in lower case;
    punctuation and layout are gone. A text of fewer than `n` words is one gram; one without words has none.

    Raises:
        ValueError: `n` is below 1.
    """
    if n < 1:
        raise ValueError(f"n-grams need n of at least 1, not {n}")
    found = words(text)
    if len(found) <= n:
        return frozenset((" ".join(found),)) if found else frozenset()
    return frozenset(" ".join(found[start : start + n]) for start in range(len(found) - n + 1))


def overlap(left: frozenset[str], right: frozenset[str]) -> float:
    """Shared n-grams over all n-grams of the two texts (Jaccard), 0 to 1; 0 where both are empty."""
    union = len(left | right)
    return len(left & right) / union if union else 0.0


_NOTHING = Repetition(0.0, None)


def _n_words(text: str) -> int:
    return sum(1 for _ in _WORD.finditer(text))


def _character_loop(text: str) -> Repetition:
    copies = sum(len(match.group()) - 1 for match in _SAME_CHARACTER.finditer(text))
    return Repetition(copies / len(text), "character") if copies else _NOTHING


def _unit_loop(tokens: list[str]) -> Repetition:
    """Units repeated back to back: for each length, runs of tokens equal to those one unit before."""
    n = len(tokens)
    if n < WORD_TIMES:
        return _NOTHING
    numbers: dict[str, int] = {}
    ids = np.array([numbers.setdefault(token, len(numbers)) for token in tokens], dtype=np.int32)
    known = np.array([token == "=" or _is_word(token) for token in numbers], dtype=np.int64)
    says = np.concatenate([[0], np.cumsum(known[ids])])
    edges = np.zeros(n + 1, dtype=np.int64)
    shortest: int | None = None
    for length in range(1, min(LONGEST_UNIT, n // 2) + 1):
        different = np.flatnonzero(ids[length:] != ids[:-length])
        starts = np.concatenate([[0], different + 1])
        runs = np.concatenate([different, [n - length]]) - starts
        enough = runs >= _fewest_copies(length)
        starts, runs = starts[enough], runs[enough]
        wordless = says[starts + length] == says[starts]
        looping = ~wordless | (runs >= WORDLESS_TOKENS)
        if looping.any():
            shortest = shortest or length
            np.add.at(edges, starts[looping] + length, 1)
            np.add.at(edges, starts[looping] + length + runs[looping], -1)
    if shortest is None:
        return _NOTHING
    copies = int((np.cumsum(edges[:-1]) > 0).sum())
    return Repetition(copies / n, "word" if shortest == 1 else "phrase")


def _fewest_copies(length: int) -> int:
    """Tokens that the copies of a unit of `length` tokens must hold to be a loop."""
    if length == 1:
        return WORD_TIMES - 1
    phrase = max((PHRASE_TIMES - 1) * length, PHRASE_TOKENS)
    return min(phrase, max((PASSAGE_TIMES - 1) * length, PASSAGE_TOKENS))


def _is_word(token: str) -> bool:
    """A Han character or two letters: x*x*x*x and H H H H are mathematics."""
    return token[0].isalpha() and (len(token) > 1 or _HAN_OR_KANA.match(token) is not None)


def _returning_lines(text: str) -> Repetition:
    """Sentences of at least four tokens that come back, in whatever order."""
    total = copied = copies = 0
    seen: Counter[str] = Counter()
    for sentence in _SENTENCE_END.split(text):
        tokens = [token.lower() for token in _TOKEN.findall(sentence)]
        total += len(tokens)
        if len(tokens) < 4 or not any(token == "=" or _is_word(token) for token in tokens):
            continue
        line = " ".join(tokens)
        if seen[line]:
            copied += len(tokens)
            copies += 1
        seen[line] += 1
    if copies < LINE_COPIES or copied <= LINE_SHARE * total:
        return _NOTHING
    return Repetition(copied / total, "line")
