"""Words that mix scripts: a letter that no table knows may stand for any Latin letter there.

The look-alike table (`folding`) names what we thought of. Unicode has more scripts than that, so in a word of letters
from at least two scripts (a Latin word with one Osage letter) each foreign letter is tried as a wildcard, in a search
of the trie of terms. Nobody writes such words but to hide something, or in a formula; a text without them costs one
look-up a character. A find counts when

- it is whole words, its separators are the term's, and it has at least 4 letters;
- at least as many letters agree as are guessed, and at no place are there more than one guess more than letters that
  agree before it (our choice: it bounds the search);
- every word with a guess in it mixes scripts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ahalab.guard.automaton import Trie
from ahalab.guard.folding import ANY, Codes, Places, tables
from ahalab.guard.term import LONGEST, TermList

LETTERS = frozenset(range(ord("a"), ord("z") + 1))
GUESSED = LETTERS | {ord("-")}
FEWEST = 4
"""Letters of a term that is looked for so."""
AHEAD = 1
"""Guesses that may be ahead of the letters that agree."""
_I_OR_L = (ord("i"), ord("l"))


class TermTrie(Trie):
    """Folded terms in Latin letters, for a search that branches."""

    def __init__(self, folded: Sequence[str]) -> None:
        super().__init__()
        self.ends: dict[int, int] = {}
        """Node → index of the term."""
        for number, text in enumerate(folded):
            if sum("a" <= one <= "z" for one in text) >= FEWEST:
                self.ends[self.add(text)[-1]] = number


def trie_of(terms: TermList) -> TermTrie:
    """The trie of a list, shared by all that match it."""
    return _trie(tuple(one.folded for one in terms.terms))


@lru_cache(maxsize=2)
def _trie(folded: tuple[str, ...]) -> TermTrie:
    return TermTrie(folded)


def is_doubtful(raw: Codes) -> bool:
    """Whether a text holds any letter that may be guessed."""
    return bool(tables().doubtful[raw].any())


class Searched:
    """What a search over a stretch of text came to."""

    __slots__ = ("finds", "live")

    def __init__(self) -> None:
        self.finds: list[tuple[int, int, int]] = []
        """(term, first, behind the last) in the stretch."""
        self.live: int | None = None
        """Where the earliest find that may still be completed begins."""


def search(trie: TermTrie, folded: Codes, raw: Codes, after: int, ended: bool) -> Searched:
    """Finds that may count, and where one may still grow.

    Args:
        folded: folded characters.
        raw: [folded] the raw character that each came from.
        after: finds that end no later than this are not wanted: they are known.
        ended: no text will follow.
    """
    found = Searched()
    guess = guesses(raw)
    if not guess.any():
        return found
    inside, begins, mixed = words(folded, raw)
    if not len(begins):
        return found
    if not ended and inside[-1]:
        mixed[-1] = True  # the last word may still become mixed
    word = np.maximum(begins.searchsorted(np.arange(len(folded)), "right") - 1, 0)
    guess = np.where(mixed[word], guess, 0)
    marks = np.flatnonzero(guess)
    if not len(marks):
        return found
    nearest = marks.searchsorted(begins)  # only words from which a guess is in reach
    reach = np.append(marks, len(folded) + LONGEST)[nearest] - begins < LONGEST
    reach &= begins + LONGEST >= after
    codes, may = folded.tolist(), guess.tolist()
    for start in begins[reach].tolist():
        if _from(trie, codes, may, start, after, ended, found.finds) and found.live is None:
            found.live = start
    return found


def _from(
    trie: TermTrie,
    codes: list[int],
    guess: list[int],
    start: int,
    after: int,
    ended: bool,
    finds: list[tuple[int, int, int]],
) -> bool:
    """Search from one place; True when a find from here may still be completed."""
    live = False
    stack = [(0, start, 0, False)]  # node, place, guesses ahead of what agrees, whether there are any
    letter, child, sibling = trie.letter, trie.child, trie.sibling
    while stack:
        node, at, ahead, guessed = stack.pop()
        if at == len(codes):
            live = live or (not ended and child[node] > 0)
            continue
        code, may = codes[at], guess[at] if ahead < AHEAD else 0
        following = child[node]
        while following:
            one = letter[following]
            if one == code:
                step = (following, at + 1, ahead - (one in LETTERS), guessed)
            elif may and one in (GUESSED if may == ANY else _I_OR_L):
                step = (following, at + 1, ahead + 1, True)
            else:
                following = sibling[following]
                continue
            if following in trie.ends and step[3] and step[2] <= 0 and at >= after:
                finds.append((trie.ends[following], start, at + 1))
            stack.append(step)
            following = sibling[following]
    return live


def words(folded: Codes, raw: Codes) -> tuple[NDArray[np.bool_], Places, NDArray[np.bool_]]:
    """[folded] whether it belongs to a word; [words] where each begins; [words] whether it mixes scripts."""
    script = tables().script[raw]
    inside = (script > 0) | ((folded >= ord("0")) & (folded <= ord("9")))
    begins = np.flatnonzero(inside & ~np.concatenate(([False], inside[:-1])))
    if not len(begins):
        return inside, begins, np.zeros(0, np.bool_)
    lowest = np.minimum.reduceat(np.where(script > 0, script, 255), begins)
    highest = np.maximum.reduceat(script, begins)
    return inside, begins, (lowest != 255) & (lowest != highest)


def guesses(raw: Codes) -> NDArray[np.uint8]:
    """[raw] `ANY`, `I_OR_L` or 0. Characters that fold to several are never guessed."""
    table = tables()
    return np.where(table.expands[raw], np.uint8(0), table.doubtful[raw])


def agrees(pattern: str, folded: Codes, raw: Codes, first: int, behind: int) -> bool:
    """Whether folded [first, behind) is the folded term `pattern` by the rules above. Its neighbours must be there."""
    if len(pattern) != behind - first:
        return False
    begin = max(0, first - 1)
    inside, begins, mixed = words(folded[begin : behind + 1], raw[begin : behind + 1])
    if (begin < first and inside[0]) or (behind < len(folded) and inside[-1]):
        return False
    may = guesses(raw[first:behind]).tolist()
    guessed = agreed = 0
    for at, (code, wanted) in enumerate(zip(folded[first:behind].tolist(), map(ord, pattern), strict=True)):
        if code == wanted:
            agreed += code in LETTERS
            continue
        if not may[at] or wanted not in (GUESSED if may[at] == ANY else _I_OR_L) or guessed >= agreed + AHEAD:
            return False
        if not mixed[begins.searchsorted(first - begin + at, "right") - 1]:
            return False
        guessed += 1
    return 0 < guessed <= agreed
