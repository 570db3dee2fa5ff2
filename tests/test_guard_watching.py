"""What a client sees of a reply: in `hold` no prefix of a term, in `retract` everything and then the taking back."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ahalab.guard.matcher import Matcher
from ahalab.guard.policy import Policy
from ahalab.guard.records import Decision, Delta, Review
from ahalab.validation import validate
from docs_pages import blocks
from guard_control import BAD, CLEAN, Scripted, ask, content, make_control, make_policy, play, run, thinking

PIECES = [
    "zorbom",
    "ZORBOM",
    "z0rb0m",
    "z o r b o m",
    "gnarf",
    "gnarf him",
    "him",
    "zor",
    "s",
    "b",
    "bom",
    "sb",
    "炸",
    "弹",
    "炸弹",
]
PIECES += [
    "三个",
    "字",
    "photo zorbom",
    "拆",
    "专家",
    "mild",
    " ",
    "\n\n",
    ". ",
    "the ",
    "a",
    "\u200b",
    "x",
    "z",
    "o",
    "，",
]
TEXT = st.lists(st.sampled_from(PIECES), max_size=8).map("".join)
CUTS = st.lists(st.integers(1, 7), min_size=1, max_size=40)


def cut(text: str, sizes: list[int]) -> list[str]:
    pieces, sizes_again = [], itertools.cycle(sizes)
    while text:
        size = next(sizes_again)
        pieces.append(text[:size])
        text = text[size:]
    return pieces


def deltas_of(thought: str, answer: str, sizes: list[int]) -> list[Delta]:
    return [
        *(Delta(thinking=one) for one in cut(thought, sizes)),
        *(Delta(content=one) for one in cut(answer, sizes)),
        Delta(finish="stop", tokens_in=3, tokens_out=7),
    ]


@settings(max_examples=400, deadline=None)
@given(TEXT, TEXT, CUTS)
def test_hold_never_shows_any_character_of_a_held_term(thought: str, answer: str, sizes: list[int]) -> None:
    control = make_control(reviewer=Scripted(BAD))
    sent, decision = run(control, ask("hello"), *deltas_of(thought, answer, sizes))
    if not decision.flagged:
        assert (thinking(sent), content(sent)) == (thought, answer)
        assert sent[-1].finish == "stop"
        return
    assert decision.action == "retract"
    assert sent[-1].finish == "content_filter"
    text = sent[-1].extra["ahalab"]["text"]
    shown = content(sent) if content(sent) != text else ""
    assert thought.startswith(thinking(sent))
    assert answer.startswith(shown)
    for span in decision.spans:
        begins_in_thinking = span.part in ("thinking", "joined")
        assert len(thinking(sent) if begins_in_thinking else shown) <= span.start
        if span.part == "joined":
            assert shown == ""


@settings(max_examples=150, deadline=None)
@given(TEXT, TEXT, CUTS)
def test_hold_releases_every_character_after_a_clean_review(
    thought: str, answer: str, sizes: list[int]
) -> None:
    sent, decision = run(make_control(), ask("hello"), *deltas_of(thought, answer, sizes))
    assert decision.action == "release"
    assert (thinking(sent), content(sent)) == (thought, answer)
    assert [one.finish for one in sent if one.finish] == ["stop"]
    assert (sent[-1].tokens_in, sent[-1].tokens_out) == (3, 7)


@settings(max_examples=150, deadline=None)
@given(
    TEXT,
    TEXT,
    CUTS,
    st.sampled_from(["hold", "retract"]),
    st.sampled_from([CLEAN, BAD, Review(error="schema")]),
)
def test_streamed_and_plain_replies_get_the_same_decision(
    thought: str, answer: str, sizes: list[int], streaming: str, review: Review
) -> None:
    policy = make_policy(streaming=streaming, sample_unflagged=0.5)
    decisions = []
    for stream in (True, False):
        control = make_control(policy, Scripted(review), clock=lambda: 0.0)
        decisions.append(run(control, ask("hello", stream=stream), *deltas_of(thought, answer, sizes))[1])
    decisions.append(
        asyncio.run(
            make_control(policy, Scripted(review), clock=lambda: 0.0).check(ask("hello"), answer, thought)
        )
    )
    assert decisions[0] == decisions[1] == decisions[2]


@settings(max_examples=100, deadline=None)
@given(TEXT, TEXT, CUTS)
def test_retract_mode_shows_everything_at_once_and_then_takes_it_back(
    thought: str, answer: str, sizes: list[int]
) -> None:
    control = make_control(make_policy(streaming="retract"), Scripted(BAD))
    sent, decision = run(control, ask("hello"), *deltas_of(thought, answer, sizes))
    assert thinking(sent) == thought
    if decision.flagged:
        assert decision.action == "retract"
        assert sent[-1].finish == "content_filter"
        assert content(sent) == (answer or sent[-1].extra["ahalab"]["text"])
        assert [one for one in sent if one.extra] == [sent[-1]]
    else:
        assert content(sent) == answer
        assert sent[-1].finish == "stop"


def test_a_flagged_query_in_hold_withholds_the_whole_reply_until_the_review() -> None:
    async def story() -> None:
        reviewer = Scripted(CLEAN)
        control = make_control(reviewer=reviewer)
        exchange = ask("tell me of zorbom")
        assert await control.admit(exchange) is None
        watch = control.watch(exchange)
        assert watch.feed(Delta(thinking="hm", content="fine words")) == []
        assert watch.shown == (0, 0)
        assert reviewer.calls == []
        sent, decision = await watch.finish()
        assert content(sent) == "fine words"
        assert decision.flagged
        assert decision.action == "release"
        assert reviewer.calls == [(exchange, "fine words", "hm")]

    asyncio.run(story())


def test_the_extension_chunk_says_what_was_retracted_and_why() -> None:
    sent, decision = run(
        make_control(reviewer=Scripted(Review(rules=(2,)))), ask("hi"), Delta(content="a zorbom")
    )
    assert sent[-1].extra == {
        "ahalab": {
            "retracted": True,
            "verdict_id": "x1",
            "category": "violence",
            "reason": "content_filter",
            "text": sent[-1].extra["ahalab"]["text"],
        }
    }
    assert "emergency" in sent[-1].extra["ahalab"]["text"]
    assert content(sent) == "a "  # something was shown, so the text goes out in the extension only
    assert decision.category == "violence"
    assert decision.review is not None
    assert decision.review.rules == (2,)


def test_a_plain_reply_is_the_retraction_text_alone() -> None:
    for streaming in ("hold", "retract"):
        control = make_control(make_policy(streaming=streaming), Scripted(BAD))
        sent, _ = run(
            control, ask("hi", stream=False), Delta(thinking="t", content="words and a zorbom", finish="stop")
        )
        assert content(sent) == sent[-1].extra["ahalab"]["text"]
        assert thinking(sent) == ""


def test_an_upstreams_extra_fields_and_unknown_finishes_never_pass() -> None:
    sent, _ = run(
        make_control(),
        ask("hi"),
        Delta(content="words", extra={"tool": "zorbom"}),
        Delta(finish="tool_calls"),
    )
    assert all(not one.extra for one in sent)
    assert sent[-1].finish == "stop"


def test_thinking_that_goes_on_after_the_answer_began_waits_for_the_end() -> None:
    control = make_control()
    sent: list[Delta] = []

    async def story() -> None:
        exchange = ask("hi")
        await control.admit(exchange)
        watch = control.watch(exchange)
        for delta in (
            Delta(thinking="one "),
            Delta(content="two "),
            Delta(thinking="zor"),
            Delta(content="bom"),
        ):
            sent.extend(watch.feed(delta))
        assert (thinking(sent), content(sent)) == ("one ", "two ")
        rest, decision = await watch.finish()
        assert (thinking(rest), content(rest)) == ("zor", "bom")
        assert not decision.flagged

    asyncio.run(story())


@pytest.mark.parametrize(
    ("thought", "answer"),
    [
        ("I say zor", "bom now"),
        ("I say gnarf ", "\n\nhim now"),
        ("I say gnarf", "him"),
        ("I like s \n", "b"),
        ("说三个", "字吧"),
        ("炸", "弹"),
    ],
)
def test_a_term_split_over_thinking_and_answer_is_held_and_flagged(thought: str, answer: str) -> None:
    for size in range(1, 12):
        sent, decision = run(
            make_control(reviewer=Scripted(BAD)), ask("hi"), *deltas_of(thought, answer, [size])
        )
        assert [one.part for one in decision.spans] == ["joined"]
        span = decision.spans[0]
        assert thinking(sent) == thought[: span.start]
        assert content(sent) == sent[-1].extra["ahalab"]["text"]


@pytest.mark.parametrize(
    ("thought", "answer"),
    [
        ("I say gnarf.", "him"),
        ("I like zor.", "Bom dia"),
        ("爱炸", "弹琴的人"),
        ("an sbc as", "sb"),
        ("a s", "bc"),
    ],
)
def test_an_accidental_join_flags_nothing(thought: str, answer: str) -> None:
    decision = asyncio.run(make_control().check(ask("hi"), answer.replace("sb", "so"), thought))
    assert decision.spans == ()


def test_the_filter_breaking_in_mid_stream_shows_nothing_more_and_gives_a_well_formed_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def story(streaming: str, *, insecure: bool = False) -> tuple[list[Delta], Decision]:
        control = make_control(make_policy(streaming=streaming), insecure=insecure)
        exchange = ask("hi")
        await control.admit(exchange)
        watch = control.watch(exchange)
        sent = watch.feed(Delta(content="shown. "))
        with monkeypatch.context() as patch:
            patch.setattr("ahalab.guard.stream.Stream.feed", _broken)
            patch.setattr(Matcher, "find", _broken)
            sent += watch.feed(Delta(content="unseen by the filter"))
            rest, decision = await watch.finish()
        assert control.counts.of("filter_crashes") >= 1
        return [*sent, *rest], decision

    sent, decision = asyncio.run(story("hold"))
    assert content(sent) == "shown. "
    assert sent[-1].finish == "content_filter"
    assert decision.action == "retract"
    assert decision.reason == "unavailable"
    sent, decision = asyncio.run(story("retract"))
    assert sent[-1].finish == "content_filter"
    assert decision.action == "retract"
    sent, decision = asyncio.run(story("hold", insecure=True))
    assert content(sent) == "shown. unseen by the filter"
    assert decision.bypass == "insecure"


def _broken(*_: object) -> list[object]:
    raise ArithmeticError("made to fail")


def test_terms_in_any_view_are_held_from_their_first_character() -> None:
    """Exhaustive over all ways to cut a short reply in up to three pieces."""
    for text in ("a zorbom!", "a z-o-r-b-o-m", "gnarf  him", "ZORB0M"):
        begin = next(at for at, one in enumerate(text) if one.lower() in "zg")
        for first, second in itertools.combinations(range(len(text) + 1), 2):
            pieces = [text[:first], text[first:second], text[second:]]
            sent, decision = asyncio.run(
                play(make_control(reviewer=Scripted(BAD)), ask("hi"), [Delta(content=one) for one in pieces])
            )
            assert decision.action == "retract"
            shown = "" if content(sent) == sent[-1].extra["ahalab"]["text"] else content(sent)
            assert text[:begin].startswith(shown)


def test_the_page_shows_the_extension_and_the_policy_as_they_are() -> None:
    page = Path(__file__).parent.parent / "docs" / "guard.md"
    sent, _ = run(make_control(reviewer=Scripted(BAD)), ask("hi"), Delta(content="a zorbom"))
    assert set(json.loads(blocks(page, "json")[0])["ahalab"]) == set(sent[-1].extra["ahalab"])
    shown = validate(Policy, yaml.safe_load(blocks(page, "text")[0]), "the page")
    defaults = Policy(name="ours", standards=shown.standards, description="")
    own = {"retraction", "resource"}
    assert shown.model_dump(exclude=own) == defaults.model_dump(exclude=own)
    assert set(yaml.safe_load(blocks(page, "text")[0])) == set(Policy.model_fields) - {"description"}
