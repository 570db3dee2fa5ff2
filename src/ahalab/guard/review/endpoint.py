"""A reviewer behind an OpenAI-compatible endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import httpx2

from ahalab.endpoints.asynchronous import AsyncChat, Bounds, ChatFailed
from ahalab.guard.review.config import EndpointReviewerConfig
from ahalab.guard.review.reviewer import TOO_LONG, Answer, AskFailed

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 2.0
"""Seconds before a call is tried again: what a busy server asks for, within these. Our choice: a client waits."""


class EndpointAsker:
    """See `ahalab.guard.review.reviewer.Asker`."""

    def __init__(
        self, config: EndpointReviewerConfig, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self.config = config
        bounds = Bounds(first_seconds=config.timeout_seconds)
        self._chat = AsyncChat("reviewer", config, bounds, transport=transport)

    def identity(self) -> dict[str, Any]:
        """See `Asker.identity`. What it learned from is not known: `training_data` is []."""
        return {"kind": "endpoint", **self.config.identity(), "training_data": []}

    async def ask(self, messages: Sequence[Mapping[str, str]], options: Mapping[str, Any]) -> Answer:
        """See `Asker.ask`."""
        try:
            reply = await self._chat.complete(messages, options, take_empty=True)
        except ChatFailed as error:
            raise _failed(error) from None
        return Answer(reply.text, reply.finish, reply.tokens_in + reply.tokens_out)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._chat.aclose()


def _failed(error: ChatFailed) -> AskFailed:
    trouble = error.trouble
    if trouble.reason == "time-out":
        return AskFailed("time-out", trouble.detail)
    if trouble.reason == "refused: too long":
        return AskFailed(TOO_LONG, trouble.detail)
    if trouble.reason == "refused: content":
        return AskFailed("schema: refused", trouble.detail)
    pause = min(max(error.rest or 0.0, FIRST_PAUSE), LONGEST_PAUSE) if trouble.remedy == "retry" else None
    return AskFailed(f"endpoint: {trouble.reason}", trouble.detail, pause)
