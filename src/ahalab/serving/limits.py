"""How much one key, and all together, may ask: requests and tokens a minute, requests under way."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ahalab.serving.errors import too_many
from ahalab.serving.keys import Key
from ahalab.serving.settings import GatewaySettings

Clock = Callable[[], float]
_OVERLOADED = "The gateway has as many requests under way as it takes. Try again shortly."


class TokenBucket:
    """Fills evenly to what a minute allows. It may be overdrawn: what a reply cost is known only at its end."""

    def __init__(self, per_minute: int, now: float) -> None:
        self._capacity = self._level = float(per_minute)
        self._rate, self._then = per_minute / 60.0, now

    def wait(self, amount: float, now: float) -> float:
        """Seconds until `amount` can be taken; 0 when it can be now. More than a minute's worth needs a full bucket."""
        self._level = min(self._capacity, self._level + (now - self._then) * self._rate)
        self._then = now
        missing = min(amount, self._capacity) - self._level
        # Rounding must not leave a bucket that is as good as full waiting for ever.
        return missing / self._rate if missing > 1e-6 else 0.0

    def take(self, amount: float) -> None:
        """A negative amount gives back."""
        self._level = min(self._capacity, self._level - amount)


@dataclass(slots=True)
class _Account:
    """What is known of one key."""

    figures: tuple[int | None, int | None]
    requests: TokenBucket | None
    tokens: TokenBucket | None
    under_way: int = 0


@dataclass(slots=True)
class Ticket:
    """The place of one request. `settle` once, whatever happened."""

    _limits: Limits
    _account: _Account
    _reserved: float
    _open: bool = field(default=True)

    def settle(self, tokens: int) -> None:
        """The request is over and cost so many tokens."""
        if self._open:
            self._open = False
            self._account.under_way -= 1
            self._limits.under_way -= 1
            if self._account.tokens is not None:
                self._account.tokens.take(tokens - self._reserved)


class Limits:
    """Of all keys. For one event loop."""

    def __init__(self, settings: GatewaySettings, clock: Clock = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._accounts: dict[str, _Account] = {}
        self.under_way = 0

    def enter(self, key: Key) -> Ticket:
        """A place for one request. Refusal 429 with Retry-After where there is none."""
        if self.under_way >= self._settings.parallel:
            raise too_many(_OVERLOADED, "overloaded", 1)
        account = self._account(key)
        most = key.parallel or self._settings.parallel_per_key
        if account.under_way >= most:
            raise too_many(f"This key has {most} requests under way, as many as it may.", "key_parallel", 1)
        if account.requests is not None:
            wait = account.requests.wait(1, self._clock())
            if wait:
                raise too_many(
                    f"This key may ask {account.figures[0]} times a minute.", "rate_limit_exceeded", wait
                )
            account.requests.take(1)
        account.under_way += 1
        self.under_way += 1
        return Ticket(self, account, 0.0)

    def reserve(self, ticket: Ticket, key: Key, tokens: int) -> None:
        """Tokens that the request may cost are set aside; `settle` puts them right. Refusal 429 without room."""
        account = self._account(key)
        if account.tokens is None:
            return
        wait = account.tokens.wait(tokens, self._clock())
        if wait:
            raise too_many(
                f"This key may use {account.figures[1]} tokens a minute.", "token_limit_exceeded", wait
            )
        account.tokens.take(tokens)
        ticket._reserved += tokens

    def _account(self, key: Key) -> _Account:
        settings = self._settings
        figures = (
            key.requests_per_minute or settings.requests_per_minute,
            key.tokens_per_minute or settings.tokens_per_minute,
        )
        account = self._accounts.get(key.id)
        if account is None:
            account = self._accounts[key.id] = _Account((None, None), None, None)
        if account.figures != figures:  # new, or the key's own limits were changed
            now = self._clock()
            account.figures = figures
            account.requests, account.tokens = (TokenBucket(one, now) if one else None for one in figures)
        return account
