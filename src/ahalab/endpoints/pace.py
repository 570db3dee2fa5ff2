"""When the next request may be sent: the recipe's rate limit, and the rests that a busy server asks for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

FIRST_WAIT = 0.5
"""Seconds before the first retry; it doubles with each further one. Our choice."""
LONGEST_WAIT = 60.0
LONGEST_REST = 300.0
"""A server may ask for a rest of at most so many seconds; a longer Retry-After is cut to this."""


class Pace:
    """Shared by the threads of one client. `wait` returns at once when the client is told to stop."""

    def __init__(
        self, requests_per_minute: float | None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._gap = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._clock = clock
        self._lock = threading.Lock()
        self._next = clock()
        self.stop = threading.Event()

    def wait_turn(self) -> bool:
        """Wait until a request may be sent. False when the client was told to stop instead."""
        with self._lock:
            turn = max(self._next, self._clock())
            self._next = turn + self._gap
        return self.wait(turn - self._clock())

    def rest(self, seconds: float) -> None:
        """The server asked everybody to wait: no request is sent for so long."""
        with self._lock:
            self._next = max(self._next, self._clock() + min(seconds, LONGEST_REST))

    def wait(self, seconds: float) -> bool:
        """Wait; False when told to stop meanwhile."""
        return not (self.stop.wait(seconds) if seconds > 0 else self.stop.is_set())


def back_off(attempt: int, chance: float) -> float:
    """Seconds before retry number `attempt` (from 0): doubling, less up to half of it by `chance` (0 to 1)."""
    full: float = min(LONGEST_WAIT, FIRST_WAIT * 2.0**attempt)
    return full * (1 - chance / 2)


def retry_after(header: str | None) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or as a date; None where there is no such thing."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            when = parsedate_to_datetime(header)
        except ValueError:
            return None
        seconds = (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if seconds == seconds else None
