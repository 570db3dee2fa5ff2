"""What LiteLLM logs in `gateway_vs_litellm`: a row before the model is asked and one after it, as our audit log does.

Runs in LiteLLM's own environment, so it imports nothing of ahalab. Plain `sqlite3` in one thread that writes what waits
in one transaction, durable (`synchronous=FULL`): less work than our log does, which also chains, signs and encrypts.
The request waits for its first row; for the second nobody waits, as with our `conclude_first: flagged`.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import sqlite3
import threading
import time
import uuid
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

_ROWS = "CREATE TABLE IF NOT EXISTS rows (at REAL, kind TEXT, exchange TEXT, text TEXT)"


class Logger(CustomLogger):
    """Rows of both kinds, with texts."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: queue.Queue[tuple[tuple[Any, ...], asyncio.Future[None] | None]] = queue.Queue()
        threading.Thread(target=self._write, daemon=True).start()

    async def async_pre_call_hook(self, *, data: Any, **_: Any) -> Any:
        exchange = uuid.uuid4().hex
        data.setdefault("metadata", {})["exchange"] = exchange
        durable = asyncio.get_running_loop().create_future()
        text = json.dumps(data.get("messages"), ensure_ascii=False)
        self._waiting.put(((time.time(), "intent", exchange, text), durable))
        await durable
        return data

    async def async_log_success_event(self, kwargs: Any, response_obj: Any, **_: Any) -> None:
        exchange = (kwargs.get("litellm_params", {}).get("metadata") or {}).get("exchange", "")
        text = response_obj.choices[0].message.content
        self._waiting.put(((time.time(), "conclusion", exchange, text), None))

    def _write(self) -> None:
        connection = sqlite3.connect(os.environ["LITELLM_BENCHMARK_LOG"])
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(_ROWS)
        while True:
            group = [self._waiting.get()]
            while len(group) < 256 and not self._waiting.empty():
                group.append(self._waiting.get())
            with connection:
                connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", [row for row, _ in group])
            for _, durable in group:
                if durable is not None:
                    durable.get_loop().call_soon_threadsafe(_done, durable)


def _done(durable: asyncio.Future[None]) -> None:
    if not durable.done():
        durable.set_result(None)


instance = Logger()
