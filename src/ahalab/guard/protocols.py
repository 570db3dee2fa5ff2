"""What the control asks of a reviewer and of an audit store; what the gateway asks of a model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any, Protocol

from ahalab.guard.records import Decision, Delta, Exchange, Review


class Reviewer(Protocol):
    """Judges one flagged dialogue against the standards of a policy (paper D.3.1, Listing 8)."""

    def identity(self) -> dict[str, Any]:
        """What decides its verdicts: at least `kind`, `model`, `prompt` (hash), `training_data` (hashes)."""
        ...

    async def review(self, exchange: Exchange, reply: str, thinking: str) -> Review:
        """Never raises for a reviewer's failure: that is a `Review` with `error`."""
        ...


class AuditStore(Protocol):
    """Where every exchange leaves a row before its first byte goes out."""

    async def ready(self) -> str:
        """ "" when rows can be written; otherwise why not (the gateway then answers 503)."""
        ...

    async def intent(self, exchange: Exchange, policy: str) -> None:
        """The exchange begins: durable once this returns. Raises `EnvironmentFailure` when it cannot be kept."""
        ...

    async def conclude(
        self, exchange: Exchange, decision: Decision, reply: str, thinking: str, extra: Mapping[str, Any]
    ) -> None:
        """What was done. Durable once this returns; raises as `intent`."""
        ...

    async def conclude_soon(
        self, exchange: Exchange, decision: Decision, reply: str, thinking: str, extra: Mapping[str, Any]
    ) -> Awaitable[None]:
        """As `conclude`, without waiting for a disk: what it returns is done once the row is durable, and raises."""
        ...


class Model(Protocol):
    """Answers: a local checkpoint, or an upstream server."""

    @property
    def names(self) -> tuple[str, ...]:
        """Model names that clients may ask for."""
        ...

    def answer(self, exchange: Exchange, options: Mapping[str, Any]) -> AsyncIterator[Delta]:
        """The reply piece by piece; closing the iterator stops it. `options`: allow-listed sampling settings only."""
        ...
