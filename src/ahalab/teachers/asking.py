"""Asking an endpoint for many results: marked requests, strict reading, bounded asking again, all of it counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ahalab.endpoints.cache import Reply
from ahalab.endpoints.client import ChatClient, ChatRequest, Failed
from ahalab.teachers.protocol import Failure
from ahalab.teachers.replies import LONGEST_REPLY, framed, make_nonce, without_own_thinking
from ahalab.teachers.templates import Instruction

MOST_ASKS = 3
"""How often one result is asked for while replies cannot be read. Our choice."""

Reader = Callable[[str, str], Any]
"""(reply without its own thinking, mark) → a result or a `Failure`."""


@dataclass(frozen=True, slots=True)
class Task:
    """One result wanted."""

    key: int
    instruction: Instruction
    data: Mapping[str, str]
    """Slot → text from outside; it is put between marked lines."""
    plain: Mapping[str, str]
    """Slot → words of our own."""
    read: Reader

    def request(self, attempt: int) -> tuple[ChatRequest, str]:
        """The request and its mark. Each attempt has a mark of its own, so that it differs at temperature 0 too."""
        nonce = make_nonce(self.key, self.instruction.name, attempt, list(self.data.values()))
        blocks = {slot: framed(text, slot, nonce) for slot, text in self.data.items()}
        content = self.instruction.fill({**self.plain, **blocks, "nonce": nonce})
        return ChatRequest((("user", content),), attempt), nonce


class Asker:
    """A client with counts that are the same after a resume."""

    def __init__(self, client: ChatClient) -> None:
        self.client = client
        self.counts: Counter[str] = Counter()

    def ask(self, tasks: Sequence[Task]) -> list[Any]:
        """A result or a `Failure` for each task, in order. Errors as `ChatClient.complete`."""
        results: list[Any] = [Failure("not asked")] * len(tasks)
        open_tasks = list(range(len(tasks)))
        for attempt in range(MOST_ASKS):
            self.counts["asked_again"] += len(open_tasks) if attempt else 0
            requests = [tasks[index].request(attempt) for index in open_tasks]
            replies = self.client.complete([request for request, _ in requests])
            unread: list[int] = []
            for index, (_, nonce), reply in zip(open_tasks, requests, replies, strict=True):
                results[index] = self._read(tasks[index], nonce, reply)
                if isinstance(results[index], Failure) and isinstance(reply, Reply):
                    unread.append(index)
            open_tasks = unread
            if not open_tasks:
                break
        return results

    def _read(self, task: Task, nonce: str, reply: Reply | Failed) -> Any:
        if isinstance(reply, Failed):
            return Failure(f"endpoint: {reply.reason}", reply.detail)
        self.counts["tokens_in"] += reply.tokens_in
        self.counts["tokens_out"] += reply.tokens_out
        self.counts["replies_with_estimated_tokens"] += reply.estimated
        if reply.finish == "length":
            return Failure("reply cut off", "the reply reached max_tokens")
        if len(reply.text) > LONGEST_REPLY:
            return Failure("reply not in form", f"the reply has {len(reply.text):,} characters")
        return task.read(without_own_thinking(reply.text), nonce)
