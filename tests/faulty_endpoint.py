"""An OpenAI-compatible server on 127.0.0.1 that fails in every way on purpose, for hundreds of calls at a time.

What it does with a question hangs on the question alone and on how often it came, so what has to become of every item
is known beforehand. It counts what it answered in full: that is what a real server would bill.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from ahalab.counter import make_key, uniform

FIRST_TIME = ("429", "500", "time-out", "truncated", "no JSON", "half JSON", "hang-up")
"""Troubles of a first try; the second one is answered."""
EVERY_TIME: dict[str, str] = {
    "500 always": "server error",
    "other schema": "unreadable reply",
    "no JSON always": "unreadable reply",
    "drips forever": "time-out",
    "floods forever": "reply too large",
    "too long": "refused: too long",
}
"""Troubles that do not pass, and the error that the item must end in."""
CONTROLS = {"filter 200": "content_filter", "filter 400": "content_filter", "gateway": "rule 7"}
"""What is no trouble: a risk control took the reply; and the reason that must be told."""
OTHER = ("fine", "empty", "cut off")
PAID = ("filter 200", "gateway", *OTHER, *FIRST_TIME)
"""Kinds that end in a reply that is paid for."""


def kinds(prompts: Sequence[str], share: float, slow: int, seed: int = 0) -> dict[str, str]:
    """What happens to each question: a share of them in trouble, of those that wait for a time-out `slow` each."""
    quick = [*FIRST_TIME, *EVERY_TIME, *CONTROLS, "empty", "cut off"]
    waiting = ["time-out", "drips forever"]
    quick = [kind for kind in quick if kind not in waiting]
    found = {}
    for place, prompt in enumerate(prompts):
        if place < slow * len(waiting):
            found[prompt] = waiting[place % len(waiting)]
            continue
        key = make_key(seed, prompt)
        found[prompt] = quick[int(uniform(key, 1) * len(quick))] if uniform(key, 0) < share else "fine"
    return found


class FaultyEndpoint:
    """Serves while the `with` block lasts, in a thread of its own.

    Args:
        kinds: question → what happens to it; "fine" where it is not named.
        wait: seconds before an answer.
        answer: text of a proper answer.
    """

    def __init__(
        self,
        kinds: Mapping[str, str] | None = None,
        wait: float = 0.0,
        answer: Callable[[str], str] = lambda prompt: f"answer to {prompt}",
    ) -> None:
        self.kinds, self.wait, self.answer = dict(kinds or {}), wait, answer
        self.asked: Counter[str] = Counter()
        self.paid: Counter[str] = Counter()
        self.troubles: Counter[str] = Counter()
        self.under_way = self.most_under_way = 0

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024)
        )
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                size = int(head.split("content-length:")[1].split("\r\n")[0])
                body = json.loads(await reader.readexactly(size))
                self.under_way += 1
                self.most_under_way = max(self.most_under_way, self.under_way)
                try:
                    await self._reply(body["messages"][-1]["content"], writer)
                finally:
                    self.under_way -= 1
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError, _Close):
            pass
        finally:
            writer.close()

    async def _reply(self, prompt: str, writer: asyncio.StreamWriter) -> None:
        self.asked[prompt] += 1
        kind = self.kinds.get(prompt, "fine")
        if kind in FIRST_TIME and self.asked[prompt] > 1:
            kind = "fine"
        if kind not in ("fine", *OTHER):
            self.troubles[kind] += 1
        await asyncio.sleep(self.wait)
        if kind in ("time-out", "drips forever"):
            await self._stall(writer, drip=kind != "time-out")
        elif kind == "hang-up":
            raise _Close
        elif kind == "floods forever":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while True:
                writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                await writer.drain()
        elif kind == "truncated":
            writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{"choices": [{"mess')
            await writer.drain()
            raise _Close
        else:
            status, headers, body = self._whole(kind, prompt)
            writer.write(
                f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body
            )
            await writer.drain()
            if status == 200 and kind in ("fine", *OTHER, "filter 200", "gateway"):
                self.paid[prompt] += 1

    async def _stall(self, writer: asyncio.StreamWriter, drip: bool) -> None:
        if drip:
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(6000):
            await asyncio.sleep(0.1)
            if drip:
                writer.write(b"1\r\n \r\n")
                await writer.drain()
            if writer.is_closing() or writer.transport.is_closing():
                break
        raise _Close

    def _whole(self, kind: str, prompt: str) -> tuple[int, str, bytes]:
        errors = {"429": 429, "500": 500, "500 always": 500, "filter 400": 400, "too long": 413}
        if kind in errors:
            words = "content management policy" if kind == "filter 400" else kind
            wait = "Retry-After: 0.05\r\n" if kind == "429" else ""
            return errors[kind], wait, json.dumps({"error": {"message": words}}).encode()
        if kind in ("no JSON", "no JSON always"):
            return 200, "", b"<html>upstream is busy</html>"
        if kind == "half JSON":
            return 200, "", b'{"choices": [{"message": {"content": "cut'
        if kind == "other schema":
            return 200, "", b'{"output": [{"text": "in another schema"}]}'
        return 200, "", json.dumps(self._proper(kind, prompt)).encode()

    def _proper(self, kind: str, prompt: str) -> dict[str, Any]:
        content: str | None = self.answer(prompt)
        finish = "stop"
        extra: dict[str, Any] = {}
        if kind in ("empty", "filter 200"):
            content = None
            finish = "content_filter" if kind == "filter 200" else "stop"
        if kind == "cut off":
            finish = "length"
        if kind == "gateway":
            content, extra = (
                "A notice instead of the reply.",
                {"ahalab": {"control": "rule 7", "reviewer_calls": 1}},
            )
        return {
            "choices": [{"message": {"content": content}, "finish_reason": finish}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 20},
            **extra,
        }


class _Close(Exception):
    """Close the connection."""
