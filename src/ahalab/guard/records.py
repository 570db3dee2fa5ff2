"""The nouns of risk control: an exchange, what flags it, what a reviewer says, what is done. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["system", "user", "assistant", "tool"]
Part = Literal["query", "history", "system", "assistant", "tool", "reply", "thinking", "joined"]
"""Where a span lies: the last user turn · an earlier one · a system, assistant or tool turn that the client sent · the
model's answer · its thinking · text put together from several of them (terms split across turns)."""

Action = Literal["release", "retract", "refuse", "queue"]
"""Shown to the client · taken back or withheld after review · never sent to the model · waits for a reviewer."""
Mode = Literal["enforce", "shadow"]
OnError = Literal["retract", "allow", "queue"]
Streaming = Literal["hold", "retract"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of the client's request. Hostile text."""

    role: Role
    content: str
    thinking: str = ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request, with everything that decides how it is controlled."""

    id: str
    """Unique; also the audit row's."""
    key: str
    """Id of the API key (never the key), "" on a loopback gateway without keys."""
    turns: tuple[Turn, ...]
    model: str
    stream: bool
    language: str = "en"
    """Guessed from the last user turn; decides the retraction text."""


@dataclass(frozen=True, slots=True)
class Span:
    """A term that was found, and where."""

    part: Part
    turn: int
    """Index in `Exchange.turns`; -1 for the model's reply and thinking."""
    start: int
    end: int
    term: str
    category: str
    severity: int
    views: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Review:
    """A reviewer's word on one dialogue. `error` set means: no verdict, `on_error` decides."""

    rules: tuple[int, ...] = ()
    """Ids of the violated standards; () for none (the reviewer's `[-1]`)."""
    reason: str = ""
    """Hostile text."""
    error: str = ""
    """Stable words: "schema", "unknown rule", "time-out", "budget", "circuit open", "endpoint: …"."""
    reviewer: str = ""
    """Hash of the reviewer's identity."""
    windows: int = 1
    calls: int = 0
    tokens: int = 0
    seconds: float = 0.0
    raw: tuple[str, ...] = ()

    @property
    def violates(self) -> bool:
        """Whether some standard is violated; False also where there is no verdict: look at `error` first."""
        return bool(self.rules)


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done with an exchange, and why. In shadow mode `action` is "release"; `would` is what it had been."""

    action: Action
    would: Action
    policy: str
    """Version (hash) of the policy that decided."""
    spans: tuple[Span, ...] = ()
    flagged: bool = False
    sampled: bool = False
    """Reviewed though not flagged, to measure what the keywords miss."""
    review: Review | None = None
    bypass: str = ""
    """Why something unreviewed was let through ("on_error: allow", "insecure"): logged and counted, every time."""
    reason: str = ""
    """For the client, in stable words: "content_filter", "retracted_history", "unavailable"."""
    category: str = ""
    """Of the gravest span or rule: chooses the retraction text."""
    timings: Mapping[str, float] = field(default_factory=dict)
    """Seconds: "filter", "review", "queue"."""


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a model's reply as an upstream sends it."""

    content: str = ""
    thinking: str = ""
    finish: str = ""
    """"stop", "length", "content_filter"; "" while the reply goes on."""
    tokens_in: int = 0
    tokens_out: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)
