"""The automaton that keeps its state finds what the quick library finds, whatever the text and the pieces."""

from __future__ import annotations

from unittest import mock

import ahocorasick_rs
from hypothesis import given, settings
from hypothesis import strategies as st

from ahalab.guard import automaton
from ahalab.guard.automaton import Automaton, finds

LETTERS = st.text(alphabet="ab炸\U0001f600", min_size=1, max_size=5)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(LETTERS, min_size=1, max_size=8, unique=True), st.text(alphabet="ab炸\U0001f600c", max_size=40)
)
def test_finds_equal_those_of_the_library_for_whole_messages(patterns: list[str], text: str) -> None:
    library = ahocorasick_rs.AhoCorasick(patterns).find_matches_as_indexes(text, overlapping=True)
    assert sorted(finds(Automaton(patterns), patterns, text)) == sorted(library)


@settings(max_examples=500, deadline=None)
@given(st.lists(LETTERS, min_size=1, max_size=8, unique=True), st.text(alphabet="ab炸c", max_size=20))
def test_live_is_the_longest_end_of_the_text_that_begins_a_longer_pattern(
    patterns: list[str], text: str
) -> None:
    walker, state = Automaton(patterns), 0
    for length, letter in enumerate(text, 1):
        state, _ = walker.walk(state, letter)
        ends = [text[start:length] for start in range(length)]
        longest = max(
            (len(end) for end in ends if any(one.startswith(end) and one != end for one in patterns)),
            default=0,
        )
        assert walker.live(state) == longest


@settings(max_examples=200, deadline=None)
@given(
    st.lists(LETTERS, min_size=1, max_size=8, unique=True),
    st.lists(st.text(alphabet="ab炸c", max_size=6), max_size=6),
)
def test_steps_that_are_remembered_forgotten_or_never_taken_lead_to_the_same(
    patterns: list[str], pieces: list[str]
) -> None:
    remembering, forgetting = Automaton(patterns), Automaton(patterns)
    with mock.patch.object(automaton, "_MOST_KNOWN", 2):
        walked = [_walked(forgetting, pieces) for _ in range(2)]
    assert walked == [_walked(remembering, pieces), _walked(Automaton(patterns), ["".join(pieces)])]


def _walked(one: Automaton, pieces: list[str]) -> tuple[int, list[tuple[int, tuple[int, ...]]]]:
    state, before, found = 0, 0, []
    for piece in pieces:
        state, ended = one.walk(state, piece)
        found += [(before + at, numbers) for at, numbers in ended]
        before += len(piece)
    return state, found
