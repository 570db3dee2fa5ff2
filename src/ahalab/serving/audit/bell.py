"""Wakes an event loop once for all the rows of a commit: a wake-up is a system call, and the loop's next turn."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import Any


class Bell:
    """Waits for futures of another thread, for one loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._lock = threading.Lock()
        self._finished: list[tuple[asyncio.Future[None], Future[Any]]] = []

    async def done(self, future: Future[Any]) -> None:
        """Returns once the future is done; raises what it raises. Cancelling the wait leaves the future alone."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        future.add_done_callback(lambda done: self._ring(waiter, done))
        await waiter

    def _ring(self, waiter: asyncio.Future[None], done: Future[Any]) -> None:
        """In the thread that finished the future."""
        with self._lock:
            first = not self._finished
            self._finished.append((waiter, done))
        if first:  # otherwise an earlier one's call is on its way, and takes this one along
            with suppress(RuntimeError):  # the loop was closed; so nobody waits any more
                self.loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        with self._lock:
            finished, self._finished = self._finished, []
        for waiter, done in finished:
            if waiter.done():
                continue  # cancelled
            error = done.exception()
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)
