"""Who may use the reviewer, and when: a rate per key, places shared fairly over keys, and circuit breakers."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from ahalab.guard.policy import Budget

Clock = Callable[[], float]
MOST_KEYS = 10_000
"""Keys whose rate and failures are kept; the longest unused is forgotten."""


class Rates:
    """A bucket of reviews for each key: it holds a minute's worth and fills up evenly."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Key → (reviews left, when that was counted)."""

    def take(self, key: str, per_minute: int) -> bool:
        """Whether this key may have one more review now."""
        now = self._clock()
        left, then = self._buckets.pop(key, (float(per_minute), now))
        left = min(float(per_minute), left + (now - then) * per_minute / 60)
        allowed = left >= 1
        self._buckets[key] = (left - 1 if allowed else left, now)
        while len(self._buckets) > MOST_KEYS:
            self._buckets.popitem(last=False)
        return allowed


class FairSlots:
    """Places at the reviewer. Who waits is served key by key in turn, so a key that floods waits behind itself only."""

    def __init__(self) -> None:
        self._busy: dict[str, int] = {}
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()
        self.total = 0
        """Places taken."""

    def waiting(self, key: str) -> int:
        """Reviews of a key that wait for a place."""
        return len(self._waiting.get(key, ()))

    def free(self, key: str, budget: Budget) -> bool:
        """Whether a review of this key would begin at once."""
        return self.total < budget.total_parallel and self._busy.get(key, 0) < budget.parallel

    async def take(self, key: str, budget: Budget) -> None:
        """Waits for a place, which `give` must hand back. One who is cancelled while waiting has none."""
        if self.free(key, budget) and not self.waiting(key):
            self._begin(key)
        else:
            await self._wait(key, budget)

    def give(self, key: str, budget: Budget) -> None:
        """A place is free again: the next in turn begins."""
        self._end(key)
        self._serve(budget)

    async def _wait(self, key: str, budget: Budget) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the place came in the moment of giving up
                self.give(key, budget)
            else:
                self._leave(key, turn)
            raise

    def _leave(self, key: str, turn: asyncio.Future[None]) -> None:
        line = self._waiting.get(key)
        if line and turn in line:
            line.remove(turn)
        if not line:
            self._waiting.pop(key, None)

    def _begin(self, key: str) -> None:
        self._busy[key] = self._busy.get(key, 0) + 1
        self.total += 1

    def _end(self, key: str) -> None:
        self.total -= 1
        self._busy[key] -= 1
        if not self._busy[key]:
            del self._busy[key]

    def _serve(self, budget: Budget) -> None:
        """The next of every key in turn: a key that was served goes to the end of the round."""
        for key in list(self._waiting):
            line = self._waiting[key]
            while line and line[0].done():
                line.popleft()
            if line and self.free(key, budget):
                line.popleft().set_result(None)
                self._begin(key)
                self._waiting.move_to_end(key)
            if not line:
                del self._waiting[key]


@dataclass(slots=True)
class Circuit:
    """Failures in a row open it; after a while one probe is let through, whose end closes or opens it again."""

    failures: int = 0
    opened: float | None = None
    probing: bool = False

    def lets_through(self, now: float, seconds: float) -> bool:
        """Whether a call would be made now; the one after the pause is the probe."""
        return self.opened is None or (now - self.opened >= seconds and not self.probing)

    def begin(self) -> bool:
        """A call is made; whether it is the probe."""
        self.probing = self.probing or self.opened is not None
        return self.opened is not None

    def ended(self, good: bool | None, now: float, limit: int) -> None:
        """How a call ended; None: it says nothing about the reviewer (given up, or an answer that cannot be read)."""
        if good is None:
            self.probing = False
        elif good:
            self.failures, self.opened, self.probing = 0, None, False
        else:
            self.failures += 1
            if self.probing or self.failures >= limit:
                self.opened, self.probing = now, False


class Breakers:
    """One circuit for each key, and one for all.

    A client can make the reviewer fail, by texts that take it too long. So its failures open its own circuit; the
    common one opens only when failures in a row came from at least two keys (our choice).
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._common = Circuit()
        self._failed_keys: set[str] = set()
        self._keys: OrderedDict[str, Circuit] = OrderedDict()

    def state(self) -> str:
        """ "closed", "open" or "half-open" of the common circuit."""
        if self._common.opened is None:
            return "closed"
        return "half-open" if self._common.probing else "open"

    def lets_through(self, key: str, budget: Budget) -> bool:
        """Whether a call for this key may be made now."""
        now = self._clock()
        return all(one.lets_through(now, budget.breaker_seconds) for one in (self._common, self._of(key)))

    def begin(self, key: str) -> None:
        """A call for this key begins."""
        self._common.begin()
        self._of(key).begin()

    def ended(self, key: str, good: bool | None, budget: Budget) -> None:
        """How it ended, as `Circuit.ended`."""
        now = self._clock()
        if good:
            self._failed_keys.clear()
        elif good is False:
            self._failed_keys.add(key)
        self._of(key).ended(good, now, budget.breaker_failures)
        limit = budget.breaker_failures if len(self._failed_keys) > 1 else 10**9
        self._common.ended(good, now, limit)

    def _of(self, key: str) -> Circuit:
        circuit = self._keys.setdefault(key, Circuit())
        self._keys.move_to_end(key)
        while len(self._keys) > MOST_KEYS:
            self._keys.popitem(last=False)
        return circuit
