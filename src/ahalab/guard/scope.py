"""What is matched: the client's turns, the reply, the thinking, and terms that are split across them.

**Joined texts.** A term cut in two by a turn's end is looked for in the turns put together, once directly and once with
a space between, whitespace at the seam left out. Such a find counts when it covers the seam and is no accident (our
choice, the paper does not say): the term has at least 4 letters (3 in a script without spaces), or one of its fragments
is all that its turn holds ("b" | "o" | "mb"). A sentence's end mark at the seam stays and parts the two, as it does in
one text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ahalab.guard.matcher import Hit, Matcher
from ahalab.guard.policy import Scope
from ahalab.guard.records import Exchange, Part, Span
from ahalab.guard.term import Term, TermList, squeezed_text

LOOSE = " \t\n\r\v\f\u00a0\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\u3000\ufeff"
"""Whitespace and hidden characters, which a seam does without."""
_BREAK = "\n" * 16
"""Wider than any gap inside a term: no find reaches over it."""
_FEW_LETTERS, _FEW_HAN = 4, 3
_HAN_FROM = 0x2E80


@dataclass(frozen=True, slots=True)
class Source:
    """A text that is matched. Hostile text."""

    part: Part
    turn: int
    text: str


def last_query(exchange: Exchange) -> int:
    """Index of the last user turn; -1 without one."""
    return next((at for at in reversed(range(len(exchange.turns))) if exchange.turns[at].role == "user"), -1)


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
        users = [one for one in sources if exchange.turns[one.turn].role == "user"]
        chains = [sources] if len(users) in (len(sources), 0, 1) else [users, sources]
        spans += joined_spans(matcher, chains)
    return grave_enough(spans, severity)


def reply_spans(matcher: Matcher, reply: str, thinking: str, scope: Scope, severity: int) -> tuple[Span, ...]:
    """What the model's side holds of terms of at least this severity."""
    sources = [Source("thinking", -1, thinking)] if scope.thinking and thinking else []
    sources += [Source("reply", -1, reply)] if scope.reply and reply else []
    spans = [span for source in sources for span in _spans(matcher, source)]
    if scope.joined and len(sources) > 1:
        spans += joined_spans(matcher, [sources])
    return grave_enough(spans, severity)


def grave_enough(spans: Iterable[Span], severity: int) -> tuple[Span, ...]:
    """The spans that flag."""
    return tuple(one for one in spans if one.severity >= severity)


def _spans(matcher: Matcher, source: Source) -> Iterator[Span]:
    for hit in matcher.find(source.text) if source.text else ():
        yield _span(hit, source.part, source.turn, hit.start, hit.end)


def _span(hit: Hit, part: Part, turn: int, start: int, end: int) -> Span:
    return Span(part, turn, start, end, hit.term.text, hit.term.category, hit.term.severity, hit.views)


@dataclass(frozen=True, slots=True)
class _Segment:
    """A stretch of one source inside the joined text."""

    start: int
    end: int
    source: Source
    offset: int
    """Of the stretch in the source's text."""
    seam: int
    """Number of the source: a find that touches two numbers covers a seam."""
    whole: bool
    """Whether it is all of the source but loose characters."""


def joined_spans(matcher: Matcher, chains: Sequence[Sequence[Source]]) -> list[Span]:
    """Terms over the seams of texts that follow each other. `turn` and `start` say where one begins, `end` where it
    ends, counted in the text that it ends in."""
    segments: list[_Segment] = []
    text: list[str] = []
    length = seam = 0
    reach = 2 * longest(matcher.terms) + 8

    def add(piece: str) -> None:
        nonlocal length
        text.append(piece)
        length += len(piece)

    for chain in chains:
        for between in ("", " "):
            add(_BREAK)
            for at, source in enumerate(_with_text(chain)):
                core = source.text.strip(LOOSE)
                lead = len(source.text) - len(source.text.lstrip(LOOSE))
                seam += 1
                add(between if at else "")
                cuts = [(0, len(core))]
                if len(core) > 2 * reach:
                    cuts = [(0, reach), (len(core) - reach, len(core))]
                for number, (first, last) in enumerate(cuts):
                    add(_BREAK if number else "")
                    whole = len(cuts) == 1
                    segments.append(
                        _Segment(length, length + last - first, source, lead + first, seam, whole)
                    )
                    add(core[first:last])
    found: dict[tuple[int, int, int, str], Span] = {}
    for hit in matcher.find("".join(text)):
        touched = [one for one in segments if one.start < hit.end and hit.start < one.end]
        if len({one.seam for one in touched}) < 2 or not no_accident(
            hit.term, [one.whole and hit.start <= one.start and one.end <= hit.end for one in touched]
        ):
            continue
        begin, final = touched[0], touched[-1]
        start = begin.offset + hit.start - begin.start
        end = final.offset + hit.end - final.start
        key = (begin.source.turn, start, end, hit.term.folded)
        found.setdefault(key, _span(hit, "joined", begin.source.turn, start, end))
    return list(found.values())


def _with_text(chain: Sequence[Source]) -> list[Source]:
    return [one for one in chain if one.text.strip(LOOSE)]


def no_accident(term: Term, fragments_whole: Iterable[bool]) -> bool:
    """The rule for a find over a seam; `fragments_whole` says which fragments are all that their text holds."""
    few = _FEW_HAN if ord(term.folded[0]) >= _HAN_FROM else _FEW_LETTERS
    return len(squeezed_text(term.text)) >= few or any(fragments_whole)


def longest(terms: TermList) -> int:
    """Characters of the longest term."""
    return max((len(one.text) for one in terms.terms), default=0)
