"""The readings of a text in which terms are looked for, and what makes a find in one of them a hit.

raw       as it stands
folded    without disguise: width, case, hidden characters, look-alikes, traditional Chinese (`folding`)
squeezed  folded, without what stands between letters: "b.o.m.b"
leet      squeezed, with digits and signs read as letters: "b0mb"
mixed     folded, with unknown foreign letters guessed in words that mix scripts (`mixed`)

Squeezed and leet see words that are not there ("…mob, but…" holds "bbut"), so a find in them must look like a disguise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ahalab.guard.folding import Codes, Places, codes_of, fold_codes, leet, squeeze, tables, text_of
from ahalab.guard.mixed import agrees
from ahalab.guard.term import Term

Flags = NDArray[np.bool_]
View = Literal["raw", "folded", "squeezed", "leet", "mixed"]
VIEWS: tuple[View, ...] = ("folded", "squeezed", "leet")
"""Those that an automaton walks through. What stands there raw is found folded, and told by comparing."""
ALL_VIEWS: tuple[View, ...] = ("raw", *VIEWS, "mixed")
PLAIN: View = "folded"
"""Where a find needs no more than its word boundary."""
WIDEST_GAP = 8
"""Characters that may stand between two letters of a stretched word; our choice. It bounds what a stream holds back."""

_PART_HAN = re.compile(r"[。！？；：，、]|\n\s*\n")
_PART_WORDS = re.compile(r"[.!?;。]|\n\s*\n")
"""What ends a sentence. A single line break does not: lines are wrapped anywhere, and a break hides a term as well as a
space does."""
_HAN_FROM = 0x2E80


@dataclass(frozen=True, slots=True)
class Reading:
    """One view of a text, or of the next piece of one."""

    text: str
    codes: Codes
    places: Places
    """[characters of `text`] index in the raw text."""


def read_views(codes: Codes, base_before: bool = False) -> tuple[dict[View, Reading], bool]:
    """All views of a text, and what `fold_codes` must know for the next piece."""
    folded, places, base = fold_codes(codes, base_before)
    signs = leet(folded)
    squeezed, squeezed_places = squeeze(folded, places)
    leeted, leet_places = squeeze(signs, places)
    return {
        "folded": Reading(text_of(folded), folded, places),
        "squeezed": Reading(text_of(squeezed), squeezed, squeezed_places),
        "leet": Reading(text_of(leeted), leeted, leet_places),
    }, base


def pattern(term: Term, view: View) -> str | None:
    """What is looked for in a view; None where the term is not looked for there."""
    if view == "folded":
        return term.folded
    if not term.spaced:
        return None
    codes, places, _ = fold_codes(codes_of(term.text))
    if view == "squeezed":
        return text_of(squeeze(codes, places)[0])
    signs = text_of(squeeze(leet(codes), places)[0])
    # Signs stand for Latin letters; a term with digits of its own would be found in plain numbers.
    return signs if all("a" <= one <= "z" for one in text_of(squeeze(codes, places)[0])) else None


def is_word(code: int) -> bool:
    """Whether a folded character belongs to a word of an alphabetic script. Han stands apart: it has no spaces."""
    return code < _HAN_FROM and chr(code).isalnum()


@dataclass(frozen=True, slots=True)
class Ground:
    """Where finds are looked at: a stretch of raw text, folded, from `start` on."""

    start: int
    """Index of the stretch's first character in the whole text."""
    raw: Codes
    folded: Codes
    places: Places
    """[folded] index in the whole text."""

    def is_raw(self, term: Term, begin: int, end: int) -> bool:
        """Whether raw [begin, end) is the term as it is written."""
        raw = self.raw[begin - self.start : end - self.start]
        return len(raw) == len(term.text) and text_of(raw) == term.text

    def inside(self, begin: int, end: int) -> slice:
        """The folded characters that come from raw [begin, end)."""
        return slice(int(self.places.searchsorted(begin)), int(self.places.searchsorted(end)))


def ground(codes: Codes, start: int = 0, base_before: bool = False) -> Ground:
    """A stretch of raw text made ready."""
    folded, places, _ = fold_codes(codes, base_before)
    return Ground(start, codes, folded, places + start)


def is_hit(ground: Ground, term: Term, view: View, begin: int, end: int) -> bool:
    """Whether a find of `term` in `view` over raw [begin, end) counts. The character after it must be in the ground."""
    inside = ground.inside(begin, end)
    if term.word_boundary and _touches_word(ground, inside):
        return False
    check = _CHECKS.get(view)
    return check is None or check(ground, term, inside, begin, end)


def _touches_word(ground: Ground, inside: slice) -> bool:
    folded = ground.folded
    before, after = inside.start - 1, inside.stop
    return (before >= 0 and is_word(int(folded[before])) and is_word(int(folded[inside.start]))) or (
        after < len(folded) and is_word(int(folded[after])) and is_word(int(folded[after - 1]))
    )


def _stretched(ground: Ground, term: Term, inside: slice, begin: int, end: int) -> bool:
    """Letters with something between each of them, or words run together, as nobody writes by accident."""
    folded = ground.folded[inside]
    letters = np.flatnonzero(~tables().separator[folded])
    gaps, own = np.diff(letters) > 1, _own_gaps(term.folded)
    if not _narrow(ground.places[inside][letters]) or len(gaps) != len(own):
        return False
    extra = gaps & ~own
    if not extra.any():
        # Words run together, or with another separator than the term's own; not two sentences that meet.
        return _PART_WORDS.search(text_of(folded)) is None
    if ord(term.folded[0]) >= _HAN_FROM:
        between = ground.raw[begin - ground.start : end - ground.start]
        return bool(gaps.all() and len(gaps) > 1) or _PART_HAN.search(text_of(between)) is None
    return _even(extra, own)


def _spelled(ground: Ground, term: Term, inside: slice, begin: int, end: int) -> bool:  # noqa: ARG001 - as its sibling
    """Letters with a few digits, signs or foreign letters among them, or a capital I for an l."""
    folded = ground.folded[inside]
    kept = np.flatnonzero(~tables().separator[leet(folded)])
    places = ground.places[inside][kept]
    raw = ground.raw[places - ground.start]
    plain = (folded[kept] >= ord("a")) & (folded[kept] <= ord("z"))
    disguised = ~plain | (raw > 0x7F) | (raw == ord("I"))
    if not disguised.any() or int(plain.sum()) < max(2, len(kept) // 3) or not _narrow(places):
        return False
    gaps, own = np.diff(kept) > 1, _own_gaps(term.folded)
    if len(gaps) != len(own):
        return False
    extra = gaps & ~own
    return not extra.any() or _even(extra, own)


def _even(extra: Flags, own: Flags) -> bool:
    """Whether at least half of the places between letters of one word are filled."""
    return 2 * int(extra.sum()) >= int((~own).sum())


def _narrow(places: Places) -> bool:
    return int(np.diff(places).max(initial=1)) <= WIDEST_GAP + 1


@lru_cache(maxsize=65_536)
def _own_gaps(folded: str) -> Flags:
    """[letters - 1] where the term itself has a separator between two letters."""
    return np.diff(np.flatnonzero(~tables().separator[codes_of(folded)])) > 1


def _mixed(ground: Ground, term: Term, inside: slice, begin: int, end: int) -> bool:  # noqa: ARG001 - as its siblings
    """Letters of several scripts in one word, those that are known as the term has them."""
    raw = ground.raw[ground.places - ground.start]
    return agrees(term.folded, ground.folded, raw, inside.start, inside.stop)


_CHECKS: Mapping[View, Callable[[Ground, Term, slice, int, int], bool]] = {
    "squeezed": _stretched,
    "leet": _spelled,
    "mixed": _mixed,
}
