"""An Aho-Corasick automaton that keeps its state between pieces of a text.

Why our own: `ahocorasick_rs` and `daachorse` are quicker over whole messages and have no state to keep. pyahocorasick
2.3.1 has one (`iter(...).set(piece, False)`), but frees strings that it still uses: random pieces crash Python.
A stream brings a few characters at a time, and what it needs besides finds is how long a live prefix is, which the
state knows. Its finds are tested to equal those of `ahocorasick_rs`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

_MOST_KNOWN = 16_384
"""Steps that are remembered, 2 MB: ordinary text takes the same ones again and again."""


class Trie:
    """Texts letter by letter; node 0 is the start. Twelve bytes a node, where a dictionary takes 150."""

    def __init__(self) -> None:
        self.letter, self.child, self.sibling = array("I", [0]), array("i", [0]), array("i", [0])
        """[nodes] what leads to it · one of its children · the next child of its parent; 0 for none."""
        self.first: dict[int, int] = {}
        """Children of the start, which may be thousands."""

    def __len__(self) -> int:
        return len(self.letter)

    def step(self, node: int, code: int) -> int:
        """The child that `code` leads to; 0 for none."""
        if not node:
            return self.first.get(code, 0)
        node = self.child[node]
        while node and self.letter[node] != code:
            node = self.sibling[node]
        return node

    def add(self, text: str) -> list[int]:
        """Its nodes, one a letter; those that are not there yet are made."""
        node, passed = 0, []
        for code in map(ord, text):
            following = self.step(node, code)
            if not following:
                following = len(self.letter)
                self.letter.append(code)
                self.child.append(0)
                self.sibling.append(self.child[node])
                self.child[node] = following
                if not node:
                    self.first[code] = following
            node = following
            passed.append(node)
        return passed


class Automaton:
    """Patterns, each a non-empty text with its own number; `walk` goes from state to state. State 0 is the start."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._trie = Trie()
        depth, parent = array("i", [0]), array("i", [0])
        self._ends: dict[int, tuple[int, ...]] = {}
        for number, pattern in enumerate(patterns):
            passed = self._trie.add(pattern)
            for at, node in enumerate(passed):
                if node == len(depth):
                    depth.append(at + 1)
                    parent.append(passed[at - 1] if at else 0)
            self._ends[passed[-1]] = (*self._ends.get(passed[-1], ()), number)
        self._known: dict[int, int] = {}
        """state << 21 | code → the state after it, of the last steps."""
        self._fail = array("i", [0]) * len(depth)
        self._live = array("i", [0]) * len(depth)
        self._link(depth, parent)

    def _link(self, depth: array[int], parent: array[int]) -> None:
        """Shortest first: where a state falls back to, what ends in it, and how long its live prefix is."""
        trie = self._trie
        for node in sorted(range(1, len(depth)), key=depth.__getitem__):
            fallen = self._step(self._fail[parent[node]], trie.letter[node]) if parent[node] else 0
            self._fail[node] = fallen
            if fallen in self._ends:
                self._ends[node] = (*self._ends.get(node, ()), *self._ends[fallen])
            self._live[node] = depth[node] if trie.child[node] else self._live[fallen]

    def _step(self, state: int, code: int) -> int:
        following = self._trie.step(state, code)
        while not following and state:
            state = self._fail[state]
            following = self._trie.step(state, code)
        return following

    def walk(self, state: int, text: str) -> tuple[int, list[tuple[int, tuple[int, ...]]]]:
        """The state after `text`, and where patterns end in it: (index of their last character, their numbers)."""
        ends, known = self._ends, self._known
        found = []
        for at, code in enumerate(map(ord, text)):
            step = state << 21 | code
            following = known.get(step)
            if following is None:
                if len(known) >= _MOST_KNOWN:
                    known.clear()
                following = known[step] = self._step(state, code)
            state = following
            if state in ends:
                found.append((at, ends[state]))
        return state, found

    def live(self, state: int) -> int:
        """How many of the last characters may still be the beginning of a find that is not complete yet."""
        return self._live[state]


def finds(automaton: Automaton, patterns: Sequence[str], text: str) -> Iterable[tuple[int, int, int]]:
    """(pattern, start, end) of every find in a whole text, for tests against another library."""
    for at, numbers in automaton.walk(0, text)[1]:
        yield from ((number, at + 1 - len(patterns[number]), at + 1) for number in numbers)
