"""Which part of a text is its final mathematical answer: the last box, what follows "the answer is", or the last
formula or number of a sentence that does not deny it. In linear time. Our choices; docs/math.md tells them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_JOINED = re.compile(r"\b(?:and|or)\b|[,;和或与、，]")
_NEAR, _FAR = 10, 70
"""Characters between boxes that belong together, without and with a joining word; as math-verify has it."""

STRONG = re.compile(
    r"####|answers?\s*(?:is|are|:|=|：)(?:\s*:)?\s*\**|答案(?:是|为|:|：|=)+|答[:：]", re.IGNORECASE
)
"""What announces the final answer."""
WEAK = re.compile(
    r"\b(?:is|are|equals|gives?|get)\b\s*:?|(?<=[\u3400-\u9fff])[:：,，]|(?<![不非没])[是为得]|一?共?有|[:：]",
    re.IGNORECASE,
)
"""What may stand before it; heeded only where nothing but mathematics follows."""

FORMULA = re.compile(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|\\\((.+?)\\\)|\$([^$]+)\$", re.DOTALL)
_BETWEEN = re.compile(r"\s*(?:,|;|，|、|and|or|,\s*and|,\s*or|和|或|或者|与|以及)\s*")
_PLAIN = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
NUMBER = re.compile(
    rf"(?<![A-Za-z\d_.\\'\"])[-−+]?\s?(?:\\?[$€£¥]\s?)?(?:{_PLAIN})"
    rf"(?:\s*[-+*/×÷·^=:]\s*[($]*-?(?:{_PLAIN})\)*)*(?:\s*\\?%|\s+percent\b)?"
)
"""A number or a piece of arithmetic in prose."""

_DENIED_BEFORE = re.compile(
    r"\b(?:not|isn't|aren't|wasn't|doesn't|don't|cannot|can't|never|neither|nor|except|isnt|no)\b[^.;:!?,。；，]*$"
    r"|\b(?:more|less|greater|fewer|smaller|larger) than\s*$|(?:大于|小于|多于|少于|超过|不到|不止|不只)\s*$"
    r"|(?:不是|并非|不等于|不为|没有|不会是|不可能)[^。；，,;]*$|\\neq?\s*$|[≠<>]\s*$",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(
    r"^[^.;!?,。；，]{0,40}?(?:\b(?:is|was|are)\s*(?:not|wrong|incorrect|false)\b|isn't|不对|不是|错)",
    re.IGNORECASE,
)


def boxes(text: str) -> list[str]:
    """What the last `\\boxed{…}` holds, and the boxes before it that belong to it: next to it, or joined to it by
    "and", "or" or a comma within 70 characters. Empty where there is no box; an open brace ends with the text."""
    found = [(match.start(), match.end()) for match in _BOX.finditer(text)]
    taken: list[str] = []
    begin_of_next = -1
    for start, inside in reversed(found):
        end = _closing(text, inside)
        if begin_of_next >= 0:
            between = text[end + 1 : begin_of_next]
            if end >= begin_of_next:  # the next box is inside of this one
                taken, begin_of_next = [text[inside:end]], start
                continue
            if len(between) >= _NEAR and not (len(between) < _FAR and _JOINED.search(between)):
                break
        taken.append(text[inside:end] + ("%" if text[end + 1 : end + 3].lstrip("\\").startswith("%") else ""))
        begin_of_next = start
    return list(dict.fromkeys(content.strip() for content in reversed(taken)))


def _closing(text: str, inside: int) -> int:
    depth = 1
    for position in range(inside, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return position
    return len(text)


def announced(text: str, marker: re.Pattern[str]) -> Iterator[str]:
    """What follows the markers, the last one first, at most three."""
    ends = [match.end() for match in marker.finditer(text)]
    for end in ends[:-4:-1]:
        yield text[end:]


def last_statements(text: str) -> list[str] | None:
    """The last formula of some prose, or its last number where it has no formula, with those joined to it by "and",
    "or" or a comma ("5 or 6"); each number with the words behind it, which may be its unit. None where the sentence
    denies it ("not 5"), or there is none."""
    pieces = list(FORMULA.finditer(text)) or list(NUMBER.finditer(text))
    if not pieces:
        return None
    chosen = [pieces[-1]]
    for piece in reversed(pieces[:-1]):
        if not _BETWEEN.fullmatch(text[piece.end() : chosen[-1].start()]):
            break
        chosen.append(piece)
    before, after = text[: chosen[-1].start()], text[chosen[0].end() :]
    if _DENIED_BEFORE.search(before[-200:]) or _DENIED_AFTER.search(after[:200]):
        return None
    statements = [piece[0] for piece in reversed(chosen)]
    if not FORMULA.fullmatch(statements[-1]):
        statements[-1] += re.split(r"[.,;:!?()。，；（）\n]", after, maxsplit=1)[0][:60]
    return statements
