"""What is matched: every part of both sides as the policy says, terms split over turns, and no accidents."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahalab.guard.matcher import Matcher
from ahalab.guard.policy import Scope, bundled_policy
from ahalab.guard.records import Exchange, Part, Span, Turn
from ahalab.guard.scope import client_spans, reply_spans
from ahalab.guard.term import TermEntry, TermFile, make_terms
from guard_control import MATCHER, ask

NOTHING = Scope(query=False, history=False, forged=False, reply=False, thinking=False, joined=False)
TURNS = (
    Turn("system", "sys zorbom"),
    Turn("user", "first zorbom"),
    Turn("assistant", "said zorbom", "thought zorbom"),
    Turn("tool", "tool zorbom"),
    Turn("user", "last zorbom"),
)


def client(scope: Scope, *turns: Turn, severity: int = 1) -> tuple[Span, ...]:
    return client_spans(MATCHER, Exchange("x", "k", turns, "m", False), scope, severity)


def only(**parts: bool) -> Scope:
    return NOTHING.model_copy(update=parts)


@pytest.mark.parametrize(
    ("scope", "found"),
    [
        (NOTHING, []),
        (only(query=True), [("query", 4)]),
        (only(history=True), [("history", 1)]),
        (only(forged=True), [("system", 0), ("thinking", 2), ("assistant", 2), ("tool", 3)]),
        (
            Scope(),
            [("system", 0), ("history", 1), ("thinking", 2), ("assistant", 2), ("tool", 3), ("query", 4)],
        ),
    ],
)
def test_each_part_is_matched_exactly_when_it_is_in_scope(
    scope: Scope, found: list[tuple[Part, int]]
) -> None:
    spans = client(scope, *TURNS)
    assert [(one.part, one.turn) for one in spans] == found
    for span in spans:
        turn = TURNS[span.turn]
        text = turn.thinking if span.part == "thinking" else turn.content
        assert text[span.start : span.end] == "zorbom"


def test_reply_and_thinking_are_matched_like_each_other() -> None:
    spans = reply_spans(MATCHER, "a zorbom", "oh, zorbom", Scope(), 1)
    assert [(one.part, one.turn, one.start) for one in spans] == [("thinking", -1, 4), ("reply", -1, 2)]
    assert reply_spans(MATCHER, "a zorbom", "oh, zorbom", only(reply=True), 1)[0].part == "reply"
    assert reply_spans(MATCHER, "a zorbom", "oh, zorbom", only(thinking=True), 1)[0].part == "thinking"


def test_the_paper_profile_matches_the_query_alone() -> None:
    scope = bundled_policy("paper").scope
    assert [one.part for one in client(scope, *TURNS)] == ["query"]
    assert reply_spans(MATCHER, "zorbom", "zorbom", scope, 1) == ()


def test_terms_below_the_minimum_severity_do_not_flag() -> None:
    assert client(Scope(), Turn("user", "mild")) != ()
    assert client(Scope(), Turn("user", "mild"), severity=2) == ()


def user(*texts: str) -> tuple[Turn, ...]:
    return tuple(Turn("user", one) for one in texts)


@pytest.mark.parametrize(
    ("turns", "term", "turn"),
    [
        (user("write zor", "bom for me"), "zorbom", 0),
        (user("z", "o", "r", "b", "o", "m"), "zorbom", 0),
        (user("say z", "orb", "om", "please"), "zorbom", 0),
        (user("well", "gna", "rf", "him", "now"), "gnarf him", 1),
        (user("hi", "how to gnarf", "him please"), "gnarf him", 1),
        (user("hi", "how to gnarf \n", "\u200b him please"), "gnarf him", 1),
        (user("如何做三个", "字"), "三个字", 0),
        (user("炸", "弹怎么做"), "炸弹", 0),
        (user("爱s", "b"), "sb", 0),
        ((Turn("user", "zor"), Turn("assistant", "Go on."), Turn("user", "bom")), "zorbom", 0),
        ((Turn("assistant", "I say zor"), Turn("user", "bom")), "zorbom", 0),
        ((Turn("assistant", "zor"), Turn("user", "Go on."), Turn("assistant", "bom")), "zorbom", 0),
        ((Turn("tool", "zor"), Turn("user", "So?"), Turn("system", "x"), Turn("tool", "bom")), "zorbom", 0),
        ((Turn("system", "gnarf"), Turn("user", "him")), "gnarf him", 0),
        (user("x " * 3000 + "g-n-a-r-f h-i", "m"), "gnarf him", 0),
        (user("x " * 3000 + "zor", "bom" + " x" * 3000), "zorbom", 0),
    ],
)
def test_a_term_split_over_turns_is_found(turns: tuple[Turn, ...], term: str, turn: int) -> None:
    spans = client(Scope(), *turns)
    assert [(one.part, one.term, one.turn) for one in spans] == [("joined", term, turn)]
    begin = turns[turn].content[spans[0].start :]
    assert begin[0] == term[0]
    assert client(Scope(joined=False), *turns) == ()


@pytest.mark.parametrize(
    "turns",
    [
        user("how to gnarf.", "Him I like"),
        user("我喜欢炸", "弹琴的人"),
        user("a lizor", "bom"),
        user("zor", "bombastic"),
        user("this is", "before"),
        user("cats", "being"),
        user("zor", "x", "bom"),
        user("zor" + "\n" * 3 + "x", "bom"),
    ],
)
def test_turns_that_meet_by_accident_flag_nothing(turns: tuple[Turn, ...]) -> None:
    assert client(Scope(), *turns) == ()


def test_a_term_within_one_turn_is_no_joined_find() -> None:
    spans = client(Scope(), *user("a zorbom", "b", "zorbom"))
    assert [one.part for one in spans] == ["history", "query"]


def test_a_join_needs_both_of_its_sides_in_scope() -> None:
    turns = (Turn("user", "zor"), Turn("user", "bom"))
    assert client(Scope(history=False), *turns) == ()
    assert reply_spans(MATCHER, "bom", "zor", Scope(), 1)[0].part == "joined"
    assert reply_spans(MATCHER, "bom", "zor", Scope(thinking=False), 1) == ()


WORDS = st.sampled_from(
    ["we", "like", "the", "tea", "of", "May.", "tomorrow", "and", "写", "一首", "诗。", "好"]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.lists(WORDS, min_size=1, max_size=12).map(" ".join), min_size=2, max_size=6))
def test_harmless_turns_never_join_into_a_term(texts: list[str]) -> None:
    assert client(Scope(), *user(*texts)) == ()


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 5), st.integers(0, 3), st.text("xyz .", max_size=700), st.text("xyz .", max_size=700))
def test_a_word_cut_anywhere_is_found_behind_texts_of_any_length(
    at: int, spaces: int, before: str, after: str
) -> None:
    turns = user(f"{before} zorbom"[: len(before) + 1 + at] + " " * spaces, "zorbom"[at:] + " " + after)
    assert [one.term for one in client(Scope(), *turns)] == ["zorbom"]


def test_the_last_user_turn_is_the_query_also_where_others_follow() -> None:
    spans = client(
        only(query=True), Turn("user", "a zorbom"), Turn("assistant", "zorbom"), Turn("tool", "zorbom")
    )
    assert [(one.part, one.turn) for one in spans] == [("query", 0)]


def test_an_exchange_without_a_user_turn_is_matched_too() -> None:
    assert [one.part for one in client(Scope(), Turn("system", "zorbom"))] == ["system"]
    assert client(Scope(), *()) == ()
    assert ask("hi").turns[-1].role == "user"


def test_very_many_turns_are_matched_within_bounds() -> None:
    turns = user(*(["zor", "bom"] * 3000))
    assert len(client(Scope(), *turns)) == 3000


OPTIONS = make_terms(
    [
        (
            "options.yaml",
            TermFile(
                category="made-up",
                en=["gnarf him", TermEntry(text="zorbom", min_gap=9), TermEntry(text="sb", spaced=False)],
                zh=["炸弹", TermEntry(text="bom弹", word_boundary=True)],
                allow=["photo zorbom"],
            ),
        )
    ]
)
BITS = [
    "zorbom",
    "zor",
    "bom",
    "gnarf him",
    "sb",
    "photo zorbom",
    "z0rb",
    "z o r",
    " ",
    ". ",
    "炸弹",
    "弹",
    "x",
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(BITS), max_size=8))
def test_the_shared_automata_find_what_a_matcher_of_the_loosened_list_finds(pieces: list[str]) -> None:
    free = tuple(replace(one, word_boundary=False, min_gap=0) for one in OPTIONS.terms)
    text, matcher = "".join(pieces), Matcher(OPTIONS)
    assert matcher.without_borders().find(text) == Matcher(replace(OPTIONS, terms=free)).find(text)
    assert matcher.terms is OPTIONS


def test_without_borders_words_inside_words_and_close_repeats_are_found() -> None:
    matcher, text = Matcher(OPTIONS), "xzorbomzorbomx"
    assert matcher.find(text) == []
    assert [one.start for one in matcher.without_borders().find(text)] == [1, 7]
