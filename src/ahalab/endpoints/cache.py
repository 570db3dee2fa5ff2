"""Replies on disk: append-only, so that a killed or resumed stage never pays twice for the same call."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from ahalab.errors import AhaError, UserError
from ahalab.runs.jsonl import JsonlReader, JsonlWriter


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of an endpoint, as it came."""

    text: str
    finish: str
    """The server's finish reason: "stop", "length" (cut off at max_tokens), …"""
    tokens_in: int
    tokens_out: int
    estimated: bool = False
    """The server told no token counts: they are a quarter of the bytes of UTF-8 (our choice)."""
    thinking: str = ""
    """What a reasoning server tells apart from the text (`reasoning_content`, `reasoning`); its tokens count too."""
    control: str = ""
    """Why a risk control withheld or replaced the reply, in the server's words; "content_filter" where it has none."""
    reviewer_calls: int = 0
    """Calls of a reviewer that a gateway says this reply cost."""
    seconds: float | None = None
    """From sending the try that succeeded to its last byte."""


class ReplyCache:
    """The replies in one file of JSON rows: {"key", "reply"}. Safe to use from several threads of one process.

    The order of the rows is that of arrival; nothing depends on it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = JsonlWriter(path)  # first, for it mends what a kill left half written
        try:
            self._replies: dict[str, Reply] = {row["key"]: Reply(**row["reply"]) for row in JsonlReader(path)}
        except (KeyError, TypeError) as error:
            raise UserError(
                f"{path} is no file of kept replies ({error}). Put it back as the run wrote it."
            ) from None
        self.tokens_in = sum(reply.tokens_in for reply in self._replies.values())
        self.tokens_out = sum(reply.tokens_out for reply in self._replies.values())

    def __len__(self) -> int:
        return len(self._replies)

    @property
    def tokens(self) -> int:
        """Tokens of every reply in the file, prompts included: what the budget counts."""
        return self.tokens_in + self.tokens_out

    def get(self, key: str) -> Reply | None:
        """The reply to this call, if it was ever made."""
        return self._replies.get(key)

    def put(self, key: str, reply: Reply) -> None:
        """Keep a reply; once this returns `kill -9` cannot take it back. EnvironmentFailure on a full disk."""
        row: Mapping[str, Any] = {"key": key, "reply": asdict(reply)}
        with self._lock:
            if key not in self._replies:
                self._writer.append(row)
                self._replies[key] = reply
                self.tokens_in += reply.tokens_in
                self.tokens_out += reply.tokens_out

    def __del__(self) -> None:
        # Rows are in the file once written; what closing adds is safety against a power cut.
        with suppress(AhaError, OSError, AttributeError):
            self._writer.close()


_OPEN: WeakValueDictionary[Path, ReplyCache] = WeakValueDictionary()


def open_cache(path: Path) -> ReplyCache:
    """The cache in `path`; a teacher and a judge at one endpoint share one, since a file may have one writer only."""
    path = path.absolute()
    cache = _OPEN.get(path)
    if cache is None:
        cache = _OPEN[path] = ReplyCache(path)
    return cache
