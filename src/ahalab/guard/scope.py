"""What is matched: the client's turns, the reply, the thinking, and terms that are split across them (`joining`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ahalab.guard.folding import codes_of
from ahalab.guard.joining import Source, joiner, span_of
from ahalab.guard.matcher import Matcher
from ahalab.guard.mixed import is_doubtful
from ahalab.guard.policy import Scope
from ahalab.guard.records import Exchange, Part, Span


def last_query(exchange: Exchange) -> int:
    """Index of the last user turn; -1 without one."""
    return next((at for at in reversed(range(len(exchange.turns))) if exchange.turns[at].role == "user"), -1)


LONG, LONG_MIXED = 50_000, 700
"""Characters that are matched in about 10 ms: of any text, and of one made to be slow (`mixed`, 15 µs each)."""


def takes_long(texts: Iterable[str]) -> bool:
    """Whether matching these would keep the event loop from other clients: then it belongs in a thread."""
    size = doubtful = 0
    for text in texts:
        size += len(text)
        if not text.isascii() and is_doubtful(codes_of(text)):
            doubtful += len(text)
    return size > LONG or doubtful > LONG_MIXED


def client_sources(exchange: Exchange, scope: Scope) -> list[Source]:
    """The client's texts that are in scope, in order. The thinking of an assistant turn comes before its content."""
    query, found = last_query(exchange), []
    for at, turn in enumerate(exchange.turns):
        if turn.role == "user":
            wanted = scope.query if at == query else scope.history
            part: Part = "query" if at == query else "history"
        else:
            wanted, part = scope.forged, turn.role
        if not wanted:
            continue
        if turn.thinking:
            found.append(Source("thinking", at, turn.thinking))
        found.append(Source(part, at, turn.content))
    return found


def client_spans(matcher: Matcher, exchange: Exchange, scope: Scope, severity: int) -> tuple[Span, ...]:
    """What the client's side holds of terms of at least this severity."""
    sources = client_sources(exchange, scope)
    spans = [span for source in sources for span in _spans(matcher, source)]
    if scope.joined and len(sources) > 1:
        spans += joiner(matcher).spans(_chains(exchange, sources))
    return grave_enough(spans, severity)


def _chains(exchange: Exchange, sources: list[Source]) -> list[list[Source]]:
    """The texts of each role alone, then all in order."""
    by_role: dict[str, list[Source]] = {}
    for one in sources:
        by_role.setdefault(exchange.turns[one.turn].role, []).append(one)
    alone = [those for those in by_role.values() if 1 < len(those) < len(sources)]
    return [*alone, sources]


def reply_spans(matcher: Matcher, reply: str, thinking: str, scope: Scope, severity: int) -> tuple[Span, ...]:
    """What the model's side holds of terms of at least this severity."""
    sources = [Source("thinking", -1, thinking)] if scope.thinking and thinking else []
    sources += [Source("reply", -1, reply)] if scope.reply and reply else []
    spans = [span for source in sources for span in _spans(matcher, source)]
    if scope.joined and len(sources) > 1:
        spans += joiner(matcher).spans([sources])
    return grave_enough(spans, severity)


def grave_enough(spans: Iterable[Span], severity: int) -> tuple[Span, ...]:
    """The spans that flag."""
    return tuple(one for one in spans if one.severity >= severity)


def _spans(matcher: Matcher, source: Source) -> Iterator[Span]:
    for hit in matcher.find(source.text) if source.text else ():
        yield span_of(hit, source.part, source.turn, hit.start, hit.end)
