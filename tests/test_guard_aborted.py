"""A review that the end of the gateway gives up, and what an error says of text that was shown before it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ahalab.guard.control import RiskControl
from ahalab.guard.history import RetractedReplies
from ahalab.guard.records import Decision, Delta, Exchange, Review, Turn
from ahalab.guard.watching import Watch
from guard_control import BAD, CLEAN, Scripted, ask, content, make_control, make_policy

SLOW = 3600.0
REPLY = "A reply about the zorbom that is long enough to be remembered."


async def watched(control: RiskControl, exchange: Exchange, *pieces: Delta) -> tuple[Watch, list[Delta]]:
    """A watch that was fed, and what the client has seen."""
    assert await control.admit(exchange) is None
    watch = control.watch(control.prepared(exchange))
    return watch, [one for piece in pieces for one in watch.feed(piece)]


async def aborted(watch: Watch) -> tuple[list[Delta], Decision]:
    """As the gateway ends it: `finish` is cancelled, then the review is given up."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await watch.finish()
    return await watch.aborted()


@pytest.mark.parametrize("streaming", ["hold", "retract"])
@pytest.mark.parametrize("on_error", ["retract", "allow", "queue"])
def test_a_review_given_up_retracts_counts_and_remembers_the_reply(streaming: str, on_error: str) -> None:
    async def story() -> None:
        policy = make_policy(streaming=streaming, on_error=on_error)
        script = Review(error="schema") if on_error == "queue" else CLEAN
        control = make_control(policy, Scripted(script, seconds=0.0 if on_error == "queue" else SLOW))
        watch, _ = await watched(control, ask("hi"), Delta(content=REPLY))
        rest, decision = await aborted(watch)
        assert rest == []
        assert (decision.action, decision.would, decision.reason) == ("retract", "retract", "shutdown")
        assert decision.flagged
        assert not decision.bypass
        assert decision.review == Review(error="shutdown")
        assert control.counts.of("decisions", "retract") == 1
        refused = await control.admit(ask("go on", Turn("assistant", REPLY), id="x2"))
        assert refused is not None
        assert refused.reason == "retracted_history"
        assert await watch.aborted() == await watch.finish() == (rest, decision)  # concluded once
        assert control.counts.of("decisions", "retract") == 1

    asyncio.run(story())


def test_in_shadow_a_review_given_up_releases_and_remembers_nothing() -> None:
    async def story() -> None:
        history = RetractedReplies(b"a secret of the tests")
        control = make_control(reviewer=Scripted(CLEAN, seconds=SLOW), history=history, mode="shadow")
        watch, _ = await watched(control, ask("hi"), Delta(content=REPLY))
        _, decision = await aborted(watch)
        assert (decision.action, decision.would) == ("release", "retract")
        assert history.size == 0

    asyncio.run(story())


def test_a_reply_that_was_only_sampled_is_released_when_its_review_is_given_up() -> None:
    async def story() -> None:
        control = make_control(make_policy(sample_unflagged=1.0), Scripted(BAD, seconds=SLOW))
        watch, _ = await watched(control, ask("hi", stream=False), Delta(content="harmless", finish="stop"))
        rest, decision = await aborted(watch)
        assert content(rest) == "harmless"
        assert rest[-1].finish == "stop"
        assert decision.action == "release"
        assert decision.sampled
        assert decision.review == Review(error="shutdown")

    asyncio.run(story())


def test_a_verdict_that_was_there_already_stands_when_the_rest_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def slowly(*_: object) -> None:
        await asyncio.sleep(SLOW)

    async def story() -> None:
        control = make_control(make_policy(sample_unflagged=1.0), Scripted(BAD))
        watch, _ = await watched(
            control, ask("hi", stream=False), Delta(content=REPLY.replace("zorbom", "sun"))
        )
        with monkeypatch.context() as patch:
            patch.setattr(control, "remember", slowly)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await watch.finish()
        rest, decision = await watch.aborted()
        assert (decision.action, decision.reason) == ("retract", "content_filter")
        assert rest[-1].finish == "content_filter"
        assert control.history.size > 0

    asyncio.run(story())


def took_back(extra: dict[str, Any]) -> tuple[bool, str]:
    return extra["ahalab"]["retracted"], extra["ahalab"]["reason"]


def test_text_that_was_shown_and_not_judged_clean_is_taken_back_beside_an_error() -> None:
    async def story() -> None:
        policy = make_policy(streaming="retract")
        watch, seen = await watched(make_control(policy), ask("hi"), Delta(content=REPLY))
        assert content(seen) == REPLY
        assert took_back(watch.taken_back()) == (True, "unavailable")  # nothing was decided at all
        watch, _ = await watched(
            make_control(policy, Scripted(CLEAN, seconds=SLOW)), ask("hi"), Delta(content=REPLY)
        )
        _, decision = await aborted(watch)
        assert took_back(watch.taken_back(decision)) == (True, "unavailable")
        watch, _ = await watched(make_control(policy, Scripted(BAD)), ask("hi"), Delta(content=REPLY))
        rest, decision = await watch.finish()
        assert watch.taken_back(decision) == rest[-1].extra  # the same words as without the error

    asyncio.run(story())


def test_what_was_judged_clean_or_never_shown_is_not_taken_back() -> None:
    async def story() -> None:
        policy = make_policy(streaming="retract")
        watch, _ = await watched(make_control(policy, Scripted(CLEAN)), ask("hi"), Delta(content=REPLY))
        _, decision = await watch.finish()
        assert watch.taken_back(decision) == {}
        for exchange in (ask("hi"), ask("hi", stream=False)):
            watch, seen = await watched(
                make_control(reviewer=Scripted(BAD)), exchange, Delta(content="zorbom!")
            )
            assert seen == []
            assert watch.taken_back() == {}
            _, decision = await watch.finish()
            assert watch.taken_back(decision) == {}

    asyncio.run(story())
