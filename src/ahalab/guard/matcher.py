"""Terms in whole messages: every view, hits with their place in the raw text, allowed phrases left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace

import ahocorasick_rs

from ahalab.guard.folding import codes_of
from ahalab.guard.mixed import is_doubtful, search, trie_of
from ahalab.guard.term import Term, TermList
from ahalab.guard.views import ALL_VIEWS, PLAIN, VIEWS, Ground, View, is_hit, pattern, read_views

Find = tuple[View, int, int, int]
"""View, index of the term, raw start, raw end."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A term found at raw [start, end)."""

    term: Term
    start: int
    end: int
    views: tuple[View, ...]
    """In which readings it was found."""

    def span(self, text: str) -> str:
        """The raw text that it covers. Hostile text."""
        return text[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Patterns:
    """What is looked for in one view. Index `len(terms)` and beyond are allowed phrases."""

    texts: tuple[str, ...]
    owners: tuple[int, ...]
    """[texts] index of the term; -1 for an allowed phrase."""


def patterns_of(terms: TermList, view: View) -> Patterns:
    """The distinct patterns of a view; two terms that look alike in it give one pattern, the graver term's."""
    found: dict[str, int] = {}
    for number, term in sorted(enumerate(terms.terms), key=lambda one: -one[1].severity):
        text = pattern(term, view)
        if text:
            found.setdefault(text, number)
    if view == "folded":
        for phrase in terms.allowed:
            found.setdefault(phrase, -1)
    return Patterns(tuple(found), tuple(found.values()))


class Matcher:
    """A list of terms made ready. Safe to use from several threads."""

    def __init__(self, terms: TermList) -> None:
        self.terms = terms
        self._trie = trie_of(terms)
        self._views: list[tuple[View, Patterns, ahocorasick_rs.AhoCorasick]] = []
        for view in VIEWS:
            patterns = patterns_of(terms, view)
            if patterns.texts:
                automaton = ahocorasick_rs.AhoCorasick(list(patterns.texts), store_patterns=False)
                self._views.append((view, patterns, automaton))

    def without_borders(self) -> Matcher:
        """The same list, its terms found wherever they stand and however often. Shares the automata: neither option
        changes what they look for."""
        other = copy(self)
        free = tuple(replace(one, word_boundary=False, min_gap=0) for one in self.terms.terms)
        other.terms = replace(self.terms, terms=free)
        return other

    def find(self, text: str) -> list[Hit]:
        """Every hit, by place. Finds of one term at one place in several views are one hit."""
        codes = codes_of(text)
        readings, _ = read_views(codes)
        finds: list[Find] = []
        allowed: list[tuple[int, int]] = []
        for view, patterns, automaton in self._views:
            reading = readings[view]
            for which, begin, end in automaton.find_matches_as_indexes(reading.text, overlapping=True):
                first, last = int(reading.places[begin]), int(reading.places[end - 1]) + 1
                owner = patterns.owners[which]
                if owner < 0:
                    allowed.append((first, last))
                else:
                    finds.append((view, owner, first, last))
        folded, places = readings["folded"].codes, readings["folded"].places
        if is_doubtful(codes):
            found = search(self._trie, folded, codes[places], 0, ended=True).finds
            finds += [("mixed", owner, int(places[a]), int(places[b - 1]) + 1) for owner, a, b in found]
        if not finds:
            return []
        hits = (
            Hit(self.terms.terms[owner], first, last, views)
            for owner, first, last, views in certain(
                Ground(0, codes, folded, places), self.terms.terms, finds
            )
            if not covered(first, last, allowed)
        )
        return list(spaced_out(merged(hits)))


def certain(
    ground: Ground, terms: Sequence[Term], finds: Iterable[Find]
) -> Iterator[tuple[int, int, int, tuple[View, ...]]]:
    """(term, start, end, views) of the finds that count. What the plain views have judged is not judged again."""
    places: dict[tuple[int, int, int], list[View]] = {}
    for view, owner, first, last in finds:
        places.setdefault((owner, first, last), []).append(view)
    for (owner, first, last), views in places.items():
        term = terms[owner]
        if PLAIN in views:
            if is_hit(ground, term, PLAIN, first, last):
                yield owner, first, last, ("raw", PLAIN) if ground.is_raw(term, first, last) else (PLAIN,)
            continue
        counts = [view for view in views if is_hit(ground, term, view, first, last)]
        if counts:
            # A guess that does not count is none; the other views find what they find.
            yield owner, first, last, tuple(one for one in views if one in counts or one != "mixed")


def covered(start: int, end: int, allowed: Iterable[tuple[int, int]]) -> bool:
    """Whether an allowed phrase holds the whole of [start, end)."""
    return any(first <= start and end <= last for first, last in allowed)


def merged(hits: Iterable[Hit]) -> list[Hit]:
    """Hits by place; the same term at the same place once, with all its views in their order."""
    found: dict[tuple[int, int, str], Hit] = {}
    for hit in hits:
        key = (hit.start, hit.end, hit.term.folded)
        known = found.get(key)
        views = tuple(one for one in ALL_VIEWS if one in (known.views if known else ()) or one in hit.views)
        found[key] = replace(hit, views=views)
    return [found[key] for key in sorted(found)]


def spaced_out(hits: Sequence[Hit]) -> Iterator[Hit]:
    """The hits without those that follow one of the same term more closely than its `min_gap`."""
    last: dict[str, int] = {}
    for hit in hits:
        before = last.get(hit.term.folded)
        if before is not None and hit.term.min_gap and hit.start - before < hit.term.min_gap:
            continue
        last[hit.term.folded] = hit.end
        yield hit
