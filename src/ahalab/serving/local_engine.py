"""The thread in which a local model works: requests of all clients share one running batch.

Requests wait in one queue for each client, served by turns; a row that ends leaves at once and the next one joins. What
a request may cost in memory is known when it is let in, so the cache never outgrows what it was given.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ahalab.rollout.continuous import ContinuousBatch, Row
from ahalab.serving.errors import Refusal, too_many, unavailable

_LOG = logging.getLogger(__name__)
_CRASHES = 3
"""Crashes without a finished reply between them after which the engine stays down (our choice)."""
MakeBatch = Callable[[], ContinuousBatch]


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What one engine takes on."""

    rows: int = 16
    """Replies under way."""
    cache_tokens: int = 65_536
    """Tokens in the cache: rows times the longest of them, since shorter ones are padded."""
    waiting: int = 64
    """Requests that may wait for a row; beyond it the newest of the client with the most is refused with 429."""
    prefill_tokens: int = 2_048
    """Prompt tokens read between two steps of the replies under way, unless one prompt alone is longer."""


@dataclass(eq=False)
class Reply:
    """What a client's coroutine holds of its row. `take` and `cancel` in the event loop it was made in."""

    row: Row
    client: str
    _engine: LocalEngine
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _tokens: list[int] = field(default_factory=list)
    _finish: str = ""
    _error: Refusal | None = None

    async def take(self) -> tuple[list[int], str]:
        """The tokens that have come since, stop token included, and "stop", "length" or "". Refusal where it failed."""
        await self._news.wait()
        self._news.clear()
        tokens, self._tokens = self._tokens, []
        if self._error is not None and not tokens:
            raise self._error
        if self._error is not None:
            self._news.set()
        return tokens, self._finish

    def cancel(self) -> None:
        """Nobody waits for it any more. Does nothing to a reply that has ended."""
        self._engine.cancel(self)

    def arrived(self, token: int, finish: str) -> None:
        """In the event loop."""
        self._tokens.append(token)
        self._finish = finish
        self._news.set()

    def failed(self, error: Refusal) -> None:
        """In the event loop."""
        self._error = error
        self._news.set()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Where it is waited for."""
        return self._loop


class LocalEngine:
    """Runs a batch in a thread of its own. `start` once, `submit` from event loops, `close` at the end.

    Args:
        make_batch: called in the thread, and again after a crash and whenever nothing is left to do, which gives the
            cache's memory back.
        prepare: called in the thread first.
    """

    def __init__(self, make_batch: MakeBatch, limits: EngineLimits, prepare: Callable[[], None]) -> None:
        self._make_batch, self._limits, self._prepare = make_batch, limits, prepare
        self._changed = threading.Condition()
        self._waiting: OrderedDict[str, deque[Reply]] = OrderedDict()
        self._active: dict[Row, Reply] = {}
        self._closing = False
        self._failure = ""
        self._crashes_in_a_row = 0
        self.crashes = self.finished = self.tokens = self.steps = 0
        self._thread = threading.Thread(target=self._work, name="local-engine", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def ready(self) -> str:
        """Why nothing is answered now; "" when it is."""
        return self._failure or ("the model is being closed" if self._closing else "")

    def status(self) -> dict[str, Any]:
        """Figures for people and metrics."""
        with self._changed:
            return {
                "rows": len(self._active),
                "waiting": self._in_queue(),
                "finished": self.finished,
                "tokens": self.tokens,
                "steps": self.steps,
                "crashes": self.crashes,
                "failure": self._failure,
            }

    def submit(self, row: Row, client: str) -> Reply:
        """Let a row wait for its turn. Refusal: the engine is down, or full."""
        reply = Reply(row, client, self)
        with self._changed:
            why = self.ready()
            if why:
                raise unavailable(f"The model answers nothing now: {why}.", "model_unavailable")
            if self._in_queue() >= self._limits.waiting:
                self._refuse_one(client)
            self._waiting.setdefault(client, deque()).append(reply)
            self._changed.notify()
        return reply

    def cancel(self, reply: Reply) -> None:
        """Take it out of queue or batch."""
        reply.row.cancelled = True
        with self._changed:
            queue = self._waiting.get(reply.client)
            if queue is not None and reply in queue:
                queue.remove(reply)
                if not queue:
                    del self._waiting[reply.client]

    async def close(self, seconds: float = 0.0) -> None:
        """Take nothing new; end what has not ended in so many seconds; wait for the thread."""
        end = time.monotonic() + seconds
        with self._changed:
            self._closing = True
        while time.monotonic() < end and (self._active or self._waiting) and self._thread.is_alive():
            await asyncio.sleep(0.01)
        with self._changed:
            self._failure = self._failure or "closed"
            self._changed.notify()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join)

    # --- the thread ------------------------------------------------------------------------------------------

    def _work(self) -> None:
        why = "the model's engine has ended"
        try:
            self._prepare()
            batch = self._make_batch()
            while not self._failure:
                batch = self._round(batch)
        except BaseException as error:
            _LOG.exception("the engine has ended")
            why = f"the model's engine has ended ({type(error).__name__})"
        finally:
            with self._changed:
                self._failure = self._failure or why
                left = [one for queue in self._waiting.values() for one in queue]
                self._waiting.clear()
            words = "The gateway is shutting down." if self._closing else "The model has stopped working."
            code = "shutting_down" if self._closing else "model_unavailable"
            self._fail([*self._active.values(), *left], unavailable(words, code))
            self._active.clear()

    def _round(self, batch: ContinuousBatch) -> ContinuousBatch:
        with self._changed:
            while not (self._waiting or self._active or self._failure):
                self._changed.wait()
            entering = self._chosen()
            self._active.update({reply.row: reply for reply in entering})
        try:
            if entering:
                batch.enter([reply.row for reply in entering])
            drawn = batch.step()
        except Exception as error:
            return self._after_crash(error)
        self.steps += 1
        self.tokens += len(drawn)
        news = [(self._active[row], token, str(finish)) for row, token, finish in drawn]
        for row, _, finish in drawn:
            if finish:
                del self._active[row]
                self.finished += 1
                self._crashes_in_a_row = 0
        self._tell(news)
        if len(batch.rows) < len(self._active):
            at_work = set(batch.rows)
            self._active = {row: reply for row, reply in self._active.items() if row in at_work}
        return batch if self._active else self._make_batch()

    def _chosen(self) -> list[Reply]:
        """Whose rows join now: clients by turns, each in its order. Nobody is overtaken for being long."""
        chosen: list[Reply] = []
        rows = list(self._active)
        read = 0
        while self._waiting and len(self._active) + len(chosen) < self._limits.rows:
            client, queue = next(iter(self._waiting.items()))
            row = queue[0].row
            read += len(row.prompt)
            if rows and not self._fits([*rows, row]):
                break
            if chosen and read > self._limits.prefill_tokens:
                break
            chosen.append(queue.popleft())
            rows.append(row)
            self._waiting.move_to_end(client)
            if not queue:
                del self._waiting[client]
        return chosen

    def _fits(self, rows: list[Row]) -> bool:
        prompt = max(len(row.prompt) for row in rows)
        own = max(row.sampling.max_new_tokens for row in rows)
        return len(rows) * (prompt + own) <= self._limits.cache_tokens

    def _after_crash(self, error: Exception) -> ContinuousBatch:
        self.crashes += 1
        self._crashes_in_a_row += 1
        _LOG.error("the model's engine failed with %d replies under way", len(self._active), exc_info=error)
        failure = Refusal(
            500, "The model failed while it wrote this reply.", "model_failed", kind="api_error"
        )
        self._fail(list(self._active.values()), failure)
        self._active.clear()
        if self._crashes_in_a_row >= _CRASHES:
            self._failure = f"the model's engine failed {_CRASHES} times in a row ({type(error).__name__})"
        return self._make_batch()

    # --- news to the event loops --------------------------------------------------------------------------------

    def _tell(self, news: list[tuple[Reply, int, str]]) -> None:
        """One call for each event loop and step."""
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Reply, int, str]]] = {}
        for one in news:
            by_loop.setdefault(one[0].loop, []).append(one)
        for loop, some in by_loop.items():
            if not _called(loop, _arrived, some):
                for reply, _, _ in some:
                    reply.row.cancelled = True

    def _fail(self, replies: Iterable[Reply], error: Refusal) -> None:
        for reply in replies:
            _called(reply.loop, reply.failed, error)

    def _in_queue(self) -> int:
        return sum(map(len, self._waiting.values()))

    def _refuse_one(self, client: str) -> None:
        """The queue is full: the newest of the client with the most goes, which may be the one that asks now."""
        error = too_many(
            "As many requests wait for this model as may. Try again shortly.", "model_queue_full", 1
        )
        greediest = max(self._waiting, key=lambda one: len(self._waiting[one]))
        if len(self._waiting[greediest]) <= len(self._waiting.get(client, ())) + 1:
            raise error
        self._fail([self._waiting[greediest].pop()], error)


def _arrived(news: list[tuple[Reply, int, str]]) -> None:
    for reply, token, finish in news:
        reply.arrived(token, finish)


def _called(loop: asyncio.AbstractEventLoop, function: Callable[[Any], None], argument: Any) -> bool:
    try:
        loop.call_soon_threadsafe(function, argument)
    except RuntimeError:  # the loop is closed: nobody waits there any more
        return False
    return True
