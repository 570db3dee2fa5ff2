"""A streamed reply as it comes: server-sent events within bounds, and what their data mean. All of it is hostile text.

Strict, because a gateway passes on what stands here: an event that is no JSON object of this protocol, a second choice,
text after the finish reason, and an end without a finish reason are faults, never skipped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ahalab.endpoints.reading import Trouble, choice_of, error_in, shown, text_of, told_tokens

DONE = "[DONE]"
_SURROGATE = re.compile("[\ud800-\udfff]")
_WORD = re.compile("[A-Za-z0-9_-]{0,40}")


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a streamed reply. Empty fields say nothing."""

    content: str = ""
    thinking: str = ""
    """`reasoning_content` or `reasoning`."""
    finish: str = ""
    """The server's finish reason; "" while the reply goes on."""
    tokens_in: int = 0
    tokens_out: int = 0
    """So far, where the server tells; some tell with every piece: the last count is the one that counts."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What else a gateway must know of: "tool_calls" (a list, unchecked), "ahalab" (another gateway's word)."""

    def __bool__(self) -> bool:
        return bool(
            self.content or self.thinking or self.finish or self.tokens_in or self.tokens_out or self.extra
        )


class Broken(Exception):
    """A stream that cannot be read on."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(f"{trouble.reason}: {trouble.detail}")
        self.trouble = trouble


def mended(text: str) -> str:
    """Text that has a UTF-8 form: two halves of a character (surrogates) are joined, a lone one is replaced."""
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def finish_word(finish: str) -> str:
    """A finish reason that can be passed on: a short plain word, "unknown" where it is none."""
    return finish if _WORD.fullmatch(finish) else "unknown"


class EventReader:
    """Splits a body into the data of its events, as the HTML standard's "Server-sent events" has it.

    Bytes may be cut anywhere. An event whose blank line never came is dropped there, as the standard says; only
    `[DONE]` counts at once. Time is linear in the bytes.
    """

    def __init__(self, event_bytes: int) -> None:
        self._most = event_bytes
        self._begun: list[bytes] = []
        """Parts of the line that has not ended yet."""
        self._size = 0
        self._data: list[str] = []
        self._first = True

    def feed(self, chunk: bytes) -> Iterator[str]:
        """The data of the events that end in this chunk. Raises Broken."""
        for line in chunk.splitlines(keepends=True):  # of bytes: at \n, \r and \r\n, nowhere else
            self._size += len(line)
            if self._size > self._most:
                raise Broken(
                    Trouble("reply too large", f"an event of more than {self._most:,} bytes", "fail")
                )
            self._begun.append(line)
            if line.endswith((b"\n", b"\r")):
                whole, self._begun = b"".join(self._begun), []
                yield from self._line(whole.rstrip(b"\r\n"))

    def _line(self, raw: bytes) -> Iterator[str]:
        if not raw:
            data, self._data, self._size = self._data, [], 0
            if data:
                yield "\n".join(data)
            return
        try:
            line = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise Broken(Trouble("unreadable reply", "an event is no UTF-8", "retry")) from None
        line = line.removeprefix("\ufeff") if self._first else line
        self._first = False
        name, _, value = line.partition(":")
        if name == "data":
            value = value.removeprefix(" ")
            if value.strip() == DONE and not self._data:
                yield DONE
            else:
                self._data.append(value)


class ChunkReader:
    """From the data of events to pieces. Raises Broken for whatever is not a chat completion's chunk."""

    def __init__(self) -> None:
        self.finish = ""
        self._held = {"content": "", "thinking": ""}

    def read(self, data: str) -> Piece:
        """The piece of one event; an empty one where it says nothing."""
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            raise _unreadable("an event is no JSON", data) from None
        if not isinstance(value, Mapping):
            raise _unreadable("an event is no JSON object", data)
        trouble = error_in(value)
        if trouble is not None:
            raise Broken(trouble)
        usage = value.get("usage")
        told = told_tokens(usage) if isinstance(usage, Mapping) else None
        tokens_in, tokens_out = told or (0, 0)
        extra = {"ahalab": value["ahalab"]} if isinstance(value.get("ahalab"), Mapping) else {}
        choices = value.get("choices")
        if not isinstance(choices, list) or (not choices and not told and not self._says_of_prompt(value)):
            raise _unreadable("an event without choices", data)
        if not choices:
            return Piece(tokens_in=tokens_in, tokens_out=tokens_out, extra=extra)
        if len(choices) > 1:
            raise _unreadable("more than one choice", data)
        piece = self._choice(choice_of(value), data)
        return replace(
            piece, tokens_in=tokens_in, tokens_out=tokens_out, extra={**extra, **dict(piece.extra)}
        )

    def end(self) -> None:
        """The stream is over: Broken where the reply is not."""
        if not self.finish:
            raise Broken(
                Trouble("broken connection", "the stream ended before the reply had a finish reason", "retry")
            )

    def _choice(self, choice: Mapping[str, Any] | None, data: str) -> Piece:
        if choice is None or choice.get("index", 0) not in (0, None):
            raise _unreadable("a choice that was not asked for", data)
        finish = choice.get("finish_reason") or ""
        delta = choice.get("delta")
        if not isinstance(finish, str) or not (isinstance(delta, Mapping) or (delta is None and finish)):
            raise _unreadable("no choices[0].delta", data)
        delta = delta or {}
        content = self._mended(
            "content", text_of(delta.get("content")) + text_of(delta.get("refusal")), finish
        )
        thought = text_of(delta.get("reasoning_content")) or text_of(delta.get("reasoning"))
        thinking = self._mended("thinking", thought, finish)
        tools = delta.get("tool_calls")
        if self.finish and (content or thinking or tools):
            raise _unreadable("text after the finish reason", data)
        finish = finish_word(finish)
        self.finish = self.finish or finish
        return Piece(content, thinking, finish, extra={"tool_calls": tools} if tools else {})

    def _mended(self, part: str, text: str, finish: str) -> str:
        """Text that has a UTF-8 form: a character cut in two surrogates is joined over pieces, a lone half replaced."""
        held = self._held[part]
        if not held and not _SURROGATE.search(text):
            return text
        text, self._held[part] = held + text, ""
        if not finish and "\ud800" <= text[-1:] <= "\udbff":
            text, self._held[part] = text[:-1], text[-1]
        return mended(text)

    @staticmethod
    def _says_of_prompt(value: Mapping[str, Any]) -> bool:
        """Some servers begin with an event about the prompt alone, without a choice."""
        return value.get("object") == "chat.completion.chunk"


def _unreadable(what: str, data: str) -> Broken:
    return Broken(Trouble("unreadable reply", f"{what}: {shown(data.encode('utf-8', 'replace'))}", "retry"))
