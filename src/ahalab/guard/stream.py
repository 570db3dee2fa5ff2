"""Terms in a text that arrives in pieces: what is found, and what may be shown already.

The automata keep their state from piece to piece, so a term split anywhere is found. `safe` is the number of characters
that no term can reach any more: in the mode `hold` a client sees no more than these, so no character of a term is ever
shown before the whole of it is known.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from ahalab.guard.automaton import Automaton
from ahalab.guard.folding import Codes, Places, codes_of, fold_codes
from ahalab.guard.matcher import Find, Hit, Patterns, certain, covered, merged, patterns_of, spaced_out
from ahalab.guard.mixed import TermTrie, is_doubtful, search, trie_of
from ahalab.guard.term import LONGEST, TermList
from ahalab.guard.views import PLAIN, VIEWS, WIDEST_GAP, View, ground, read_views

_KEPT = 4 * LONGEST * (WIDEST_GAP + 1)
"""Raw characters that stay in memory behind what is safe: room for a stretched term and its neighbours."""


class StreamList:
    """A list of terms made ready for streams. One for all streams; each stream has a `Stream` of its own."""

    def __init__(self, terms: TermList) -> None:
        self.terms = terms
        self.trie = trie_of(terms)
        self.views: list[tuple[View, Patterns, Automaton]] = []
        for view in VIEWS:
            patterns = patterns_of(terms, view)
            if patterns.texts:
                self.views.append((view, patterns, Automaton(patterns.texts)))


class _ViewState:
    """Where the automaton of one view stands."""

    def __init__(self, view: View, patterns: Patterns, automaton: Automaton) -> None:
        self.view, self._patterns, self._automaton = view, patterns, automaton
        self._state = 0
        self._places: deque[int] = deque(maxlen=2 * LONGEST)
        """Raw indices of the last characters of the view."""

    def feed(self, text: str, places: list[int]) -> list[tuple[int, int, int]]:
        """Finds that end in the piece: (owner, raw begin, raw end)."""
        self._state, ended = self._automaton.walk(self._state, text)
        before = len(self._places)
        known = [*self._places, *places] if ended else []
        self._places.extend(places)
        found = []
        for at, numbers in ended:
            for number in numbers:
                begin = known[before + at + 1 - len(self._patterns.texts[number])]
                found.append((self._patterns.owners[number], begin, places[at] + 1))
        return found

    def live_from(self, length: int) -> int:
        """Raw index of the earliest character that may still begin a find; `length` where none does."""
        live = self._automaton.live(self._state)
        stretched = self.view != PLAIN and live and length - 1 - self._places[-1] > WIDEST_GAP
        return length if not live or stretched else self._places[-live]


class _MixedState:
    """The last folded characters, where words that mix scripts are searched."""

    def __init__(self, trie: TermTrie) -> None:
        self._trie = trie
        self._folded: Codes = np.zeros(0, np.uint32)
        self._raw: Codes = np.zeros(0, np.uint32)
        self._places: Places = np.zeros(0, np.int64)
        self._live: int | None = None

    def feed(self, folded: Codes, raw: Codes, places: Places, ended: bool) -> list[tuple[int, int, int]]:
        """Finds that end in the piece: (owner, raw begin, raw end)."""
        known = min(len(self._folded), 2 * LONGEST)
        self._folded = np.concatenate((self._folded[-2 * LONGEST :], folded))
        self._raw = np.concatenate((self._raw[-2 * LONGEST :], raw))
        self._places = np.concatenate((self._places[-2 * LONGEST :], places))
        self._live = None
        if not is_doubtful(self._raw):
            return []
        found = search(self._trie, self._folded, self._raw, known, ended)
        if found.live is not None:
            self._live = int(self._places[found.live])
        return [(owner, int(self._places[a]), int(self._places[b - 1]) + 1) for owner, a, b in found.finds]

    def live_from(self, length: int) -> int:
        """As that of `_ViewState`."""
        return length if self._live is None else self._live


class Stream:
    """One message as it arrives."""

    def __init__(self, terms: StreamList) -> None:
        self._terms = terms.terms
        self._views = [_ViewState(*one) for one in terms.views]
        self._mixed = _MixedState(terms.trie)
        self._base = False
        self._kept: Codes = np.zeros(0, np.uint32)
        self._kept_from = 0
        self._kept_base = False
        self._length = 0
        self._waiting: list[Find] = []
        self._allowed: list[tuple[int, int]] = []
        self._hits: list[Hit] = []
        self.safe = 0
        """Characters, counted from the beginning, that no term can reach any more."""

    @property
    def hits(self) -> list[Hit]:
        """The hits that are certain so far, by place, as `Matcher.find` gives them."""
        return list(spaced_out(merged(self._hits)))

    def feed(self, piece: str) -> list[Hit]:
        """Take the next piece; the hits that became certain with it."""
        return self._advance(codes_of(piece), False)

    def finish(self) -> list[Hit]:
        """The text has ended: the rest of the hits."""
        return self._advance(np.zeros(0, np.uint32), True)

    def _advance(self, codes: Codes, ended: bool) -> list[Hit]:
        readings, self._base = read_views(codes, self._base)
        for state in self._views:
            reading = readings[state.view]
            places = (reading.places + self._length).tolist()
            for owner, begin, end in state.feed(reading.text, places):
                if owner < 0:
                    self._allowed.append((begin, end))
                else:
                    self._waiting.append((state.view, owner, begin, end))
        folded = readings["folded"]
        guessed = self._mixed.feed(folded.codes, codes[folded.places], folded.places + self._length, ended)
        self._waiting += [("mixed", *one) for one in guessed]
        self._kept = np.concatenate((self._kept, codes))
        self._length += len(codes)
        live = self._length
        if not ended:
            live = min((one.live_from(live) for one in self._views), default=live)
            live = min(live, self._mixed.live_from(live))
        new = self._decide(live, ended)
        begins = [begin for _, _, begin, _ in self._waiting]
        self.safe = self._length if ended else max(self.safe, min((live, *begins)))
        self._forget()
        return new

    def _decide(self, live: int, ended: bool) -> list[Hit]:
        """Finds whose neighbour is known and that no allowed phrase can still grow over."""
        still: list[Find] = []
        due: list[Find] = []
        if not self._waiting:
            return []
        around = ground(self._kept, self._kept_from, self._kept_base)
        for find in self._waiting:
            _, _, begin, end = find
            known = ended or around.inside(begin, end).stop < len(around.folded)
            (due if known and (ended or live > begin) else still).append(find)
        self._waiting = still
        new = [
            Hit(self._terms.terms[owner], begin, end, views)
            for owner, begin, end, views in certain(around, self._terms.terms, due)
            if not covered(begin, end, self._allowed)
        ]
        self._hits.extend(new)
        return new

    def _forget(self) -> None:
        surplus = min(self.safe, self._length) - _KEPT - self._kept_from
        if surplus > _KEPT:
            gone = self._kept[:surplus]
            _, _, self._kept_base = fold_codes(gone, self._kept_base)
            self._kept, self._kept_from = self._kept[surplus:], self._kept_from + surplus
            self._allowed = [one for one in self._allowed if one[1] >= self._kept_from]
