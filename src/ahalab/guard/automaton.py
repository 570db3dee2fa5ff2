"""An Aho-Corasick automaton that keeps its state between pieces of a text.

Why our own: `ahocorasick_rs` and `daachorse` are quicker over whole messages and have no state to keep. pyahocorasick
2.3.1 has one (`iter(...).set(piece, False)`), but frees strings that it still uses: random pieces crash Python.
A stream brings a few characters at a time, and what it needs besides finds is how long a live prefix is, which the
state knows. Its finds are tested to equal those of `ahocorasick_rs`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence

_SHIFT = 21  # bits of a code point


class Automaton:
    """Patterns, each a non-empty text with its own number; `walk` goes from state to state. State 0 is the start."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._next: dict[int, int] = {}
        depth, parent, arrived_by = array("i", [0]), array("i", [0]), array("i", [0])
        self._ends: dict[int, tuple[int, ...]] = {}
        for number, pattern in enumerate(patterns):
            node = 0
            for code in map(ord, pattern):
                key = node << _SHIFT | code
                following = self._next.get(key)
                if following is None:
                    following = self._next[key] = len(depth)
                    depth.append(depth[node] + 1)
                    parent.append(node)
                    arrived_by.append(code)
                node = following
            self._ends[node] = (*self._ends.get(node, ()), number)
        self._fail = array("i", [0]) * len(depth)
        self._live = array("i", [0]) * len(depth)
        self._link(depth, parent, arrived_by)

    def _link(self, depth: array[int], parent: array[int], arrived_by: array[int]) -> None:
        """Shortest first: where a state falls back to, what ends in it, and how long its live prefix is."""
        inner = bytearray(len(depth))
        for node in range(1, len(depth)):
            inner[parent[node]] = 1
        for node in sorted(range(1, len(depth)), key=depth.__getitem__):
            fallen = self._step(self._fail[parent[node]], arrived_by[node]) if parent[node] else 0
            self._fail[node] = fallen
            if fallen in self._ends:
                self._ends[node] = (*self._ends.get(node, ()), *self._ends[fallen])
            self._live[node] = depth[node] if inner[node] else self._live[fallen]

    def _step(self, state: int, code: int) -> int:
        following = self._next.get(state << _SHIFT | code)
        while following is None and state:
            state = self._fail[state]
            following = self._next.get(state << _SHIFT | code)
        return following or 0

    def walk(self, state: int, text: str) -> Iterator[tuple[int, tuple[int, ...]]]:
        """For each character of `text`: the state after it, and the numbers of the patterns that end with it."""
        ends = self._ends
        for code in map(ord, text):
            state = self._step(state, code)
            yield state, ends.get(state, ())

    def live(self, state: int) -> int:
        """How many of the last characters may still be the beginning of a find that is not complete yet."""
        return self._live[state]


def finds(automaton: Automaton, patterns: Sequence[str], text: str) -> Iterable[tuple[int, int, int]]:
    """(pattern, start, end) of every find in a whole text, for tests against another library."""
    state = 0
    for end, (_, numbers) in enumerate(automaton.walk(state, text), 1):
        yield from ((number, end - len(patterns[number]), end) for number in numbers)
