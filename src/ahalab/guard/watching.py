"""One reply under control: what of it the client sees while it arrives, and what is done when it has ended.

hold      a stream shows what no term can reach any more; after a hit nothing, until the review releases or retracts
retract   a stream shows everything at once; a review that retracts ends it with `content_filter`
whole     a plain (not streamed) reply shows nothing before its end, in both settings
shadow    everything is shown as it comes; the review tells only what would have been done
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from ahalab.guard.desk import Case
from ahalab.guard.holding import Hold
from ahalab.guard.records import Action, Decision, Delta, Exchange, Review, Span
from ahalab.guard.scope import reply_spans, takes_long
from ahalab.guard.texts import category_of, retraction_text

if TYPE_CHECKING:
    from ahalab.guard.control import RiskControl

State = Literal["answering", "reviewing", "queued", "done"]
_TOO_LONG = "too long"
_OF_THE_CLIENTS_MAKING = ("budget", _TOO_LONG)
"""Errors that a client can bring about whenever it likes: they must not open the gate for it."""
_FINISHES = ("stop", "length", "content_filter", "error")


def extension(exchange: Exchange, decision: Decision, text: str) -> dict[str, Any]:
    """What the last chunk of a retracted reply carries besides OpenAI's fields."""
    return {
        "ahalab": {
            "retracted": True,
            "verdict_id": exchange.id,
            "category": decision.category,
            "reason": decision.reason,
            "text": text,
        }
    }


class Watch:
    """Made by `RiskControl.watch`. `feed` for every piece of the reply, then `finish` once."""

    def __init__(
        self,
        control: RiskControl,
        exchange: Exchange,
        spans: tuple[Span, ...],
        *,
        bypass: str = "",
        would_refuse: str = "",
        filter_seconds: float = 0.0,
        crashed: bool = False,
        remember: bool = True,
    ) -> None:
        self._control, self._exchange, self._spans = control, exchange, spans
        self._bypass, self._would_refuse = bypass, would_refuse
        self._filter_seconds, self._crashed, self._remember = filter_seconds, crashed, remember
        self._content: list[str] = []
        self._thinking: list[str] = []
        self._finish = ""
        self._tokens_in = self._tokens_out = 0
        self._content_shown = self._thinking_shown = 0
        self._finish_shown = False
        self._finishing = asyncio.Lock()
        self._decided: Decision | None = None
        self._outcome: tuple[list[Delta], Decision] | None = None
        self.state: State = "answering"
        policy, enforced = control.policy, control.mode == "enforce"
        self._whole = not exchange.stream
        self._hold: Hold | None = None
        if enforced and exchange.stream and policy.streaming == "hold" and control.streams is not None:
            self._hold = Hold(control.streams, policy.scope, policy.minimum_severity, bool(spans))

    @property
    def reply(self) -> str:
        """The answer so far, shown or not. Hostile text."""
        return "".join(self._content)

    @property
    def thinking(self) -> str:
        """The thinking so far, shown or not. Hostile text."""
        return "".join(self._thinking)

    @property
    def shown(self) -> tuple[int, int]:
        """Characters of thinking and answer that went to the client."""
        return self._thinking_shown, self._content_shown

    @property
    def spans(self) -> tuple[Span, ...]:
        """Of the client's side; once it is decided, of both sides."""
        return self._spans

    def feed(self, delta: Delta) -> list[Delta]:
        """Take a piece; what may be shown now. `extra` of an upstream is never passed on: nothing has matched it."""
        self._content.append(delta.content)
        self._thinking.append(delta.thinking)
        self._tokens_in = max(self._tokens_in, delta.tokens_in)
        self._tokens_out = max(self._tokens_out, delta.tokens_out)
        if delta.finish:
            self._finish = delta.finish if delta.finish in _FINISHES else "stop"
        if self._whole or self._crashed:
            return []
        thinking, content = delta.thinking, delta.content
        if self._hold is not None:
            try:
                thinking, content = self._hold.feed(thinking, content)
            except Exception:  # whatever breaks the filter, nothing unseen by it goes out
                self._crash()
                if self._crashed:
                    return []
                self._hold = None
                thinking, content = self.thinking[self._thinking_shown :], self.reply[self._content_shown :]
        shown = self._show(thinking, content)
        if self._control.mode == "shadow" and self._finish and not self._finish_shown:
            shown.append(self._last(self._finish))
        return shown

    async def finish(self) -> tuple[list[Delta], Decision]:
        """The reply has ended: the rest to show, or a retraction, and the decision. Waits for a review that is due.

        Run it to its end also for a client that has gone: what it was shown needs its decision.
        """
        async with self._finishing:
            if self._outcome is None:
                await self._end(await self._decide())
        assert self._outcome is not None
        return self._outcome

    async def aborted(self) -> tuple[list[Delta], Decision]:
        """In place of a `finish` that was cancelled: the review is given up. What it would have decided is retracted,
        and remembered as such; a reply that was only sampled is released, as without a verdict."""
        async with self._finishing:
            if self._outcome is None:
                await self._end(self._decided or self._given_up())
        assert self._outcome is not None
        return self._outcome

    def taken_back(self, decision: Decision | None = None) -> dict[str, Any]:
        """The extension to send beside an error: what the client was shown has no judgement that lets it stand.

        {} where nothing was shown, or where it may stand. None: no decision was come to.
        """
        if not (self._content_shown or self._thinking_shown):
            return {}
        if decision is None:
            decision = self._decision("retract", None, {}, reason="unavailable")
        if decision.action == "release":
            return {}
        # A client knows two reasons; that the gateway ends is none of its business.
        told = decision if decision.reason == "content_filter" else replace(decision, reason="unavailable")
        return extension(self._exchange, told, self._control.text(self._exchange, decision))

    def _given_up(self) -> Decision:
        review, timings = Review(error="shutdown"), {"filter": self._filter_seconds}
        if self.state == "reviewing" and not self._spans:
            return self._decision("release", review, timings, sampled=True)
        return self._decision("retract", review, timings, reason="shutdown")

    async def _end(self, decision: Decision) -> None:
        self._decided = decision
        if self._remember and decision.action == "retract":
            await self._control.remember(self._exchange, self.reply, self.thinking)
        # Of what no review was finished for, nothing is left to say here: the client gets an error.
        rest = [] if decision.reason == "shutdown" else self._closing(decision)
        self._outcome = rest, decision
        self.state = "done"
        self._control.concluded(self._exchange, decision)

    def _show(self, thinking: str, content: str) -> list[Delta]:
        self._thinking_shown += len(thinking)
        self._content_shown += len(content)
        return [Delta(content=content, thinking=thinking)] if thinking or content else []

    def _last(self, finish: str, extra: dict[str, Any] | None = None) -> Delta:
        self._finish_shown = True
        return Delta(finish=finish, tokens_in=self._tokens_in, tokens_out=self._tokens_out, extra=extra or {})

    def _crash(self) -> None:
        self._control.filter_crashed(self._exchange)
        if self._control.insecure:
            self._bypass = "insecure"
        else:
            self._crashed = True

    async def _decide(self) -> Decision:
        control, began = self._control, self._control.clock()
        reply, thinking = self.reply, self.thinking
        if not self._crashed and control.matcher is not None:
            policy = control.policy
            try:
                arguments = (control.matcher, reply, thinking, policy.scope, policy.minimum_severity)
                if takes_long((reply, thinking)):
                    self._spans += await asyncio.to_thread(reply_spans, *arguments)
                else:
                    self._spans += reply_spans(*arguments)
            except Exception:
                self._crash()
        self._filter_seconds += control.clock() - began
        timings = {"filter": self._filter_seconds}
        if self._crashed:
            if self._finish_shown:  # in shadow mode the whole stream is out already
                self._bypass = "filter crashed"
            return self._decision(self._unless_shown(), None, timings, reason="unavailable")
        if not self._spans:
            return await self._unflagged(timings)
        self.state = "reviewing"
        review = await control.desk.review(self._case())
        timings["review"] = review.seconds
        on_error = control.policy.on_error
        hopeless = review.error.startswith(_TOO_LONG)
        if review.error and on_error == "queue" and control.mode == "enforce" and not hopeless:
            self.state = "queued"
            began = control.clock()
            review = await control.desk.queue(self._case(), review)
            timings["queue"] = control.clock() - began
        if review.error:
            if on_error == "queue" and control.mode == "shadow":
                return self._decision("queue", review, timings)
            opens = on_error == "allow" and not review.error.startswith(_OF_THE_CLIENTS_MAKING)
            if opens:
                self._bypass = self._bypass or "on_error: allow"
            return self._decision("release" if opens else "retract", review, timings)
        return self._decision("retract" if review.violates else "release", review, timings)

    def _case(self) -> Case:
        control = self._control
        return Case(control.reviewer, control.policy, self._exchange, self.reply, self.thinking)

    async def _unflagged(self, timings: dict[str, float]) -> Decision:
        control = self._control
        if not control.sampled(self._exchange):
            return self._decision("release", None, timings)
        self.state = "reviewing"
        review = await control.desk.sample(self._case())
        timings["review"] = review.seconds
        return self._decision("retract" if review.violates else "release", review, timings, sampled=True)

    def _unless_shown(self) -> Action:
        return "retract" if self._content_shown or self._thinking_shown else "refuse"

    def _decision(
        self,
        would: Action,
        review: Review | None,
        timings: dict[str, float],
        *,
        sampled: bool = False,
        reason: str = "",
    ) -> Decision:
        control = self._control
        category = "unavailable" if reason else ""
        if not reason and would in ("retract", "queue"):
            reason, category = "content_filter", category_of(control.policy, self._spans, review)
        if self._would_refuse and control.mode == "shadow":
            would, reason, category = "refuse", self._would_refuse, self._would_refuse
        shadow = control.mode == "shadow" and (reason != "unavailable" or self._finish_shown)
        return Decision(
            action="release" if shadow else would,
            would=would,
            policy=control.policy.version,
            spans=self._spans,
            flagged=bool(self._spans),
            sampled=sampled,
            review=review,
            bypass=self._bypass,
            reason=reason,
            category=category,
            timings=timings,
        )

    def _closing(self, decision: Decision) -> list[Delta]:
        if decision.action == "release":
            if self._hold is not None:
                rest = self._show(*self._hold.rest())
            elif self._whole:
                rest = self._show(self.thinking, self.reply)
            else:
                rest = []
            return rest if self._finish_shown else [*rest, self._last(self._finish or "stop")]
        text = retraction_text(self._control.policy, decision.category, self._exchange.language)
        told = [] if self._content_shown else [Delta(content=text)]
        return [*told, self._last("content_filter", extension(self._exchange, decision, text))]
