"""Risk control: keywords flag, a reviewer decides, what violates is retracted (paper D.3.1, widened to both sides)."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from ahalab.counter import make_key, uniform
from ahalab.errors import EnvironmentFailure
from ahalab.guard.budget import Clock
from ahalab.guard.desk import ReviewDesk
from ahalab.guard.history import BLANK, RetractedReplies
from ahalab.guard.joining import joiner
from ahalab.guard.matcher import Matcher
from ahalab.guard.policy import Policy
from ahalab.guard.protocols import Reviewer
from ahalab.guard.records import Decision, Delta, Exchange, Mode, Span, Turn
from ahalab.guard.scope import client_spans, takes_long
from ahalab.guard.shadow import Counts, count_decision
from ahalab.guard.stream import StreamList
from ahalab.guard.texts import retraction_text
from ahalab.guard.watching import Watch

_LOG = logging.getLogger(__name__)
_SAMPLE_SEED = 0
_MOST_ADMITTED = 10_000
Ready = Callable[[], Awaitable[str]]


async def always_ready() -> str:
    """For a control without an audit store."""
    return ""


@dataclass(frozen=True, slots=True)
class _Admitted:
    original: Exchange
    exchange: Exchange
    """With retracted turns blanked."""
    spans: tuple[Span, ...]
    bypass: str
    would_refuse: str
    seconds: float


class RiskControl:
    """One policy at work. Cheap to make: matcher, streams, desk, history and counts may be shared with others."""

    def __init__(
        self,
        policy: Policy,
        matcher: Matcher | None,
        streams: StreamList | None,
        reviewer: Reviewer | None,
        history: RetractedReplies,
        clock: Clock = time.monotonic,
        *,
        mode: Mode | None = None,
        ready: Ready = always_ready,
        insecure: bool = False,
        desk: ReviewDesk | None = None,
        counts: Counts | None = None,
    ) -> None:
        self.policy, self.matcher, self.streams = policy, matcher, streams
        self.history, self.clock = history, clock
        self.mode: Mode = mode or policy.mode
        self.ready, self.insecure = ready, insecure
        self.reviewer = reviewer
        if matcher is not None:
            joiner(matcher)  # made now, not with the first request
        self.desk = desk or ReviewDesk(clock)
        self.counts = counts or Counts()
        self._admitted: OrderedDict[str, _Admitted] = OrderedDict()

    async def unavailable(self) -> str:
        """Why no traffic can be controlled now; "" when it can."""
        if self.matcher is None or self.streams is None:
            return "no terms are loaded"
        try:
            why = await self.ready()
        except Exception as error:  # a store that cannot even be asked is not ready
            why = f"{type(error).__name__}: {error}"
        return f"the audit store is not ready: {why}" if why else ""

    async def admit(self, exchange: Exchange) -> Decision | None:
        """Before the model is asked. None: go on, with `prepared(exchange)`; else the request is refused."""
        began = self.clock()
        self.counts.add("exchanges")
        bypass = would_refuse = ""
        why = await self.unavailable()
        if why:
            _LOG.error("exchange %s of key %r: %s", exchange.id, exchange.key, why)
            if not self.insecure:
                return self._refusal(exchange, "unavailable", began)
            bypass = "insecure"
        try:
            long = takes_long(text for turn in exchange.turns for text in (turn.content, turn.thinking))
            recognised = self.history.recognised
            turns = await asyncio.to_thread(recognised, exchange) if long else recognised(exchange)
            cleaned = exchange
            if turns:
                self.counts.add("retracted_history")
                if self.policy.retracted_history == "blank":
                    cleaned = exchange if self.mode == "shadow" else blanked(exchange, turns)
                elif self.mode == "enforce":
                    return self._refusal(exchange, "retracted_history", began)
                else:
                    would_refuse = "retracted_history"
            spans = await self._client_spans(cleaned, long)
        except Exception:
            self.filter_crashed(exchange)
            if not self.insecure:
                return self._refusal(exchange, "unavailable", began)
            cleaned, spans, bypass = exchange, (), "insecure"
        self._admitted[exchange.id] = _Admitted(
            exchange, cleaned, spans, bypass, would_refuse, self.clock() - began
        )
        while len(self._admitted) > _MOST_ADMITTED:
            self._admitted.popitem(last=False)
        return None

    def prepared(self, exchange: Exchange) -> Exchange:
        """The exchange as the model may see it: recognised turns blanked where the policy says so."""
        admitted = self._admitted.get(exchange.id)
        return admitted.exchange if admitted else exchange

    def watch(self, exchange: Exchange) -> Watch:
        """The watch over the reply to an exchange that `admit` let through.

        Raises:
            RuntimeError: it was not admitted, or it still holds turns that `prepared` has blanked.
        """
        admitted = self._admitted.pop(exchange.id, None)
        if admitted is None or (exchange is not admitted.exchange and exchange != admitted.exchange):
            raise RuntimeError(f"exchange {exchange.id}: admit() it first, then watch(prepared(exchange))")
        return Watch(
            self,
            exchange,
            admitted.spans,
            bypass=admitted.bypass,
            would_refuse=admitted.would_refuse,
            filter_seconds=admitted.seconds,
        )

    async def check(self, exchange: Exchange, reply: str = "", thinking: str = "") -> Decision:
        """The decision on texts that no model of ours wrote: the check-only routes, replays, measurements.

        Nothing is remembered as retracted.
        """
        refused = await self.admit(exchange)
        if refused is not None:
            return refused
        admitted = self._admitted.pop(exchange.id)
        watch = Watch(
            self,
            replace(admitted.exchange, stream=False),
            admitted.spans,
            bypass=admitted.bypass,
            would_refuse=admitted.would_refuse,
            filter_seconds=admitted.seconds,
            remember=False,
        )
        watch.feed(Delta(content=reply, thinking=thinking, finish="stop"))
        return (await watch.finish())[1]

    def text(self, exchange: Exchange, decision: Decision) -> str:
        """What the client reads in place of a refused or retracted reply."""
        return retraction_text(self.policy, decision.category, exchange.language)

    def sampled(self, exchange: Exchange) -> bool:
        """Whether an unflagged exchange is reviewed too: a pure function of its id."""
        return uniform(make_key(_SAMPLE_SEED, "sample", exchange.id), 0) < self.policy.sample_unflagged

    def filter_crashed(self, exchange: Exchange) -> None:
        """Called while the exception of the filter is handled."""
        self.counts.add("filter_crashes")
        _LOG.exception("the keyword filter failed on exchange %s of key %r", exchange.id, exchange.key)

    def concluded(self, exchange: Exchange, decision: Decision) -> None:
        """Counts and logs. Called once for each exchange."""
        count_decision(self.counts, decision, self.mode)
        if decision.bypass:
            _LOG.warning(
                "bypass (%s): exchange %s of key %r under policy %s went out unreviewed",
                decision.bypass,
                exchange.id,
                exchange.key,
                self.policy.name,
            )

    async def remember(self, exchange: Exchange, reply: str, thinking: str) -> None:
        """A reply was retracted: it is recognised when it comes back."""
        try:
            await asyncio.to_thread(self.history.remember, exchange, reply, thinking)
        except EnvironmentFailure as error:
            self.counts.add("history_not_kept")
            _LOG.error("a retraction is remembered by this process only: %s", error)

    async def _client_spans(self, exchange: Exchange, long: bool) -> tuple[Span, ...]:
        if self.matcher is None:
            return ()
        arguments = (self.matcher, exchange, self.policy.scope, self.policy.minimum_severity)
        if long:
            return await asyncio.to_thread(client_spans, *arguments)
        return client_spans(*arguments)

    def _refusal(self, exchange: Exchange, reason: str, began: float) -> Decision:
        decision = Decision(
            action="refuse",
            would="refuse",
            policy=self.policy.version,
            reason=reason,
            category=reason,
            timings={"filter": self.clock() - began},
        )
        self.concluded(exchange, decision)
        return decision


def blanked(exchange: Exchange, turns: tuple[int, ...]) -> Exchange:
    """The exchange with these turns emptied of what they held."""
    return replace(
        exchange,
        turns=tuple(
            Turn(turn.role, BLANK) if at in turns else turn for at, turn in enumerate(exchange.turns)
        ),
    )
