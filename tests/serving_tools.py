"""A gateway for tests: a scripted model, an audit store in memory, made-up terms; on loopback or asked in place."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI
from tests.guard_control import BAD, STANDARDS, Scripted

from ahalab.errors import EnvironmentFailure
from ahalab.guard.history import RetractedReplies
from ahalab.guard.records import Decision, Delta, Exchange
from ahalab.guard.reload import Controls
from ahalab.serving.app import make_app
from ahalab.serving.keys import Key, Keys, add_key
from ahalab.serving.running import on_loopback
from ahalab.serving.settings import GatewaySettings

TERMS = """category: made-up
en:
  - zorbom
  - {text: gnarf him, severity: 2}
zh:
  - 炸弹
"""
HELLO = [Delta(content="Hello"), Delta(content=" there"), Delta(finish="stop", tokens_in=7, tokens_out=3)]
BAD_REPLY = [
    Delta(thinking="Let me think."),
    Delta(content="You build a "),
    Delta(content="zor"),
    Delta(content="bom"),
    Delta(content=" like so"),
    Delta(finish="stop", tokens_in=7, tokens_out=5),
]


class ScriptedModel:
    """Answers with the same pieces; a number is a pause in seconds, an exception is raised."""

    names = ("m", "m2")

    def __init__(self, pieces: Iterable[Delta | float | Exception] = HELLO) -> None:
        self.pieces = list(pieces)
        self.asked: list[tuple[Exchange, Mapping[str, Any]]] = []
        self.closed = self.finished = 0

    async def answer(self, exchange: Exchange, options: Mapping[str, Any]) -> AsyncIterator[Delta]:
        self.asked.append((exchange, options))
        try:
            for piece in self.pieces:
                if isinstance(piece, Delta):
                    yield piece
                elif isinstance(piece, Exception):
                    raise piece
                else:
                    await asyncio.sleep(piece)
            self.finished += 1
        finally:
            self.closed += 1


class MemoryAudit:
    """Keeps rows in lists; `broken` names the step that fails: "ready", "intent" or "conclude"."""

    def __init__(self) -> None:
        self.broken = ""
        self.intents: list[Exchange] = []
        self.rows: list[tuple[Exchange, Decision, str, str, Mapping[str, Any]]] = []

    async def ready(self) -> str:
        return "the disk is full" if self.broken == "ready" else ""

    async def intent(self, exchange: Exchange, policy: str) -> None:
        assert policy
        self._check("intent")
        self.intents.append(exchange)

    async def conclude(
        self, exchange: Exchange, decision: Decision, reply: str, thinking: str, extra: Mapping[str, Any]
    ) -> None:
        json.dumps(dict(extra))
        self._check("conclude")
        self.rows.append((exchange, decision, reply, thinking, extra))

    async def conclude_soon(self, *row: Any) -> Coroutine[Any, Any, None]:
        self._check("conclude soon")
        return self.conclude(*row)

    def _check(self, step: str) -> None:
        if self.broken == step:
            raise EnvironmentFailure("the disk is full")


class Served:
    """A gateway and all that it was made of."""

    def __init__(
        self,
        folder: Path,
        *,
        model: Any = None,
        reviewer: Any = None,
        audit: Any = None,
        policy: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        keys: Iterable[Key] | None = None,
    ) -> None:
        terms = folder / "terms"
        terms.mkdir(exist_ok=True)
        (terms / "made.yaml").write_text(TERMS, encoding="utf-8")
        written = {"name": "test", "standards": STANDARDS, "sample_unflagged": 0.0, **(policy or {})}
        (folder / "test.yaml").write_text(json.dumps(written), encoding="utf-8")
        self.folder, self.model = folder, model or ScriptedModel()
        self.reviewer = reviewer or Scripted(BAD)
        self.audit = audit or MemoryAudit()
        self.settings = GatewaySettings(**{"shutdown_seconds": 0.5, **(settings or {})})
        self.controls = Controls(
            [str(folder / "test.yaml")],
            lambda _: self.reviewer,
            RetractedReplies(b"a secret of the tests"),
            terms=terms,
            ready=self.audit.ready,
            insecure=self.settings.insecure,
        )
        self.tokens: dict[str, str] = {}
        store: Keys | None = None
        if keys is not None:
            self.tokens = {one.id: add_key(folder / "keys.json", one)[1] for one in keys}
            store = Keys(folder / "keys.json")
        self.app: FastAPI = make_app(self.settings, self.model, self.controls, self.audit, store)
        self.gateway = self.app.state.gateway

    def run(self, use: Callable[[str], Coroutine[Any, Any, Any]]) -> Any:
        """Serves on loopback while `use`, which gets the address, runs."""

        async def served() -> Any:
            async with on_loopback(self.app) as url:
                return await use(url)

        return asyncio.run(served())

    def ask(
        self, path: str, body: Any = None, *, method: str = "POST", key: str = "", **headers: str
    ) -> httpx2.Response:
        """One request, without a socket. `body`: JSON-able, or bytes as they are."""

        async def asked() -> httpx2.Response:
            transport = httpx2.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
                sent = {"Content-Type": "application/json"}
                if key:
                    sent["Authorization"] = f"Bearer {self.tokens.get(key, key)}"
                sent.update({name.replace("_", "-"): text for name, text in headers.items()})
                content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
                answer = await client.request(method, path, content=content, headers=sent)
            await self.gateway.settled()
            return answer

        return asyncio.run(asked())

    def chat(self, text: str = "Hi", stream: bool = False, **more: Any) -> httpx2.Response:
        """A chat request."""
        return self.ask("/v1/chat/completions", chat_body(text, stream=stream, **more))


def chat_body(text: str = "Hi", **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **more}


def text_body(text: str = "Hi", **more: Any) -> dict[str, Any]:
    return {"model": "m", "prompt": text, **more}


def events(response: httpx2.Response) -> list[dict[str, Any]]:
    """The events of a stream, which ends with [DONE]."""
    data = [line[6:] for line in response.text.split("\n") if line.startswith("data: ")]
    assert data[-1] == "[DONE]", response.text
    return [json.loads(one) for one in data[:-1]]


def shown(response: httpx2.Response) -> str:
    """All text of a stream or of a plain reply."""
    if "event-stream" not in response.headers["content-type"]:
        choice = response.json()["choices"][0]
        return str(choice["message"]["content"] if "message" in choice else choice["text"])
    found = [one["choices"][0] for one in events(response) if one.get("choices")]
    return "".join(one["delta"].get("content", "") if "delta" in one else one["text"] for one in found)
