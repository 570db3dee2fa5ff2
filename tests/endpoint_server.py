"""An OpenAI-compatible server on 127.0.0.1 that does what a test tells it, well or badly."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import pytest

from ahalab.endpoints import cache as cache_module
from ahalab.endpoints import pace
from ahalab.endpoints.config import EndpointConfig


@pytest.fixture(autouse=True)
def endpoint_alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For the tests of every module that imports it: short waits, no proxy, no cache left open."""
    monkeypatch.setattr(pace, "FIRST_WAIT", 0.002)
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    yield
    cache_module._OPEN.clear()


@dataclass(frozen=True)
class Step:
    """What the server does with one request."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0.0
    """Seconds before it begins to answer."""
    drip: float = 0.0
    """Seconds between two bytes of the body."""
    cut: bool = False
    """Promise more bytes than are sent, and close."""
    hang_up: bool = False
    """Close without a word."""


def say(text: str | None, finish: str = "stop", usage: tuple[int, int] | None = (7, 5), **how: Any) -> Step:
    """A proper reply."""
    value: dict[str, Any] = {"choices": [{"message": {"content": text}, "finish_reason": finish}]}
    if usage:
        value["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return Step(body=json.dumps(value).encode(), **how)


def error(status: int, message: str = "", **headers: str) -> Step:
    """A refusal; header names have _ for -."""
    body = json.dumps({"error": {"message": message}}).encode()
    return Step(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


Script = Sequence[Step] | Callable[[str], Step | str]
"""Steps in the order of requests (the last one again and again), or a function of the user's turn."""


class EndpointServer:
    """Serves `script` while the `with` block lasts. `prompts` are the user turns that came, `headers` their headers."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.prompts: list[str] = []
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.times: list[float] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                owner.answer(self, body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def config(self, **changes: Any) -> EndpointConfig:
        """An entry of a recipe's `endpoints:` for this server, one request at a time."""
        return EndpointConfig(**{"url": self.url, "model": "fake", "parallel": 1, **changes})

    def answer(self, handler: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        prompt = body["messages"][-1]["content"]
        with self._lock:
            number = len(self.prompts)
            self.prompts.append(prompt)
            self.bodies.append(body)
            self.headers.append({name.lower(): value for name, value in handler.headers.items()})
            self.times.append(time.monotonic())
        if callable(self.script):
            made = self.script(prompt)
            step = say(made) if isinstance(made, str) else made
        else:
            step = self.script[min(number, len(self.script) - 1)]
        _perform(handler, step)


def _perform(handler: BaseHTTPRequestHandler, step: Step) -> None:
    time.sleep(step.wait)
    handler.close_connection = step.cut or step.hang_up or bool(step.drip)
    if step.hang_up:
        return
    try:
        handler.send_response(step.status)
        for name, value in step.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(step.body) + (100 if step.cut else 0)))
        handler.end_headers()
        if step.drip:
            for byte in step.body:
                handler.wfile.write(bytes([byte]))
                handler.wfile.flush()
                time.sleep(step.drip)
        else:
            handler.wfile.write(step.body)
    except OSError:
        pass  # the client has gone away, as some tests want


def mark_of(prompt: str) -> str:
    """The mark (nonce) of a request made from a bundled prompt file."""
    found = re.search(r"^\[begin question ([0-9a-f]{8})\]$", prompt, re.MULTILINE)
    assert found, "the request has no marked block"
    return found.group(1)


def block(prompt: str, slot: str) -> str:
    """The text of one marked block of a request."""
    mark = mark_of(prompt)
    return prompt.split(f"[begin {slot} {mark}]\n")[1].split(f"\n[end {slot} {mark}]")[0]


def obliging(prompt: str) -> str:
    """Answers each of the bundled prompt files in its form: a stand-in for a good model."""
    mark = mark_of(prompt)
    if "[begin answer_a " in prompt:
        first, second = len(block(prompt, "answer_a")), len(block(prompt, "answer_b"))
        return f"My own answer: …\nVerdict {mark}: [[{'A>>B' if first > second else 'B>>A'}]]"
    if '"correctness"' in prompt:
        right = block(prompt, "reference") in block(prompt, "answer")
        return json.dumps(
            {"analysis": "compared", "correctness": "correct" if right else "incorrect", "check": mark}
        )
    if '"safety"' in prompt:
        unsafe = "poison" in block(prompt, "answer") + block(prompt, "thinking")
        return json.dumps({"analysis": "read", "safety": "unsafe" if unsafe else "safe", "check": mark})
    if "[begin final_answer " in prompt:
        return f"Step by step this gives $x$, so \\boxed{{{block(prompt, 'final_answer')}}}."
    if "[begin thought_process " in prompt:
        return f"I look at it. {block(prompt, 'thought_process')}"
    return f"=== thinking {mark} ===\nI think.\n=== answer {mark} ===\nHere you are: \\boxed{{2}}."
