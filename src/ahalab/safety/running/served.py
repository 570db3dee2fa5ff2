"""A target behind an OpenAI-compatible endpoint: every reply that came is kept before anything is made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ahalab.endpoints.cache import Reply
from ahalab.endpoints.client import ChatClient, ChatRequest, Failed, request_key
from ahalab.endpoints.config import EndpointConfig
from ahalab.runs.jsonl import read_jsonl
from ahalab.safety.protocols import OnReply
from ahalab.safety.records import Finish, SafetyItem, TargetReply
from ahalab.safety.running.parting import part_reply
from ahalab.safety.running.targets import ServedTarget


class Served:
    """See `ahalab.safety.running.targets.RunTarget`.

    Args:
        folder: of the evaluation; replies as they came lie in `targets/<name>/paid/`.
        seed: another seed asks for another sample of every reply.
    """

    def __init__(
        self, name: str, config: ServedTarget, folder: Path, seed: int, stopping: Callable[[], bool]
    ) -> None:
        self.name, self.control_of = name, config.control_of or ""
        self._config, self._seed, self._stopping = config, seed, stopping
        self._paid = folder / "targets" / name / "paid"
        self._opened: ChatClient | None = None

    @property
    def endpoint(self) -> EndpointConfig:
        """See `RunTarget`."""
        return self._config

    def identity(self) -> dict[str, Any]:
        """See `Target`."""
        known: dict[str, Any] = {"kind": "endpoint", **self._config.identity()}
        known["system_prompt"] = self._config.system_prompt
        if self._config.control:
            known["control"] = self._config.control
        return known

    def check(self, items: Sequence[SafetyItem]) -> str:  # noqa: ARG002 - any text can be sent
        """See `RunTarget`. The key must be there."""
        self._client()
        return ""

    def kept(self, items: Sequence[SafetyItem]) -> int:
        """See `RunTarget`. Reads the file without opening it for writing."""
        keys = {row["key"] for path in self._paid.glob("*.jsonl") for row in read_jsonl(path)}
        return sum(request_key(self._config, self._request(item)) in keys for item in items)

    def prompt_bytes(self, item: SafetyItem) -> int:
        """See `RunTarget`."""
        return sum(len(content.encode("utf-8", "replace")) for _, content in self._request(item).messages)

    def replies(self, items: Sequence[SafetyItem], on_reply: OnReply) -> None:
        """See `Target`. Errors as `ChatClient.complete`."""

        def on_outcome(place: int, outcome: Reply | Failed) -> None:
            on_reply(self._row(items[place], outcome))

        self._client().complete([self._request(item) for item in items], on_outcome)

    def _client(self) -> ChatClient:
        if self._opened is None:
            self._paid.mkdir(parents=True, exist_ok=True)
            self._opened = ChatClient(self.name, self._config, self._paid, self._stopping, take_empty=True)
        return self._opened

    def _request(self, item: SafetyItem) -> ChatRequest:
        system = self._config.system_prompt
        before = (("system", system),) if system else ()
        return ChatRequest((*before, ("user", item.prompt)), self._seed)

    def _row(self, item: SafetyItem, outcome: Reply | Failed) -> TargetReply:
        if isinstance(outcome, Failed):
            # A filter that answers with an HTTP error has answered: that is no fault of the server.
            return TargetReply(
                item.id,
                self.name,
                "",
                finish="content_filter" if outcome.control else "stop",
                control=outcome.control,
                error="" if outcome.control else outcome.reason,
                reviewer_calls=outcome.reviewer_calls,
            )
        thinking, answer = part_reply(outcome.text)
        if outcome.thinking.strip():
            thinking = f"{outcome.thinking.strip()}\n\n{thinking}".strip()
        return TargetReply(
            item.id,
            self.name,
            answer,
            thinking,
            _finish(outcome.finish),
            outcome.control,
            "",
            outcome.tokens_in,
            outcome.tokens_out,
            outcome.seconds,
            outcome.reviewer_calls,
        )


def _finish(word: str) -> Finish:
    return "length" if word == "length" else "content_filter" if word == "content_filter" else "stop"
