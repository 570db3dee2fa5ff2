"""Requests for a client of endpoints, and what it told of them."""

from __future__ import annotations

from ahalab.endpoints.cache import Reply
from ahalab.endpoints.client import ChatClient, ChatRequest, Failed


def ask(*texts: str, call: int = 0) -> list[ChatRequest]:
    return [ChatRequest((("user", text),), call) for text in texts]


def texts(results: list[Reply | Failed]) -> list[str]:
    return [one.text if isinstance(one, Reply) else f"!{one.reason}" for one in results]


def heard(client: ChatClient, requests: list[ChatRequest]) -> dict[int, str]:
    """What `on_outcome` was told: place → text, or "!reason"."""
    told: dict[int, str] = {}

    def on_outcome(place: int, outcome: Reply | Failed) -> None:
        assert place not in told
        told[place] = texts([outcome])[0]

    client.complete(requests, on_outcome)
    return told
