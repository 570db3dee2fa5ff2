"""A dialogue with an OpenAI-compatible server: what was said so far, without what was withdrawn or broke off."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from ahalab.endpoints.asynchronous import AsyncChat
from ahalab.endpoints.reading import text_of
from ahalab.endpoints.streaming import Piece


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """The server took a reply back. Hostile text."""

    text: str = ""
    category: str = ""
    verdict_id: str = ""


class Listener(Protocol):
    """Who shows a reply while it comes."""

    def begin(self) -> None:
        """A question was sent."""

    def show(self, content: str, thinking: str) -> None:
        """Further text, not yet released: a withdrawal may follow."""

    def end(self, withdrawal: Withdrawal | None) -> None:
        """The reply is over: it may stay, or all of it must go."""


class Dialogue:
    """Questions and finished replies, sent on with every question; thinking is not (as DeepSeek's API has it)."""

    def __init__(self, chat: AsyncChat, options: Mapping[str, Any] | None = None) -> None:
        self._chat, self._options = chat, dict(options or {})
        self.rounds: list[tuple[str, str]] = []

    async def ask(self, question: str, listener: Listener) -> Withdrawal | None:
        """The reply to a question, shown as it comes. A withdrawn round is forgotten whole: question and reply.

        Raises ChatFailed; a reply that broke off, also by cancelling, is forgotten too.
        """
        turns = [pair for said in self.rounds for pair in zip(("user", "assistant"), said, strict=True)]
        messages = [{"role": role, "content": text} for role, text in [*turns, ("user", question)]]
        content: list[str] = []
        withdrawal = None
        listener.begin()
        async with aclosing(self._chat.stream(messages, self._options)) as pieces:
            async for piece in pieces:
                withdrawal = withdrawal_of(piece) or withdrawal
                if withdrawal is None:
                    content.append(piece.content)
                    listener.show(piece.content, piece.thinking)
        listener.end(withdrawal)
        if withdrawal is None:
            self.rounds.append((question, "".join(content)))
        return withdrawal


def withdrawal_of(piece: Piece) -> Withdrawal | None:
    """What a piece says of a withdrawal: the gateway's extension, or only the finish reason of any server."""
    word = piece.extra.get("ahalab")
    told = word if isinstance(word, Mapping) else {}
    if told.get("retracted") is not True and piece.finish != "content_filter":
        return None
    text, category, verdict = (text_of(told.get(name)) for name in ("text", "category", "verdict_id"))
    return Withdrawal(text or piece.content, category[:80], verdict[:80])
