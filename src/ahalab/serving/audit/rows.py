"""A row of the chain: what it says, in one canonical form, and the HMAC that ties it to the row before it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from ahalab.guard.records import Decision, Exchange, Review, Span
from ahalab.serving.audit.keyfile import AuditKeys

Kind = Literal["intent", "conclusion", "closure", "reading", "erasure", "label"]
"""An exchange begins · what was done with it · an intent that a killed process left open is closed · a text was read ·
texts were erased · a person judged a decision."""

FORM = 1
"""Form of the rows written now. A later form may sign further columns; rows keep the form they were written in."""
SIGNED: Mapping[int, tuple[str, ...]] = {
    1: (
        "number",
        "form",
        "kind",
        "at",
        "exchange",
        "closes",
        "key",
        "policy",
        "action",
        "would",
        "flagged",
        "sampled",
        "bypass",
        "body",
    ),
}
"""Columns that a row's HMAC covers, in order, by form. Every column but the HMAC itself is there."""
MOST_SPANS = 1000
"""Of one exchange, in the row; `hits` counts all. A message of nothing but terms would otherwise fill the log."""

# Made once: `json.dumps` makes an encoder for each call that asks for anything but the defaults.
_SORTED = json.JSONEncoder(allow_nan=False, sort_keys=True, separators=(",", ":"))
_SHORT = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def now() -> str:
    """UTC, microseconds, of one width: sorts as text."""
    return stamp(datetime.now(UTC))


def stamp(moment: datetime) -> str:
    """A time as rows carry it."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


@dataclass(slots=True)
class Draft:
    """A row before it has its place in the chain."""

    kind: Kind
    exchange: str
    key: str = ""
    policy: str = ""
    action: str = ""
    would: str = ""
    flagged: int = 0
    sampled: int = 0
    bypass: str = ""
    body: dict[str, Any] = field(default_factory=dict)
    text: bytes | None = None
    """What is kept sealed, in its own table."""
    at: str = field(default_factory=now)

    @property
    def ends(self) -> bool:
        """Whether it ends an exchange, and so needs the intent of that exchange."""
        return self.kind in ("conclusion", "closure")

    def row(self, number: int, closes: int | None) -> dict[str, Any]:
        """The columns, without the HMAC."""
        return {
            "number": number,
            "form": FORM,
            "kind": self.kind,
            "at": self.at,
            "exchange": self.exchange,
            "closes": closes,
            "key": self.key,
            "policy": self.policy,
            "action": self.action,
            "would": self.would,
            "flagged": self.flagged,
            "sampled": self.sampled,
            "bypass": self.bypass,
            "body": written(self.body),
        }


def drafted(text: bytes) -> Draft:
    """A draft from its JSON. ValueError where it is none."""
    try:
        value = json.loads(text)
        kept = value["text"]
        return Draft(**{**value, "text": None if kept is None else kept.encode("ascii")})
    except (TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"no row: {error}") from error


def row_mac(keys: AuditKeys, before: str, row: Mapping[str, Any]) -> str:
    """The HMAC of a row after the row whose HMAC is `before`. ValueError for a form that nobody wrote."""
    columns = SIGNED.get(row["form"])
    if columns is None:
        raise ValueError(f"form {row['form']!r} is not known")
    values = [row[column] for column in columns]
    return keys.sign(f"row\0{before}\0{_SHORT.encode(values)}".encode("ascii"))


def first_mac(keys: AuditKeys, chain: str) -> str:
    """What stands before row 1: ties the rows to this database's chain."""
    return keys.sign(f"chain\0{chain}".encode())


def written(value: Any) -> str:
    """JSON in ASCII with sorted keys: no NUL, surrogate or newline ever reaches a database's text column."""
    try:
        return _SORTED.encode(value)
    except (TypeError, ValueError):  # hardly ever: something in it is no JSON
        return _SORTED.encode(_plain(value))


def sealed_text(value: Any) -> bytes:
    """What is sealed, before it is."""
    return written(value).encode("ascii")


def intent_draft(keys: AuditKeys, exchange: Exchange, policy: str, keep_text: bool) -> Draft:
    """The row that stands before the first byte of a reply."""
    turns = []
    for turn in exchange.turns:
        said: dict[str, Any] = {
            "role": turn.role,
            "hash": keys.text_hash(turn.content),
            "characters": len(turn.content),
        }
        if turn.thinking:
            said |= {"thinking": keys.text_hash(turn.thinking), "thinking_characters": len(turn.thinking)}
        turns.append(said)
    draft = Draft(
        "intent",
        exchange.id,
        exchange.key,
        policy,
        body={
            "model": exchange.model,
            "stream": exchange.stream,
            "language": exchange.language,
            "turns": turns,
        },
    )
    if keep_text:
        _keep(keys, draft, {"turns": [[one.role, one.content, one.thinking] for one in exchange.turns]})
    return draft


def conclusion_draft(
    keys: AuditKeys,
    exchange: Exchange,
    decision: Decision,
    reply: str,
    thinking: str,
    extra: Mapping[str, Any],
    keep_text: bool,
) -> Draft:
    """The row that says what was done. A reviewer's words and the terms found quote the dialogue: they are text."""
    review = decision.review
    draft = Draft(
        "conclusion",
        exchange.id,
        exchange.key,
        decision.policy,
        decision.action,
        decision.would,
        int(decision.flagged),
        int(decision.sampled),
        decision.bypass,
        {
            "reason": decision.reason,
            "category": decision.category,
            "hits": len(decision.spans),
            "spans": [_span(keys, span) for span in decision.spans[:MOST_SPANS]],
            "review": _review(review) if review else None,
            "seconds": dict(decision.timings),
            "reply": {"hash": keys.text_hash(reply), "characters": len(reply)},
            "thinking": {"hash": keys.text_hash(thinking), "characters": len(thinking)},
            "extra": dict(extra),
        },
    )
    if keep_text:
        terms = list(dict.fromkeys(span.term for span in decision.spans))[:MOST_SPANS]
        kept: dict[str, Any] = {"reply": reply, "thinking": thinking, "terms": terms}
        if review:
            kept |= {"review": review.reason, "raw": list(review.raw)}
        _keep(keys, draft, kept)
    return draft


def _keep(keys: AuditKeys, draft: Draft, value: Mapping[str, Any]) -> None:
    draft.text = sealed_text(value)
    draft.body["text"] = {"hash": keys.text_hash(draft.text.decode("ascii")), "bytes": len(draft.text)}


def _span(keys: AuditKeys, span: Span) -> dict[str, Any]:
    return {
        "part": span.part,
        "turn": span.turn,
        "start": span.start,
        "end": span.end,
        "term": keys.text_hash(span.term)[:16],
        "category": span.category,
        "severity": span.severity,
        "views": list(span.views),
    }


def _review(review: Review) -> dict[str, Any]:
    return {
        "rules": list(review.rules),
        "verdict": "error" if review.error else "violates" if review.violates else "none",
        "error": review.error,
        "reviewer": review.reviewer,
        "windows": review.windows,
        "calls": review.calls,
        "tokens": review.tokens,
        "seconds": review.seconds,
    }


def _plain(value: Any) -> Any:
    """The value as JSON can say it: what others hand in (`extra`) must never keep a row from being written."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
