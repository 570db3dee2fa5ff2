"""One exchange from its audit intent to its conclusion. Whatever happens in between, it is concluded once.

```
intent ┬ durable before the first byte ───────┐
       └ admit → the model's reply, watched ──┴→ what may be shown → decision → conclusion → the last bytes
```

The intent becomes durable while the model is already at work: only bytes to the client wait for it. The conclusion is
durable before the last bytes, but for an unflagged reply that is released (`conclude_first: flagged`): there it says no
more than that nothing was found, and waiting would cost every reply one write to the disk. It outlives the process
before the last bytes all the same (`AuditStore.conclude_soon`).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ahalab.guard.control import RiskControl
from ahalab.guard.records import Decision, Delta, Exchange
from ahalab.guard.watching import Watch, extension
from ahalab.serving.errors import Refusal, unavailable
from ahalab.serving.exchanges import estimated_tokens
from ahalab.serving.fields import Asked
from ahalab.serving.gateway import Gateway

_LOG = logging.getLogger(__name__)
Stop = Literal["client gone", "time-out", "shutdown"]
Show = Callable[[list[Delta]], Awaitable[None]]


@dataclass(slots=True)
class Outcome:
    """What is left to send when an exchange is over."""

    rest: list[Delta]
    decision: Decision
    error: Refusal | None = None
    """Sent after `rest`, in place of a finish reason."""
    tokens_in: int = 0
    tokens_out: int = 0
    taken_back: Mapping[str, Any] = field(default_factory=dict)
    """Sent before `error`: the extension of a retraction, where the client was shown what no verdict lets stand."""


@dataclass(slots=True, eq=False)
class Flow:
    """One exchange. `run` once."""

    gateway: Gateway
    control: RiskControl
    exchange: Exchange
    asked: Asked
    route: str
    began: float
    ended: Stop | None = None
    first_after: float = 0.0
    _error: Refusal | None = None
    _bypass: str = ""
    _tokens_in: int = 0
    _tokens_out: int = 0
    _waiting: asyncio.Timeout | None = None
    _judging: asyncio.Timeout | None = None
    _recording: asyncio.Future[None] = field(init=False)
    _begun: bool = False

    def stop(self, why: Stop) -> None:
        """End the model's work. What came until then is judged and audited all the same."""
        if self.ended is None:
            self.ended = why
            if self._waiting is not None:
                self._waiting.reschedule(0)

    def abort(self) -> None:
        """End the review too: what was not released is retracted."""
        if self._judging is not None:
            self._judging.reschedule(0)

    async def run(self, show: Show) -> Outcome:
        """The whole exchange; `show` gets what may be shown before its end. Refusal where nothing was shown."""
        gateway = self.gateway
        gateway.flows.add(self)
        self._recording = asyncio.ensure_future(self._intent())
        self._recording.add_done_callback(self._recorded_or_not)
        try:
            refused = await self.control.admit(self.exchange)
            if refused is not None:
                await self._recording
                return await self._refused(refused)
            prepared = self.control.prepared(self.exchange)
            watch = self.control.watch(prepared)
            await self._answer(watch, prepared, show)
            await self._recording
            return await self._conclude(watch)
        finally:
            gateway.flows.discard(self)

    def _recorded_or_not(self, recording: asyncio.Future[None]) -> None:
        if not recording.cancelled() and recording.exception() is not None and self._waiting is not None:
            self._waiting.reschedule(0)  # the model works for nobody

    async def _intent(self) -> None:
        try:
            await self.gateway.audit.intent(self.exchange, self.control.policy.version)
        except Exception as error:
            self._not_recorded("intent", error)
            if not self.gateway.settings.insecure:
                raise unavailable("This request cannot be recorded, so it is not answered.") from None

    async def _refused(self, decision: Decision) -> Outcome:
        if not await self._recorded(decision, "", ""):
            raise unavailable("This request cannot be recorded, so it is not answered.")
        if decision.reason == "unavailable":
            raise unavailable("Replies cannot be checked now, so none is given.")
        text = self.control.text(self.exchange, decision)
        last = Delta(finish="content_filter", extra=extension(self.exchange, decision, text))
        return Outcome([Delta(content=text), last], decision)

    async def _answer(self, watch: Watch, prepared: Exchange, show: Show) -> None:
        """The model's reply through the watch, until it ends, fails, or is stopped."""
        if self.ended is not None:
            return
        pieces = self.gateway.model.answer(prepared, self.asked.options)
        try:
            async with asyncio.timeout(self.gateway.settings.reply_seconds) as self._waiting:
                async for delta in pieces:
                    if delta.tokens_in or delta.tokens_out:
                        self._tokens_in = max(self._tokens_in, delta.tokens_in)
                        self._tokens_out = max(self._tokens_out, delta.tokens_out)
                    shown = watch.feed(delta)
                    if shown:
                        if not self._begun:
                            await asyncio.shield(self._recording)
                            self._first()
                        await show(shown)
        except Refusal as error:
            self._error = error
        except Exception as error:
            if isinstance(error, TimeoutError) and self._waiting is not None and self._waiting.expired():
                self.ended = self.ended or "time-out"
            else:
                _LOG.exception("the model failed on exchange %s", self.exchange.id)
                self._error = Refusal(502, "The model failed.", "model_failed", kind="api_error")
        finally:
            self._waiting = None
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()
        ended = self._stopped()
        if self._error is None and ended == "time-out":
            self._error = Refusal(504, "The model took too long.", "model_timeout", kind="api_error")
        if self._error is None and ended == "shutdown":
            self._error = unavailable("The gateway is shutting down.", "shutting_down")

    def _stopped(self) -> Stop | None:
        """`ended` as it is now: `stop` may have set it while this flow waited."""
        return self.ended

    def _first(self) -> None:
        self._begun = True
        self.first_after = time.monotonic() - self.began
        self.gateway.metrics.first.observe(self.first_after)

    async def _conclude(self, watch: Watch) -> Outcome:
        rest: list[Delta] = []
        before = watch.shown
        unfinished = self._error is not None or self.ended is not None
        if unfinished and not watch.reply and not watch.thinking:
            # Nothing came, so there is nothing to review. The client gets an error.
            version = self.control.policy.version
            decision = Decision("release", "release", version, watch.spans, reason="no reply")
        else:
            try:
                async with asyncio.timeout(None) as self._judging:
                    rest, decision = await watch.finish()
            except TimeoutError:
                rest, decision = await self._aborted(watch)
        reply, thinking = watch.reply, watch.thinking
        self._count_tokens(reply, thinking)
        if self._bypass and not decision.bypass:
            decision = replace(decision, bypass=self._bypass)
        sent = before if self.ended == "client gone" else watch.shown
        soon = not (self._waits_for(decision) or unfinished)
        recorded = await self._recorded(decision, reply, thinking, sent, soon=soon)
        outcome = Outcome(rest, decision, self._error, self._tokens_in, self._tokens_out)
        if not recorded:
            outcome.rest = []
            outcome.error = unavailable("This reply cannot be recorded, so the rest of it is not given.")
        elif decision.reason == "shutdown":
            pass  # nothing that is left was judged: the client gets the error
        elif decision.action != "release":
            withheld = decision.reason == "unavailable" and watch.shown == (0, 0)
            outcome.error = (
                unavailable("This reply cannot be checked, so it is not given.") if withheld else None
            )
        elif self._error is not None:
            outcome.rest = [replace(one, finish="") for one in rest if one.content or one.thinking]
        if outcome.error is not None:
            outcome.taken_back = watch.taken_back(decision)
        return outcome

    def _waits_for(self, decision: Decision) -> bool:
        """Whether a conclusion says more than that nothing was found."""
        nothing = decision.action == "release" and not (
            decision.flagged or decision.sampled or decision.bypass
        )
        return not nothing or self.gateway.settings.conclude_first == "always"

    async def _aborted(self, watch: Watch) -> tuple[list[Delta], Decision]:
        rest, decision = await watch.aborted()
        self.ended = self.ended or "shutdown"
        if decision.reason == "shutdown":
            self._error = unavailable("The gateway is shutting down.", "shutting_down")
        return rest, decision

    async def _recorded(
        self,
        decision: Decision,
        reply: str,
        thinking: str,
        shown: tuple[int, int] = (0, 0),
        *,
        soon: bool = False,
    ) -> bool:
        """Writes the conclusion; whether the client may have what is left. `soon`: nobody waits for the disk."""
        metrics = self.gateway.metrics
        ended = self.ended or (self._error.code if self._error else decision.action)
        metrics.ended(ended)
        if decision.bypass:
            metrics.bypasses.labels(decision.bypass).inc()
        row = (self.exchange, decision, reply, thinking, self._extra(ended, shown))
        try:
            if soon:
                writing = await self.gateway.audit.conclude_soon(*row)
                self.gateway.conclude_later(self._written(writing))
            else:
                await self.gateway.audit.conclude(*row)
        except Exception as error:
            self._not_recorded("conclude", error)
            return self.gateway.settings.insecure
        return True

    async def _written(self, writing: Awaitable[None]) -> None:
        try:
            await writing
        except Exception as error:
            self._not_recorded("conclude", error)

    def _extra(self, ended: str, shown: tuple[int, int]) -> Mapping[str, Any]:
        user = self.asked.user
        return {
            "route": self.route,
            "ended": ended,
            "tokens_in": self._tokens_in,
            "tokens_out": self._tokens_out,
            "shown_thinking": shown[0],
            "shown_content": shown[1],
            "first_seconds": round(self.first_after, 4),
            "seconds": round(time.monotonic() - self.began, 4),
            "user_sha256": hashlib.sha256(user.encode()).hexdigest() if user else "",
        }

    def _not_recorded(self, step: str, error: Exception) -> None:
        metrics = self.gateway.metrics
        metrics.audit_failures.labels(step).inc()
        _LOG.error("exchange %s: the audit row could not be written (%s): %s", self.exchange.id, step, error)
        if self.gateway.settings.insecure:
            self._bypass = "insecure"
            metrics.bypasses.labels("insecure").inc()
            _LOG.warning("bypass (insecure): exchange %s goes on without its audit row", self.exchange.id)

    def _count_tokens(self, reply: str, thinking: str) -> None:
        """As the model told, else a quarter of the bytes."""
        if not self._tokens_out:
            self._tokens_out = (len(reply.encode()) + len(thinking.encode()) + 3) // 4
        if not self._tokens_in:
            self._tokens_in = estimated_tokens(self.exchange.turns)
        tokens = self.gateway.metrics.tokens
        tokens.labels("in").inc(self._tokens_in)
        tokens.labels("out").inc(self._tokens_out)
