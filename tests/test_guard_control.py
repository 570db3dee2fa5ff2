"""What is done with an exchange: when a verdict is missing, in shadow mode, when the control itself fails."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from ahalab.guard.desk import ReviewDesk
from ahalab.guard.matcher import Hit, Matcher
from ahalab.guard.records import Decision, Delta, Review, Turn
from guard_control import BAD, CLEAN, Scripted, ask, content, make_control, make_policy, run

ERRORS = ["schema", "unknown rule", "time-out", "endpoint: refused", "circuit open"]


def flagged(policy: object, review: Review | Exception, *, stream: bool = True, **more: object) -> Decision:
    control = make_control(make_policy(**policy), Scripted(review), **more)  # type: ignore[arg-type]
    return run(control, ask("hi", stream=stream), Delta(content="a zorbom. "), Delta(finish="stop"))[1]


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("streaming", ["hold", "retract"])
@pytest.mark.parametrize(
    ("on_error", "action", "bypass"),
    [("retract", "retract", ""), ("allow", "release", "on_error: allow"), ("queue", "retract", "")],
)
@pytest.mark.parametrize("error", ERRORS)
def test_a_missing_verdict_follows_on_error(
    on_error: str, action: str, bypass: str, error: str, streaming: str, stream: bool
) -> None:
    policy = {"on_error": on_error, "streaming": streaming, "queue": {"deadline_seconds": 0.01}}
    decision = flagged(policy, Review(error=error), stream=stream)
    assert (decision.action, decision.bypass) == (action, bypass)
    assert decision.review is not None
    assert decision.review.error.endswith(error)
    assert decision.reason == ("content_filter" if action == "retract" else "")


def test_every_bypass_is_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    control = make_control(make_policy(on_error="allow"), Scripted(Review(error="time-out")))
    with caplog.at_level(logging.WARNING):
        run(control, ask("hi", key="key-7"), Delta(content="a zorbom"))
    assert control.counts.of("bypasses", "on_error: allow") == 1
    assert "x1" in caplog.text
    assert "key-7" in caplog.text
    assert "zorbom" not in caplog.text


def test_a_key_that_spends_its_own_budget_opens_no_gate_even_under_allow() -> None:
    policy = make_policy(on_error="allow", budget={"reviews_per_minute": 3})
    control = make_control(policy, Scripted(CLEAN), clock=lambda: 0.0)
    decisions = [run(control, ask("hi", key="flood"), Delta(content="a zorbom"))[1] for _ in range(5)]
    assert [one.action for one in decisions] == ["release"] * 3 + ["retract"] * 2
    assert control.counts.of("bypasses", "on_error: allow") == 0
    assert run(control, ask("hi", key="calm"), Delta(content="a zorbom"))[1].review == CLEAN


@pytest.mark.parametrize("on_error", ["retract", "allow", "queue"])
def test_a_dialogue_padded_beyond_what_the_reviewer_reads_opens_no_gate_and_waits_for_nothing(
    on_error: str,
) -> None:
    reviewer = Scripted(Review(error="too long"), CLEAN)
    control = make_control(make_policy(on_error=on_error), reviewer)
    _, decision = run(control, ask("hi"), Delta(content="a zorbom"))
    assert (decision.action, decision.bypass) == ("retract", "")
    assert len(reviewer.calls) == 1  # what is too long now is too long at the next try


def test_an_open_circuit_opens_the_gate_under_allow_alone() -> None:
    for on_error, action in (("retract", "retract"), ("allow", "release")):
        policy = make_policy(on_error=on_error, budget={"breaker_failures": 1})
        reviewer = Scripted(Review(error="endpoint: refused"))
        control = make_control(policy, reviewer, clock=lambda: 0.0)
        for _ in range(3):
            decision = run(control, ask("hi"), Delta(content="a zorbom"))[1]
        assert decision.review is not None
        assert decision.review.error == "circuit open"
        assert decision.action == action
        assert len(reviewer.calls) == 1


def test_a_queued_reply_waits_unseen_and_is_released_once_reviewed() -> None:
    async def story() -> None:
        control = make_control(make_policy(on_error="queue"), Scripted(Review(error="time-out"), CLEAN))
        control.desk = ReviewDesk(sleep=lambda _: asyncio.sleep(0.01))
        exchange = ask("a zorbom?")
        await control.admit(exchange)
        watch = control.watch(exchange)
        assert watch.feed(Delta(content="words")) == []
        ending = asyncio.ensure_future(watch.finish())
        await asyncio.sleep(0.002)
        assert watch.state == "queued"
        sent, decision = await ending
        assert content(sent) == "words"
        assert decision.action == "release"
        assert "queue" in decision.timings
        assert watch.state == "done"
        assert await watch.finish() == (sent, decision)

    asyncio.run(story())


async def _down() -> str:
    return "database is locked"


async def _broken() -> str:
    raise OSError("gone")


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
@pytest.mark.parametrize("on_error", ["retract", "allow"])
@pytest.mark.parametrize("fault", [{"ready": _down}, {"ready": _broken}, {"matcher": None, "streams": None}])
def test_what_cannot_be_controlled_is_refused_under_every_setting(
    mode: str, on_error: str, fault: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    control = make_control(make_policy(mode=mode, on_error=on_error), **fault)
    sent, decision = run(control, ask("hi"), Delta(content="words"))
    assert (decision.action, decision.reason) == ("refuse", "unavailable")
    assert "cannot check" in content(sent)
    assert control.counts.snapshot()["decisions"] == {"refuse": 1}
    assert "exchange x1" in caplog.text


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
def test_a_filter_that_crashes_on_a_request_refuses_it(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Matcher, "find", lambda *_: 1 / 0)
    control = make_control(make_policy(mode=mode, on_error="allow"))
    decision = run(control, ask("hi"), Delta(content="words"))[1]
    assert (decision.action, decision.reason) == ("refuse", "unavailable")
    assert control.counts.of("filter_crashes") == 1


def test_a_filter_that_crashes_on_a_plain_reply_refuses_it_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        control = make_control()
        exchange = ask("hi", stream=False)
        await control.admit(exchange)
        watch = control.watch(exchange)
        monkeypatch.setattr(Matcher, "find", lambda *_: 1 / 0)
        watch.feed(Delta(content="words"))
        sent, decision = await watch.finish()
        assert (decision.action, decision.reason) == ("refuse", "unavailable")
        assert "words" not in content(sent)

    asyncio.run(story())


def test_a_crash_at_the_end_of_a_shadowed_stream_is_a_counted_bypass(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        control = make_control(make_policy(mode="shadow"))
        exchange = ask("hi")
        await control.admit(exchange)
        watch = control.watch(exchange)
        monkeypatch.setattr(Matcher, "find", lambda *_: 1 / 0)
        shown = watch.feed(Delta(content="words", finish="stop"))
        rest, decision = await watch.finish()
        assert (content(shown), shown[-1].finish, rest) == ("words", "stop", [])
        assert (decision.action, decision.bypass) == ("release", "filter crashed")
        assert control.counts.of("bypasses", "filter crashed") == 1

    asyncio.run(story())


@pytest.mark.parametrize("stream", [True, False])
def test_insecure_lets_traffic_through_and_says_so_each_time(
    stream: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    control = make_control(insecure=True, ready=_down)
    sent, decision = run(control, ask("hi", stream=stream), Delta(content="words"))
    assert (content(sent), decision.action, decision.bypass) == ("words", "release", "insecure")
    monkeypatch.setattr(Matcher, "find", lambda *_: 1 / 0)
    crashing = make_control(insecure=True)
    sent, decision = run(crashing, ask("hi", stream=stream), Delta(content="words"))
    assert (content(sent), decision.action, decision.bypass) == ("words", "release", "insecure")
    assert crashing.counts.of("bypasses", "insecure") == 1
    assert caplog.text.count("bypass (insecure)") == 2


@pytest.mark.parametrize("stream", [True, False])
def test_insecure_is_no_way_around_the_review(stream: bool) -> None:
    control = make_control(reviewer=Scripted(BAD), insecure=True, ready=_down)
    assert run(control, ask("hi", stream=stream), Delta(content="a zorbom"))[1].action == "retract"


@pytest.mark.parametrize("stream", [True, False])
def test_shadow_shows_everything_and_counts_what_it_would_have_done(stream: bool) -> None:
    control = make_control(make_policy(mode="shadow"), Scripted(Review(rules=(2,))))
    sent, decision = run(control, ask("hi", stream=stream), Delta(content="a zorbom"), Delta(finish="stop"))
    assert (content(sent), sent[-1].finish) == ("a zorbom", "stop")
    assert (decision.action, decision.would, decision.category) == ("release", "retract", "violence")
    run(control, ask("hi"), Delta(content="fine"))
    counts = control.counts.snapshot()
    assert counts["shadow_would_retract"] == {"violence": 1}
    assert counts["shadow_exchanges"] == {"": 2}
    assert counts["decisions"] == {"release": 2}
    assert "retracted" not in counts


def test_a_streamed_reply_in_shadow_ends_before_its_review() -> None:
    async def story() -> None:
        reviewer = Scripted(BAD)
        control = make_control(make_policy(mode="shadow"), reviewer)
        exchange = ask("hi")
        await control.admit(exchange)
        sent = control.watch(exchange).feed(Delta(content="a zorbom", finish="length", tokens_out=2))
        assert [one.finish for one in sent] == ["", "length"]
        assert reviewer.calls == []

    asyncio.run(story())


def test_a_keys_mode_goes_before_the_policys_and_queue_in_shadow_only_says_so() -> None:
    for error, would in (("time-out", "queue"), ("", "retract")):
        review = Review(error=error) if error else BAD
        decision = flagged({"on_error": "queue"}, review, mode="shadow")
        assert (decision.action, decision.would) == ("release", would)
    assert flagged({"mode": "shadow"}, BAD, mode="enforce").action == "retract"


def test_the_sample_is_a_function_of_the_exchange_and_of_its_share() -> None:
    policy = make_policy(sample_unflagged=0.2)
    ids = [f"id-{number}" for number in range(2000)]
    drawn = [[make_control(policy).sampled(ask("hi", id=one)) for one in ids] for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert 320 < sum(drawn[0]) < 480
    assert not any(make_control().sampled(ask("hi", id=one)) for one in ids)


@pytest.mark.parametrize("stream", [True, False])
def test_a_sampled_violation_is_a_miss_and_is_retracted(stream: bool) -> None:
    control = make_control(make_policy(sample_unflagged=1.0), Scripted(BAD))
    sent, decision = run(control, ask("hi", stream=stream), Delta(content="unlisted words"))
    assert decision.sampled
    assert not decision.flagged
    assert decision.action == "retract"
    assert control.counts.of("missed_by_keywords", "default") == 1
    assert control.counts.of("retracted", "default") == 1
    assert sent[-1].finish == "content_filter"


def test_a_sample_without_a_verdict_is_released_and_no_bypass() -> None:
    for on_error in ("retract", "allow", "queue"):
        policy = make_policy(sample_unflagged=1.0, on_error=on_error)
        control = make_control(policy, Scripted(Review(error="time-out")))
        decision = run(control, ask("hi"), Delta(content="words"))[1]
        assert (decision.action, decision.sampled, decision.bypass) == ("release", True, "")
        assert control.counts.of("reviews", "time-out") == 1


def test_the_paper_profile_looks_at_the_query_after_the_round_and_retracts() -> None:
    from ahalab.guard.policy import bundled_policy

    reviewer = Scripted(Review(rules=(3,)))
    control = make_control(bundled_policy("paper"), reviewer)
    sent, decision = run(control, ask("of a zorbom"), Delta(thinking="t", content="zorbom words"))
    assert content(sent) == "zorbom words"
    assert decision.action == "retract"
    assert [one.part for one in decision.spans] == ["query"]
    sent, decision = run(control, ask("hi", Turn("user", "zorbom")), Delta(content="zorbom words"))
    assert not decision.flagged
    assert len(reviewer.calls) == 1


def test_checking_needs_no_model_and_remembers_nothing() -> None:
    control = make_control(reviewer=Scripted(BAD))
    decision = asyncio.run(control.check(ask("a zorbom"), "a long enough reply that would be remembered"))
    assert decision.action == "retract"
    assert control.history.size == 0


def test_only_admitted_exchanges_are_watched_and_each_once() -> None:
    control = make_control()
    with pytest.raises(RuntimeError, match="admit"):
        control.watch(ask("hi"))
    run(control, ask("hi"), Delta(content="x"))
    with pytest.raises(RuntimeError, match="admit"):
        control.watch(ask("hi"))


def test_a_huge_request_is_matched_too() -> None:
    decision = asyncio.run(make_control(reviewer=Scripted(BAD)).check(ask("words " * 20_000 + "zorbom")))
    assert decision.flagged


MIXED = "zorb\u0431m " * 400
"""Every word mixes Latin and Cyrillic: as slow to match as a text can be."""


@pytest.mark.parametrize(
    ("turn", "reply", "aside"),
    [
        (Turn("user", "words " * 9_000), "", True),
        (Turn("assistant", "", thinking="words " * 9_000), "", True),
        (Turn("user", MIXED), "", True),
        (Turn("user", "short"), "words " * 9_000, True),
        (Turn("user", "short"), MIXED, True),
        (Turn("user", "short, \u043f\u043e-\u0440\u0443\u0441\u0441\u043a\u0438"), "ok", False),
        (Turn("user", "\u4e2d\u6587" * 5_000), "words", False),
    ],
)
def test_texts_that_take_long_are_matched_beside_the_event_loop(
    turn: Turn, reply: str, aside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, threads = threading.get_ident(), []
    find = Matcher.find

    def watched(matcher: Matcher, text: str) -> list[Hit]:
        if len(text) > 100:
            threads.append(threading.get_ident())
        return find(matcher, text)

    monkeypatch.setattr(Matcher, "find", watched)
    asyncio.run(make_control(reviewer=Scripted(CLEAN)).check(ask("go on", turn), reply))
    assert any(one != main for one in threads) == aside
    assert all(one != main for one in threads) == (aside or not threads)
