"""Who gets a review and when: floods wait behind themselves, circuits, the queue. Time is a number that tests move."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ahalab.guard.budget import FairSlots, Rates
from ahalab.guard.desk import Case, ReviewDesk
from ahalab.guard.policy import Budget, Policy
from ahalab.guard.records import Review
from guard_control import BAD, CLEAN, Scripted, ask, make_policy

DOWN = Review(error="endpoint: refused")


class Time:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.now += seconds


def case(reviewer: Any, policy: Policy, key: str = "k", number: int = 0) -> Case:
    return Case(reviewer, policy, ask("a zorbom", key=key, id=f"{key}-{number}"), "reply", "")


def errors(desk: ReviewDesk, *cases: Case) -> list[str]:
    async def story() -> list[str]:
        return [(await desk.review(one)).error for one in cases]

    return asyncio.run(story())


def test_a_key_has_its_reviews_per_minute_and_no_other_key_pays_for_it() -> None:
    time = Time()
    desk, policy, reviewer = ReviewDesk(time), make_policy(budget={"reviews_per_minute": 2}), Scripted()
    assert errors(desk, *(case(reviewer, policy) for _ in range(4))) == ["", "", "budget", "budget"]
    assert errors(desk, case(reviewer, policy, "other")) == [""]
    time.now = 30.0
    assert errors(desk, case(reviewer, policy), case(reviewer, policy)) == ["", "budget"]
    assert len(reviewer.calls) == 4


def test_idle_time_saves_no_more_than_a_minutes_worth() -> None:
    time = Time()
    rates = Rates(time)
    assert rates.take("k", 3)
    time.now = 10_000.0
    assert [rates.take("k", 3) for _ in range(4)] == [True, True, True, False]


def test_a_flooding_key_delays_nobody_but_itself() -> None:
    async def story() -> None:
        desk, reviewer = ReviewDesk(), Scripted(CLEAN, seconds=0.002)
        policy = make_policy(budget={"reviews_per_minute": 1000, "parallel": 4, "total_parallel": 4})
        flood = [asyncio.ensure_future(desk.review(case(reviewer, policy, "flood", n))) for n in range(60)]
        await asyncio.sleep(0)
        others = [
            asyncio.ensure_future(desk.review(case(reviewer, policy, key, n)))
            for n in range(2)
            for key in "ab"
        ]
        assert [one.error for one in await asyncio.gather(*others)] == [""] * 4
        order = [exchange.key for exchange, _, _ in reviewer.calls]
        # Four places were taken already; then the three keys are served in turn.
        assert max(at for at, key in enumerate(order) if key in "ab") < 4 + 2 * 3
        assert {one.error for one in await asyncio.gather(*flood)} == {""}
        assert reviewer.most == 4
        assert desk.busy == 0

    asyncio.run(story())


def test_a_key_never_has_more_than_its_parallel_reviews() -> None:
    async def story() -> None:
        desk, reviewer = ReviewDesk(), Scripted(CLEAN, seconds=0.001)
        policy = make_policy(budget={"reviews_per_minute": 1000, "parallel": 2, "total_parallel": 64})
        await asyncio.gather(*(desk.review(case(reviewer, policy, "k", n)) for n in range(20)))
        assert reviewer.most == 2

    asyncio.run(story())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["wait", "give up", "work"])), max_size=40))
def test_no_place_is_ever_lost_whoever_gives_up(story: list[tuple[str, str]]) -> None:
    async def play() -> None:
        slots, budget = FairSlots(), Budget(parallel=2, total_parallel=3)
        done: list[str] = []

        async def work(key: str) -> None:
            await slots.take(key, budget)
            try:
                assert slots.total <= 3
                await asyncio.sleep(0)
                done.append(key)
            finally:
                slots.give(key, budget)

        tasks = []
        for key, what in story:
            tasks.append(asyncio.ensure_future(work(key)))
            if what != "wait":
                await asyncio.sleep(0)
            if what == "give up":
                tasks[len(tasks) // 2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert slots.total == 0
        assert not slots._busy
        assert not slots._waiting
        assert len(done) == sum(not one.cancelled() for one in tasks)

    asyncio.run(play())


def test_a_place_given_in_the_moment_of_giving_up_goes_to_the_next() -> None:
    async def story() -> None:
        slots, budget = FairSlots(), Budget(parallel=1, total_parallel=1)
        await slots.take("a", budget)
        late, next_one = (asyncio.ensure_future(slots.take(key, budget)) for key in "bc")
        await asyncio.sleep(0)
        slots.give("a", budget)  # b has it now, but has not run
        late.cancel()
        await next_one
        assert slots.total == 1
        slots.give("c", budget)
        assert slots.total == 0

    asyncio.run(story())


def test_failures_in_a_row_open_the_circuit_and_one_probe_closes_it() -> None:
    time = Time()
    policy = make_policy(budget={"breaker_failures": 3, "breaker_seconds": 10})
    desk, reviewer = ReviewDesk(time), Scripted(DOWN)
    assert (
        errors(desk, *(case(reviewer, policy) for _ in range(5))) == [DOWN.error] * 3 + ["circuit open"] * 2
    )
    assert len(reviewer.calls) == 3
    time.now = 10.0
    assert errors(desk, case(reviewer, policy), case(reviewer, policy)) == [DOWN.error, "circuit open"]
    time.now = 20.0
    reviewer.script = [CLEAN]
    assert errors(desk, *(case(reviewer, policy) for _ in range(3))) == ["", "", ""]


def test_only_one_probe_goes_out_at_a_time() -> None:
    async def story() -> None:
        time = Time()
        policy = make_policy(budget={"breaker_failures": 1, "breaker_seconds": 10})
        desk, reviewer = ReviewDesk(time), Scripted(DOWN, CLEAN)
        await desk.review(case(reviewer, policy))
        time.now, reviewer.seconds = 10.0, 0.01
        said = await asyncio.gather(*(desk.review(case(reviewer, policy)) for _ in range(5)))
        assert sorted(one.error for one in said) == ["", *["circuit open"] * 4]

    asyncio.run(story())


def test_a_probe_that_is_given_up_does_not_keep_the_circuit_open_for_ever() -> None:
    async def story() -> None:
        time = Time()
        policy = make_policy(budget={"breaker_failures": 1, "breaker_seconds": 10})
        desk, reviewer = ReviewDesk(time), Scripted(DOWN, CLEAN)
        await desk.review(case(reviewer, policy))
        time.now, reviewer.seconds = 10.0, 5.0
        probe = asyncio.ensure_future(desk.review(case(reviewer, policy)))
        await asyncio.sleep(0.005)
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        reviewer.seconds = 0.0
        assert (await desk.review(case(reviewer, policy))).error == ""

    asyncio.run(story())


def test_one_keys_failures_open_its_own_circuit_only() -> None:
    policy = make_policy(budget={"breaker_failures": 3, "reviews_per_minute": 1000})
    desk = ReviewDesk(Time())
    assert errors(desk, *(case(Scripted(DOWN), policy, "bad") for _ in range(9)))[-1] == "circuit open"
    assert errors(desk, case(Scripted(), policy, "good")) == [""]
    assert desk.breakers.state() == "closed"


def test_failures_of_several_keys_open_the_circuit_for_all() -> None:
    policy = make_policy(budget={"breaker_failures": 3})
    desk = ReviewDesk(Time())
    errors(desk, *(case(Scripted(DOWN), policy, key) for key in "abc"))
    assert desk.breakers.state() == "open"
    untouched = Scripted()
    assert errors(desk, case(untouched, policy, "d")) == ["circuit open"]
    assert untouched.calls == []


def test_a_success_between_ends_the_row_of_several_keys_too() -> None:
    policy = make_policy(budget={"breaker_failures": 3})
    desk = ReviewDesk(Time())
    errors(desk, case(Scripted(DOWN), policy, "a"), case(Scripted(), policy, "b"))
    errors(desk, *(case(Scripted(DOWN), policy, "c") for _ in range(3)))
    assert desk.breakers.state() == "closed"


@pytest.mark.parametrize("error", ["schema", "unknown rule"])
def test_answers_that_cannot_be_read_open_no_circuit(error: str) -> None:
    policy = make_policy(budget={"breaker_failures": 2})
    reviewer = Scripted(Review(error=error))
    assert set(errors(ReviewDesk(Time()), *(case(reviewer, policy) for _ in range(6)))) == {error}


def test_a_reviewer_that_hangs_breaks_or_invents_rules_is_an_error_and_no_exception() -> None:
    policy = make_policy(budget={"review_seconds": 0.02})
    assert errors(ReviewDesk(), case(Scripted(CLEAN, seconds=60.0), policy)) == ["time-out"]
    assert errors(ReviewDesk(), case(Scripted(ValueError("x")), policy)) == ["endpoint: ValueError"]
    assert errors(ReviewDesk(), case(Scripted(Review(rules=(2, 77))), policy)) == ["unknown rule"]
    assert errors(ReviewDesk(), case(None, policy)) == ["endpoint: no reviewer is configured"]


def test_who_waits_too_long_for_a_place_gives_up() -> None:
    async def story() -> None:
        patient, hasty = (make_policy(budget={"parallel": 1, "review_seconds": one}) for one in (60.0, 0.02))
        desk = ReviewDesk()
        first = asyncio.ensure_future(desk.review(case(Scripted(CLEAN, seconds=0.2), patient)))
        await asyncio.sleep(0)
        assert (await desk.review(case(Scripted(), hasty))).error == "budget"
        assert (await first).error == ""
        assert desk.busy == 0

    asyncio.run(story())


def test_samples_take_only_places_that_are_free_and_nothing_of_the_rate() -> None:
    async def story() -> None:
        policy = make_policy(budget={"parallel": 1, "reviews_per_minute": 1})
        desk, slow = ReviewDesk(), Scripted(CLEAN, seconds=0.01)
        sample = asyncio.ensure_future(desk.sample(case(slow, policy)))
        await asyncio.sleep(0.001)
        assert (await desk.sample(case(slow, policy))).error == "budget"
        assert (await sample).error == ""
        assert (await desk.review(case(slow, policy))).error == ""

    asyncio.run(story())


def queued(desk: ReviewDesk, *cases: Case) -> list[Review]:
    async def story() -> list[Review]:
        return list(await asyncio.gather(*(desk.queue(one, DOWN) for one in cases)))

    return asyncio.run(story())


def test_the_queue_waits_for_a_reviewer_that_comes_back() -> None:
    time = Time()
    policy = make_policy(on_error="queue", budget={"breaker_failures": 2, "breaker_seconds": 5})
    desk, reviewer = ReviewDesk(time, time.sleep), Scripted(DOWN, DOWN, DOWN, BAD)
    assert queued(desk, case(reviewer, policy)) == [
        Review(rules=BAD.rules, seconds=0.0),
    ]
    assert 5 < time.now < 30
    assert desk.queued == 0


def test_the_queue_gives_up_at_its_deadline_with_the_last_error() -> None:
    time = Time()
    policy = make_policy(on_error="queue", queue={"deadline_seconds": 3})
    desk, reviewer = ReviewDesk(time, time.sleep), Scripted(DOWN)
    assert [one.error for one in queued(desk, case(reviewer, policy))] == [
        f"queue deadline after {DOWN.error}"
    ]
    assert time.now == pytest.approx(3.0)
    assert desk.queued == 0


def test_a_full_queue_throws_out_the_newest_of_the_greediest_key() -> None:
    async def story() -> None:
        desk, policy = ReviewDesk(), make_policy(on_error="queue", queue={"size": 4})
        desk._sleep = asyncio.sleep
        waiting = {
            number: asyncio.ensure_future(desk.queue(case(Scripted(DOWN), policy, "flood", number), DOWN))
            for number in range(4)
        }
        await asyncio.sleep(0)
        refused = await desk.queue(case(Scripted(DOWN), policy, "flood", 9), DOWN)
        assert refused.error == f"queue full after {DOWN.error}"
        other = asyncio.ensure_future(desk.queue(case(Scripted(DOWN), policy, "other"), DOWN))
        assert (await waiting[3]).error == f"queue full after {DOWN.error}"
        assert desk.queued == 4
        assert not any(waiting[number].done() for number in range(3))
        for task in (*waiting.values(), other):
            task.cancel()
        await asyncio.gather(*waiting.values(), other, return_exceptions=True)
        assert desk.queued == 0

    asyncio.run(story())


def test_waiting_for_a_place_does_not_lengthen_the_queues_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time()
    policy = make_policy(on_error="queue", queue={"deadline_seconds": 30}, budget={"parallel": 1})
    desk, hog = ReviewDesk(time, time.sleep), Scripted(CLEAN, seconds=3600)
    given: list[float] = []

    async def judged(_reviewer: object, _case: Case, seconds: float) -> Review:
        given.append(seconds)
        time.now += seconds
        return DOWN

    async def story() -> None:
        first = asyncio.ensure_future(desk.review(case(hog, policy)))
        while not hog.now:
            await asyncio.sleep(0)
        monkeypatch.setattr(desk, "_judged", judged)
        second = asyncio.ensure_future(desk.queue(case(Scripted(), policy, number=1), DOWN))
        while not desk._slots.waiting("k"):
            await asyncio.sleep(0)
        time.now = 20.0  # it waits for its place
        first.cancel()
        assert (await second).error == f"queue deadline after {DOWN.error}"
        assert given == [10.0]
        assert time.now == 30.0

    asyncio.run(story())


@pytest.mark.parametrize(("left", "opens"), [(60.0, True), (59.0, False)])
def test_a_time_out_that_the_queues_deadline_made_says_nothing_about_the_reviewer(
    left: float, opens: bool
) -> None:
    policy = make_policy(budget={"breaker_failures": 1, "review_seconds": 60})
    desk, silent = ReviewDesk(), Scripted(TimeoutError("made to fail"))
    review = asyncio.run(desk._judged(silent, case(silent, policy), left))
    assert review.error == "time-out"
    assert desk.breakers.lets_through("k", policy.budget) is not opens
