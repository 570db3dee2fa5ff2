"""Server-sent events as OpenAI sends them, for chat and for text completions, and the same replies in one piece.

One extension: the chunk that ends a retracted reply has `finish_reason: content_filter` and a key `ahalab` beside
`choices`. What is the same in every chunk is made once, so that a piece costs one string.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Literal

from ahalab.guard.records import Delta
from ahalab.serving.errors import Refusal, encoded

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": keep-alive\n\n"
Kind = Literal["chat", "text"]
_OBJECTS = {
    "chat": ("chat.completion.chunk", "chat.completion"),
    "text": ("text_completion", "text_completion"),
}


class Frames:
    """The frames of one reply."""

    def __init__(self, kind: Kind, exchange_id: str, model: str, created: int, include_usage: bool) -> None:
        self._kind, self._include_usage = kind, include_usage
        chat = kind == "chat"
        self._head = {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{exchange_id}",
            "object": _OBJECTS[kind][0],
            "created": created,
            "model": model,
        }
        usage = ',"usage":null' if include_usage else ""
        opening = json.dumps(self._head, separators=(",", ":"))[:-1]
        self._before = f'data: {opening},"choices":[{{"index":0,' + ('"delta":{' if chat else '"text":')
        self._after = ("}" if chat else "") + f',"logprobs":null,"finish_reason":null}}]{usage}}}\n\n'
        self._begun = not chat

    def pieces(self, deltas: list[Delta]) -> bytes:
        """Text and thinking of these pieces; before the first one the chunk that names the role."""
        made = []
        if not self._begun:
            self._begun = True
            made.append(f'{self._before}"role":"assistant","content":""{self._after}')
        for delta in deltas:
            if self._kind == "text":
                if delta.content:
                    made.append(f"{self._before}{quoted(delta.content)}{self._after}")
                continue
            if delta.thinking:
                made.append(f'{self._before}"reasoning_content":{quoted(delta.thinking)}{self._after}')
            if delta.content:
                made.append(f'{self._before}"content":{quoted(delta.content)}{self._after}')
        return "".join(made).encode("ascii")

    def last(self, finish: str, extra: Mapping[str, Any]) -> bytes:
        """The chunk with the finish reason."""
        empty: dict[str, Any] = {"delta": {}} if self._kind == "chat" else {"text": ""}
        choice = {"index": 0, **empty, "logprobs": None, "finish_reason": finish}
        usage = {"usage": None} if self._include_usage else {}
        return event({**self._head, "choices": [choice], **usage, **extra})

    def usage(self, tokens_in: int, tokens_out: int) -> bytes:
        """The chunk of `stream_options: {include_usage: true}`; nothing where it was not asked for."""
        if not self._include_usage:
            return b""
        return event({**self._head, "choices": [], "usage": usage_of(tokens_in, tokens_out)})


def event(value: Any) -> bytes:
    """One event."""
    return b"data: " + encoded(value) + b"\n\n"


def failed(error: Refusal, extra: Mapping[str, Any]) -> bytes:
    """How a stream ends that cannot be ended well: OpenAI's clients raise this as an error."""
    return event(error.body(extra)) + DONE


def usage_of(tokens_in: int, tokens_out: int) -> dict[str, int]:
    """As OpenAI names them."""
    return {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "total_tokens": tokens_in + tokens_out,
    }


def whole_reply(
    kind: Kind,
    exchange_id: str,
    model: str,
    created: int,
    deltas: list[Delta],
    tokens: tuple[int, int],
    extra: Mapping[str, Any],
) -> bytes:
    """The reply in one piece."""
    content = "".join(one.content for one in deltas)
    thinking = "".join(one.thinking for one in deltas)
    finish = next((one.finish for one in deltas if one.finish), "stop")
    choice: dict[str, Any] = {"index": 0}
    if kind == "chat":
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if thinking:
            message["reasoning_content"] = thinking
        choice["message"] = message
    else:
        choice["text"] = content
    choice.update({"logprobs": None, "finish_reason": finish})
    return encoded(
        {
            "id": f"{'chatcmpl' if kind == 'chat' else 'cmpl'}-{exchange_id}",
            "object": _OBJECTS[kind][1],
            "created": created,
            "model": model,
            "choices": [choice],
            "usage": usage_of(*tokens),
            **extra,
        }
    )
