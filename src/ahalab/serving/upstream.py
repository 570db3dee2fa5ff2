"""Any OpenAI-compatible server as the model: vLLM, Ollama, DeepSeek's own and others."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import httpx2

from ahalab.endpoints.asynchronous import AsyncChat, Bounds, ChatFailed
from ahalab.endpoints.client import headers_of, read_key
from ahalab.endpoints.config import EndpointConfig
from ahalab.endpoints.reading import shown
from ahalab.errors import EnvironmentFailure, UserError
from ahalab.guard.records import Delta, Exchange
from ahalab.serving.errors import Refusal, too_many
from ahalab.validation import validate

_LOG = logging.getLogger(__name__)
_NAME = "upstream"
_LISTED_BYTES = 1_000_000
_ANSWERS: Mapping[str, tuple[int, str, str]] = {
    "time-out": (504, "The model took too long.", "model_timeout"),
    "no connection": (502, "The model cannot be reached.", "model_unreachable"),
    "refused: too long": (400, "The dialogue is longer than the model takes.", "context_length_exceeded"),
    "refused: content": (400, "The model's own filter refused the dialogue.", "content_filter"),
    "refused": (502, "The model refused the request.", "model_refused"),
    "unauthorized": (502, "The model does not take the gateway's own key.", "model_unauthorized"),
    "payment": (502, "The model is not paid for.", "model_unpaid"),
}
"""Trouble → status, words, code. A server's own words may hold anything: they go to the log, never to a client."""


class UpstreamModel:
    """Implements `guard.protocols.Model`.

    Args:
        chat: the endpoint.
        names: the name that clients use → the server's own.
    """

    def __init__(self, chat: AsyncChat, names: Mapping[str, str]) -> None:
        self._chat, self._own = chat, dict(names)
        self._names = tuple(names)

    @property
    def names(self) -> tuple[str, ...]:
        """Model names that clients may ask for."""
        return self._names

    async def answer(self, exchange: Exchange, options: Mapping[str, Any]) -> AsyncGenerator[Delta, None]:
        """The reply as it comes; in one piece where the client did not ask for a stream. Raises Refusal.

        Of an earlier turn only role and content are sent: servers refuse thinking in a request.
        """
        messages = [{"role": turn.role, "content": turn.content} for turn in exchange.turns]
        wanted = {**options, "model": self._own[exchange.model]}
        try:
            if not exchange.stream:
                reply = await self._chat.complete(messages, wanted, take_empty=True)
                yield Delta(reply.text, reply.thinking, reply.finish, reply.tokens_in, reply.tokens_out)
                return
            async with aclosing(self._chat.stream(messages, wanted)) as pieces:
                async for one in pieces:
                    yield Delta(one.content, one.thinking, one.finish, one.tokens_in, one.tokens_out)
        except ChatFailed as failure:
            _LOG.warning("exchange %s: the upstream failed: %s", exchange.id, failure)
            raise refusal_of(failure) from None

    async def aclose(self) -> None:
        """Close every connection."""
        await self._chat.aclose()


def refusal_of(failure: ChatFailed) -> Refusal:
    """What a client is told."""
    reason = failure.trouble.reason
    if reason == "rate limit":
        return too_many("The model takes no more requests now.", "model_rate_limit", failure.rest or 5.0)
    status, words, code = _ANSWERS.get(reason, (502, "The model failed.", "model_failed"))
    return Refusal(status, words, code, kind="invalid_request_error" if status == 400 else "api_error")


def open_upstream(
    url: str, names: Mapping[str, str], key_env: str | None, reply_seconds: float, http: Any = None
) -> UpstreamModel:
    """The model behind an address. Without names those that the server lists.

    Args:
        names: the name that clients use → the server's own.
        key_env: name of the environment variable with the server's key.
        http: a transport, for tests.

    Raises:
        UserError: no such address, or the key is not set.
        EnvironmentFailure: the server lists no models.
    """
    settings = {
        "url": url,
        "model": "(per request)",
        "api_key_env": key_env,
        "temperature": None,
        "max_tokens": None,
        "timeout_seconds": min(reply_seconds, 3600.0),
    }
    config = validate(EndpointConfig, settings, "--upstream")
    bounds = Bounds(first_seconds=reply_seconds, idle_seconds=min(reply_seconds, 120.0))
    chat = AsyncChat(_NAME, config, bounds, transport=http)  # the gateway bounds how many are under way
    return UpstreamModel(chat, names or {name: name for name in listed_models(config)})


def listed_models(config: EndpointConfig) -> list[str]:
    """The names that a server lists. EnvironmentFailure where it lists none."""
    headers = headers_of(read_key(_NAME, config))
    advice = "Is it running? Or name its model with --model."
    try:
        answer = httpx2.get(f"{config.url}/models", headers=headers, timeout=10.0, follow_redirects=False)
    except httpx2.InvalidURL as error:
        raise UserError(f"--upstream {config.url}: no address ({error})") from error
    except httpx2.HTTPError as error:
        raise EnvironmentFailure(f"{config.url}/models cannot be asked ({error}). {advice}") from error
    body = answer.content[:_LISTED_BYTES]
    try:
        entries = answer.json()["data"] if answer.status_code == 200 else []
        names = [str(one["id"]) for one in entries if isinstance(one.get("id"), str)]
    except (ValueError, TypeError, KeyError, AttributeError):
        names = []
    if not names:
        raise EnvironmentFailure(
            f"{config.url}/models lists no models (HTTP {answer.status_code}: {shown(body, 120)}). {advice}"
        )
    return names
