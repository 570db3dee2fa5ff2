"""A stand-in for the gateway: the chat page at `/`, scripted replies streamed as the gateway streams them.

A reply is a list of steps: ("thinking", text), ("content", text), ("comment", ""), ("wait", name) until the test calls
`release(name)`, ("error", message), ("finish", reason), ("withdraw", text).
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from app_server import running

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from browser import Watched

Step = tuple[str, str]
VERDICT = "exchange-7f3a"
SECRET = "MARKER-zebra-7731"
"""Text of replies that are withdrawn: nothing may hold it afterwards."""

THINKING = (
    "The person wants to know why the sky is blue.\n\nLight from the sun holds **all colours**. Air scatters short "
    "waves far more than long ones: the strength goes with the inverse fourth power of the wavelength.\n\nWhy not "
    "violet? Wait, there is less violet in sunlight, and the eye sees it less."
)
ANSWER = """The sky is blue because **air scatters blue light more than red light**.

1. Sunlight holds all colours.
2. Molecules of air scatter short waves most (*Rayleigh scattering*): by `1 / λ⁴`.
3. From every direction of the sky, blue reaches the eye.

| colour | wavelength | scattered, against red |
|---|---|---|
| red | 680 nm | 1 |
| blue | 450 nm | 5.2 |

As a program:

```python
def scattered(wavelength: float, against: float = 680.0) -> float:
    return (against / wavelength) ** 4
```
"""
SKY, BOAT, HELD = "Why is the sky blue?", "How do I fold a paper boat?", "How do I fold a paper hat?"
TEXT = "This reply was withdrawn because it may break the rules of this service. You can ask in another way."


@dataclass(slots=True)
class Standin:
    """What the server was asked, and what it answers."""

    address: str = ""
    scripts: dict[str, Sequence[Step]] = field(default_factory=dict)
    """Question → steps; others are answered with `Echo: QUESTION`."""
    key: str = ""
    """The API key that is asked for; "" for none."""
    models: tuple[str, ...] = ("tiny", "tiny-large")
    refusals: list[tuple[int, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    """Answers to the next requests instead of replies: status, headers, body."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    left: threading.Event = field(default_factory=threading.Event)
    """Set when a client went away before its reply's end."""
    _gates: dict[str, threading.Event] = field(default_factory=dict)

    def gate(self, name: str) -> threading.Event:
        return self._gates.setdefault(name, threading.Event())

    def release(self, name: str) -> None:
        """Let the replies that wait for `name` go on."""
        self.gate(name).set()

    def frames(self, question: str) -> Sequence[Step]:
        return self.scripts.get(question, [("content", f"Echo: {question}"), ("finish", "stop")])

    async def stream(self, question: str) -> AsyncIterator[str]:
        ended = False
        try:
            for kind, text in self.frames(question):
                if kind == "wait":
                    while not self.gate(text).is_set():
                        await asyncio.sleep(0.01)
                elif kind == "comment":
                    yield ": keep-alive\n\n"
                elif kind == "error":
                    yield f"data: {json.dumps({'error': {'message': text, 'type': 'server_error'}})}\n\n"
                elif kind != "end":
                    yield f"data: {json.dumps(frame(kind, text))}\n\n"
            yield "data: [DONE]\n\n" if self.frames(question)[-1][0] != "end" else ""
            ended = True
        finally:
            if not ended:
                self.left.set()


def frame(kind: str, text: str) -> dict[str, Any]:
    """One chunk as the gateway sends it."""
    delta: dict[str, str] = {}
    more: dict[str, Any] = {}
    finish = None
    if kind == "thinking":
        delta = {"reasoning_content": text}
    elif kind == "content":
        delta = {"content": text}
    elif kind == "finish":
        finish = text
    elif kind == "withdraw":
        finish = "content_filter"
        more = {
            "ahalab": {
                "retracted": True,
                "verdict_id": VERDICT,
                "category": "privacy",
                "reason": "content_filter",
                "text": text,
            }
        }
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "x", "object": "chat.completion.chunk", "model": "tiny", "choices": [choice], **more}


@contextmanager
def standin() -> Iterator[Standin]:
    """The server on a free port of this machine."""
    pytest.importorskip("starlette", reason="the extra `serve` is not installed")
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response, StreamingResponse
    from starlette.routing import Route

    from ahalab.serving.page import mount_page

    state = Standin()

    def unauthorized(request: Request) -> Response | None:
        told = request.headers.get("authorization", "")
        state.keys.append(told)
        if state.key and told != f"Bearer {state.key}":
            return JSONResponse({"error": {"message": "Unknown API key.", "code": "invalid_api_key"}}, 401)
        return None

    async def models(request: Request) -> Response:
        names = [{"id": one, "object": "model"} for one in state.models]
        return unauthorized(request) or JSONResponse({"object": "list", "data": names})

    async def chat(request: Request) -> Response:
        refused = unauthorized(request)
        if refused is not None:
            return refused
        body = await request.json()
        state.asked.append(body)
        if state.refusals:
            status, headers, content = state.refusals.pop(0)
            return JSONResponse(content, status, headers)
        return StreamingResponse(
            state.stream(body["messages"][-1]["content"]), media_type="text/event-stream"
        )

    app = Starlette(
        routes=[Route("/v1/models", models), Route("/v1/chat/completions", chat, methods=["POST"])]
    )
    mount_page(app)
    with running(app) as state.address:
        yield state


@contextmanager
def usual() -> Iterator[Standin]:
    """With a reply that thinks (SKY), one that is withdrawn after it was shown (BOAT), and one before (HELD)."""
    with standin() as made:
        made.scripts[SKY] = [
            ("thinking", THINKING[:150]),
            ("wait", "thought"),
            ("thinking", THINKING[150:]),
            ("content", ANSWER[:120]),
            ("wait", "answered"),
            ("content", ANSWER[120:]),
            ("finish", "stop"),
        ]
        made.scripts[BOAT] = [
            ("thinking", f"thought {SECRET}"),
            ("content", f"First {SECRET}"),
            ("content", f" and `{SECRET}` again"),
            ("wait", "review"),
            ("withdraw", TEXT),
        ]
        made.scripts[HELD] = [
            ("comment", ""),
            ("wait", "review"),
            ("comment", ""),
            ("content", TEXT),
            ("withdraw", TEXT),
        ]
        yield made


def opened(watched: Watched, server: Standin) -> Page:
    page = watched.page
    page.goto(server.address)
    page.wait_for_function("() => document.getElementById('model').options.length > 0")
    return page


def ask(page: Page, question: str) -> None:
    page.get_by_label("Your question").fill(question)
    page.get_by_label("Your question").press("Enter")


def finished(page: Page) -> None:
    page.locator(".round").last.get_by_role("button", name="Try again").wait_for()
    page.get_by_role("button", name="Send").wait_for()


def shows(page: Page, text: str) -> None:
    page.wait_for_function("text => document.getElementById('rounds').textContent.includes(text)", arg=text)


def kept(page: Page) -> str:
    found = page.evaluate(
        "() => JSON.stringify([Object.entries(localStorage), Object.entries(sessionStorage), document.cookie])"
    )
    assert isinstance(found, str)
    return found
