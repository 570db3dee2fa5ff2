"""Terms split across texts that follow each other: turns of a dialogue, thinking and answer.

The texts are put together twice, directly and with a space between, whitespace and hidden characters at the seams left
out. A find counts when it covers a seam and is no accident. Our choice, the paper does not say:

- the term has at least 4 letters (3 in a script without spaces), or one of its fragments is all that its text holds
  ("b" | "o" | "mb");
- a term that stands only as a whole word does so here too; a seam counts as the end of a word;
- a sentence's end mark at the seam stays and parts the two, as it does within one text.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from ahalab.guard.matcher import Hit, Matcher
from ahalab.guard.records import Part, Span
from ahalab.guard.term import Term, folded_text, squeezed_text
from ahalab.guard.views import is_word

LOOSE = " \t\n\r\v\f\u00a0\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\u3000\ufeff"
"""Whitespace and hidden characters, which a seam does without."""
_BREAK = "\n" * 16
"""Wider than any gap inside a term: no find reaches over it."""
_FEW_LETTERS, _FEW_HAN = 4, 3
_HAN_FROM = 0x2E80
_NEIGHBOURS = 8
"""Characters that are looked at to see whether a word goes on; those nearest may be hidden."""


@dataclass(frozen=True, slots=True)
class Source:
    """A text that is matched. Hostile text."""

    part: Part
    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class _Segment:
    """A stretch of one source inside the joined text."""

    start: int
    end: int
    source: Source
    offset: int
    """Of the stretch in the source's text."""
    number: int
    """Of the source: a find that touches two numbers covers a seam."""
    whole: bool
    """Whether it is all of the source but loose characters."""


def joiner(matcher: Matcher) -> Joiner:
    """The joiner of a matcher, made once."""
    known = _JOINERS.get(matcher)
    if known is None:
        known = _JOINERS[matcher] = Joiner(matcher)
    return known


class Joiner:
    """A list of terms made ready for seams. Word borders are looked at here: a seam is one, but not always."""

    def __init__(self, matcher: Matcher) -> None:
        terms = matcher.terms
        self._terms = {one.folded: one for one in terms.terms}
        self._matcher = matcher.without_borders()
        self._reach = 2 * max((len(one.text) for one in terms.terms), default=0) + _NEIGHBOURS
        """Characters of a long text that are looked at on each side of a seam."""

    def spans(self, chains: Sequence[Sequence[Source]]) -> list[Span]:
        """Terms over the seams of each chain. `turn` and `start` say where one begins, `end` where it ends, counted in
        the text that it ends in."""
        text, segments = self._joined(chains)
        starts, ends = [one.start for one in segments], [one.end for one in segments]
        found: dict[tuple[int, int, int, str], Span] = {}
        for hit in self._matcher.find(text):
            touched = segments[bisect_right(ends, hit.start) : bisect_left(starts, hit.end)]
            if len({one.number for one in touched}) < 2:
                continue
            term, first, last = self._terms[hit.term.folded], touched[0], touched[-1]
            if not no_accident(
                term, (one.whole and hit.start <= one.start and one.end <= hit.end for one in touched)
            ):
                continue
            if term.word_boundary and _goes_on(text, first.start, hit, last.end):
                continue
            start = first.offset + hit.start - first.start
            end = last.offset + hit.end - last.start
            key = (first.source.turn, start, end, term.folded)
            found.setdefault(key, span_of(hit, "joined", first.source.turn, start, end))
        return list(found.values())

    def _joined(self, chains: Sequence[Sequence[Source]]) -> tuple[str, list[_Segment]]:
        """All chains in one text, each with either kind of seam; long sources without their middle."""
        pieces: list[str] = []
        segments: list[_Segment] = []
        length = number = 0
        for chain in chains:
            cores = [(one, *_core(one.text)) for one in chain if one.text.strip(LOOSE)]
            for between in ("", " "):
                before = _BREAK
                for source, lead, core in cores:
                    number += 1
                    for first, last in self._stretches(len(core)):
                        length += len(before)
                        end = length + last - first
                        whole = last - first == len(core)
                        segments.append(_Segment(length, end, source, lead + first, number, whole))
                        pieces += (before, core[first:last])
                        length, before = end, _BREAK
                    before = between
        return "".join(pieces), segments

    def _stretches(self, length: int) -> list[tuple[int, int]]:
        if length <= 2 * self._reach:
            return [(0, length)]
        return [(0, self._reach), (length - self._reach, length)]


_JOINERS: WeakKeyDictionary[Matcher, Joiner] = WeakKeyDictionary()


def _core(text: str) -> tuple[int, str]:
    """How many loose characters a text begins with, and the text without those at its ends."""
    begun = text.lstrip(LOOSE)
    return len(text) - len(begun), begun.rstrip(LOOSE)


def no_accident(term: Term, fragments_whole: Iterable[bool]) -> bool:
    """The rule for a find over a seam; `fragments_whole` says which fragments are all that their text holds."""
    few = _FEW_HAN if ord(term.folded[0]) >= _HAN_FROM else _FEW_LETTERS
    return len(squeezed_text(term.text)) >= few or any(fragments_whole)


def _goes_on(text: str, begin: int, hit: Hit, end: int) -> bool:
    """Whether a word goes on before or after a find; the seams at `begin` and `end` are where words end."""
    before = folded_text(text[max(begin, hit.start - _NEIGHBOURS) : hit.start])[-1:]
    after = folded_text(text[hit.end : min(end, hit.end + _NEIGHBOURS)])[:1]
    own = folded_text(text[hit.start : hit.end])
    return _both_word(before, own[:1]) or _both_word(own[-1:], after)


def _both_word(left: str, right: str) -> bool:
    return bool(left and right) and is_word(ord(left)) and is_word(ord(right))


def span_of(hit: Hit, part: Part, turn: int, start: int, end: int) -> Span:
    """A hit as it is recorded."""
    return Span(part, turn, start, end, hit.term.text, hit.term.category, hit.term.severity, hit.views)
