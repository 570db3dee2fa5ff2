"""Made-up terms, a scripted reviewer and short ways to run an exchange under control, for the tests of the guard."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from ahalab.guard.control import RiskControl
from ahalab.guard.history import RetractedReplies
from ahalab.guard.matcher import Matcher
from ahalab.guard.policy import Policy
from ahalab.guard.records import Decision, Delta, Exchange, Review, Turn
from ahalab.guard.stream import StreamList
from ahalab.guard.term import TermEntry, TermFile, make_terms

TERMS = make_terms(
    [
        (
            "made.yaml",
            TermFile(
                category="made-up",
                en=[
                    "zorbom",
                    "gnarf him",
                    TermEntry(text="sb", spaced=False),
                    TermEntry(text="mild", severity=1),
                ],
                zh=["炸弹", "三个字"],
                allow=["photo zorbom", "拆炸弹专家"],
            ),
        ),
        ("help.yaml", TermFile(category="self-harm", severity=3, en=["hurtself"])),
    ]
)
MATCHER = Matcher(TERMS)
STREAMS = StreamList(TERMS)
STANDARDS = [
    {"id": 1, "title": "All", "text": "Whatever the tests call a violation.", "meta": True},
    {"id": 2, "title": "Made up", "text": "Whatever the tests call a violation.", "category": "violence"},
    {"id": 3, "title": "Plain", "text": "A standard that names no category."},
]
CLEAN, BAD = Review(), Review(rules=(3,))
Verdict = Callable[[Exchange, str, str], Awaitable[Review]]


def make_policy(**changes: Any) -> Policy:
    """The general defaults, nothing sampled."""
    return Policy.model_validate({"name": "test", "standards": STANDARDS, "sample_unflagged": 0.0} | changes)


class Scripted:
    """A reviewer that gives the reviews of a list, the last one again and again; an exception in it is raised."""

    def __init__(self, *script: Review | Exception, seconds: float = 0.0) -> None:
        self.script, self.seconds = list(script or [CLEAN]), seconds
        self.calls: list[tuple[Exchange, str, str]] = []
        self.now = self.most = 0

    def identity(self) -> dict[str, Any]:
        return {"kind": "scripted"}

    async def review(self, exchange: Exchange, reply: str, thinking: str) -> Review:
        self.calls.append((exchange, reply, thinking))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.now -= 1
        said = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(said, Exception):
            raise said
        return said


def make_control(policy: Policy | None = None, reviewer: Any = None, **more: Any) -> RiskControl:
    history = more.pop("history", None) or RetractedReplies(b"a secret of the tests")
    matcher, streams = more.pop("matcher", MATCHER), more.pop("streams", STREAMS)
    return RiskControl(policy or make_policy(), matcher, streams, reviewer or Scripted(), history, **more)


def ask(
    query: str, *before: Turn, stream: bool = True, key: str = "k", id: str = "x1", language: str = "en"
) -> Exchange:
    return Exchange(id, key, (*before, Turn("user", query)), "m", stream, language)


async def play(
    control: RiskControl, exchange: Exchange, deltas: Iterable[Delta]
) -> tuple[list[Delta], Decision]:
    """All that the client gets, as the gateway would send it."""
    refused = await control.admit(exchange)
    if refused is not None:
        return [Delta(content=control.text(exchange, refused), finish="content_filter")], refused
    watch = control.watch(control.prepared(exchange))
    sent = [one for delta in deltas for one in watch.feed(delta)]
    rest, decision = await watch.finish()
    return [*sent, *rest], decision


def run(control: RiskControl, exchange: Exchange, *deltas: Delta) -> tuple[list[Delta], Decision]:
    return asyncio.run(play(control, exchange, deltas))


def content(deltas: Iterable[Delta]) -> str:
    return "".join(one.content for one in deltas)


def thinking(deltas: Iterable[Delta]) -> str:
    return "".join(one.thinking for one in deltas)
