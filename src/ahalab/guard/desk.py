"""Where flagged dialogues wait for the reviewer: budget, circuit, time limit, and the queue of `on_error: queue`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from ahalab.guard.budget import Breakers, Clock, FairSlots, Rates
from ahalab.guard.policy import Policy
from ahalab.guard.protocols import Reviewer
from ahalab.guard.records import Exchange, Review

_LOG = logging.getLogger(__name__)
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 2.0
"""Seconds between two tries of a queued review; doubled each time."""
BUDGET = "budget"
CIRCUIT = "circuit open"
_NOT_THE_REVIEWERS_FAULT = ("schema", "unknown rule", "too long", BUDGET, CIRCUIT)
"""Errors that leave the circuit alone: a hostile dialogue can provoke an answer that cannot be read, or be too long."""


@dataclass(frozen=True, slots=True)
class Case:
    """A dialogue for the reviewer, with what it is judged by: a policy taken up meanwhile changes nothing for it."""

    reviewer: Reviewer | None
    policy: Policy
    exchange: Exchange
    reply: str
    thinking: str


@dataclass(slots=True)
class _Queued:
    key: str
    number: int
    evicted: asyncio.Event


class ReviewDesk:
    """The budgets of one policy's reviewer. A policy taken up again keeps its desk: budgets and circuits stay."""

    def __init__(
        self, clock: Clock = time.monotonic, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._rates, self._slots, self.breakers = Rates(clock), FairSlots(), Breakers(clock)
        self._queue: list[_Queued] = []
        self._entered = 0

    @property
    def queued(self) -> int:
        """Replies in the queue."""
        return len(self._queue)

    @property
    def busy(self) -> int:
        """Reviews under way."""
        return self._slots.total

    async def review(self, case: Case) -> Review:
        """One review of a flagged dialogue. No verdict is a `Review` with `error`; never raises for that."""
        budget = case.policy.budget
        if not self._rates.take(case.exchange.key, budget.reviews_per_minute):
            return Review(error=BUDGET)
        return await self._call(case, budget.review_seconds)

    async def sample(self, case: Case) -> Review:
        """A review of an unflagged dialogue: only when a place is free at once. It costs the key's rate nothing."""
        budget = case.policy.budget
        if not self._slots.free(case.exchange.key, budget):
            return Review(error=BUDGET)
        return await self._call(case, budget.review_seconds)

    async def queue(self, case: Case, last: Review) -> Review:
        """Tries again until there is a verdict or the deadline has passed; then the last error is given.

        A full queue throws out the newest of the key that holds most of it, so one key cannot fill it for others.
        """
        policy, key = case.policy, case.exchange.key
        entry = self._enter(key, policy.queue.size)
        if entry is None:
            return replace(last, error=f"queue full after {last.error}")
        deadline = self._clock() + policy.queue.deadline_seconds
        pause = _FIRST_PAUSE
        try:
            while True:
                left = deadline - self._clock()
                if entry.evicted.is_set():
                    return replace(last, error=f"queue full after {last.error}")
                if left <= 0:
                    return replace(last, error=f"queue deadline after {last.error}")
                await self._pause(entry, min(pause, left))
                pause = min(2 * pause, _LONGEST_PAUSE)
                left = deadline - self._clock()
                if left <= 0 or entry.evicted.is_set():
                    continue
                if not self._rates.take(key, policy.budget.reviews_per_minute):
                    last = replace(last, error=BUDGET)
                    continue
                last = await self._call(case, min(left, policy.budget.review_seconds), within=left)
                if not last.error:
                    return last
        finally:
            if entry in self._queue:
                self._queue.remove(entry)

    async def _pause(self, entry: _Queued, seconds: float) -> None:
        woken = asyncio.ensure_future(entry.evicted.wait())
        slept = asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait({woken, slept}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            woken.cancel()
            slept.cancel()

    def _enter(self, key: str, size: int) -> _Queued | None:
        if len(self._queue) >= size:
            held: dict[str, int] = {}
            for one in self._queue:
                held[one.key] = held.get(one.key, 0) + 1
            greediest = max(held, key=lambda one: held[one])
            if held[greediest] <= held.get(key, 0) + 1:
                return None
            newest = max((one for one in self._queue if one.key == greediest), key=lambda one: one.number)
            self._queue.remove(newest)
            newest.evicted.set()
        self._entered += 1
        entry = _Queued(key, self._entered, asyncio.Event())
        self._queue.append(entry)
        return entry

    async def _call(self, case: Case, seconds: float, within: float | None = None) -> Review:
        """`seconds` to wait for a place, as long again for the review, and both `within` so many if given."""
        if case.reviewer is None:
            return Review(error="endpoint: no reviewer is configured")
        key, budget = case.exchange.key, case.policy.budget
        began = self._clock()
        if not self.breakers.lets_through(key, budget):
            return Review(error=CIRCUIT)
        try:
            async with asyncio.timeout(seconds):
                await self._slots.take(key, budget)
        except TimeoutError:
            return Review(error=BUDGET, seconds=self._clock() - began)
        try:
            if not self.breakers.lets_through(key, budget):  # it opened while this one waited
                return Review(error=CIRCUIT, seconds=self._clock() - began)
            if within is not None:
                seconds = min(seconds, within - (self._clock() - began))
            return await self._judged(case.reviewer, case, seconds)
        finally:
            self._slots.give(key, budget)

    async def _judged(self, reviewer: Reviewer, case: Case, seconds: float) -> Review:
        key, budget = case.exchange.key, case.policy.budget
        began = self._clock()
        self.breakers.begin(key)
        good: bool | None = None
        try:
            async with asyncio.timeout(seconds):
                review = await reviewer.review(case.exchange, case.reply, case.thinking)
            if not review.error and not set(review.rules) <= case.policy.ids:
                review = replace(review, rules=(), error="unknown rule")
            if not review.error:
                good = True
            elif not review.error.startswith(_NOT_THE_REVIEWERS_FAULT):
                good = False
        except TimeoutError:
            # Where the queue's deadline left less than a whole review's time, it says nothing about the reviewer.
            good = False if seconds >= budget.review_seconds else None
            review = Review(error="time-out", calls=1)
        except Exception as error:  # a back end that breaks its promise must not end the exchange
            _LOG.exception("the reviewer failed on exchange %s", case.exchange.id)
            good, review = False, Review(error=f"endpoint: {type(error).__name__}", calls=1)
        finally:
            self.breakers.ended(key, good, budget)
        return review if review.seconds else replace(review, seconds=self._clock() - began)
