"""Open-loop load over raw connections: requests leave at their time, whether earlier ones are answered or not."""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from dataclasses import dataclass, field

_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(slots=True)
class Figures:
    """Milliseconds of each request, counted from the moment at which it should have left."""

    first: list[float] = field(default_factory=list)
    """To the first piece of content; streams only."""
    stream: list[float] = field(default_factory=list)
    plain: list[float] = field(default_factory=list)
    failed: int = 0


class Load:
    """Asks one address; connections are kept and used again."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: deque[Connection] = deque()
        self.open = self.most_open = 0

    async def at_rate(self, rate: float, seconds: float) -> Figures:
        """Every second request is a stream."""
        figures, loop = Figures(), asyncio.get_running_loop()
        start, tasks = loop.time() + 0.05, []
        for number in range(int(rate * seconds)):
            due = start + number / rate
            delay = due - loop.time()
            if delay > 0:
                await asyncio.sleep(delay)
            tasks.append(asyncio.ensure_future(self.ask(figures, due, stream=number % 2 == 0)))
        await asyncio.gather(*tasks)
        return figures

    async def together(self, count: int, text: str, over: float) -> Figures:
        """So many streams, opened over so many seconds; `most_open` says how many were open at one time."""
        figures, loop = Figures(), asyncio.get_running_loop()

        async def one(number: int) -> None:
            await asyncio.sleep(over * number / count)
            await self.ask(figures, loop.time(), stream=True, text=text)

        await asyncio.gather(*(one(number) for number in range(count)))
        return figures

    async def ask(self, figures: Figures, due: float, *, stream: bool, text: str = "Say something.") -> None:
        """One request; a failure is counted."""
        loop = asyncio.get_running_loop()
        body = json.dumps(
            {"model": "m", "stream": stream, "messages": [{"role": "user", "content": text}]}
        ).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nContent-Length: {len(body)}\r\n"
        try:
            reader, writer = await self._connection()
            writer.write(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in answer[:20]:
                raise ConnectionError(answer[:40])
            if stream:
                await reader.readuntil(b'"content"')
                figures.first.append((loop.time() - due) * 1e3)
                self.open += 1
                self.most_open = max(self.most_open, self.open)
                try:
                    await reader.readuntil(b"data: [DONE]")
                    figures.stream.append((loop.time() - due) * 1e3)
                    await reader.readuntil(b"0\r\n\r\n")
                finally:
                    self.open -= 1
            else:
                told = _LENGTH.search(answer)
                await reader.readexactly(int(told[1]) if told else 0)
                figures.plain.append((loop.time() - due) * 1e3)
            self._idle.append((reader, writer))
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            figures.failed += 1

    def forget(self) -> None:
        """Close what is kept: a server that stands still for a while may close it just when it is used again."""
        while self._idle:
            self._idle.pop()[1].close()

    async def _connection(self) -> Connection:
        while self._idle:
            found = self._idle.pop()
            if not found[0].at_eof() and not found[1].is_closing():
                return found
        return await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 22)
