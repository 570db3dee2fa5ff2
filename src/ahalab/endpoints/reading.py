"""From what a server sent to a reply, or to what is to be done about it. Everything it sends is hostile text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ahalab.endpoints.cache import Reply
from ahalab.text.hostile import make_visible

Remedy = Literal["retry", "fail", "settings", "key", "payment"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """A request without a reply. `remedy`: try again · give this one up · the recipe, the key or the bill is wrong."""

    reason: str
    """Stable words to count by."""
    detail: str
    remedy: Remedy
    control: str = ""
    """As in `Reply`: it was a risk control that refused."""
    reviewer_calls: int = 0


_TRY_AGAIN = frozenset({408, 409, 425, 429})
_TOO_LONG = re.compile(
    r"context[ _-]?length|maximum context|context window|too (?:long|large|many tokens)|exceeds? the .{0,40}tokens"
    r"|string_above_max_length",
    re.IGNORECASE,
)
_REFUSED = re.compile(r"content[ _-]?(?:filter|policy|management)|moderation|safety system", re.IGNORECASE)
_UNPAID = re.compile(
    r"insufficient[ _-]?(?:quota|balance|funds|credit)|exceeded your current quota", re.IGNORECASE
)


def read_reply(status: int, body: bytes, sent_bytes: int, *, take_empty: bool = False) -> Reply | Trouble:
    """What a finished HTTP exchange means.

    Args:
        sent_bytes: size of the messages, for servers that count no tokens.
        take_empty: a reply without text is a reply (it was paid for), not a trouble.
    """
    value = _parsed(body)
    if not 200 <= status < 300:
        return _refusal(status, _server_words(value, body), value)
    if not isinstance(value, Mapping):
        return Trouble("unreadable reply", f"no JSON object: {shown(body)}", "retry")
    choice = choice_of(value)
    message = choice.get("message") if choice is not None else None
    if choice is None or not isinstance(message, Mapping):
        return Trouble("unreadable reply", f"no choices[0].message: {_server_words(value, body)}", "retry")
    text = text_of(message.get("content")) or text_of(message.get("refusal"))
    finish = str(choice.get("finish_reason") or "stop")
    control, reviewer_calls = _control(value, choice, message)
    if finish == "content_filter":
        control = control or finish
    thinking = text_of(message.get("reasoning_content")) or text_of(message.get("reasoning"))
    if take_empty and not text and not thinking and not _says_nothing(message):
        return Trouble(
            "unreadable reply", f"no text in message.content: {_server_words(value, body)}", "retry"
        )
    if not (take_empty or text.strip() or (finish == "length" and thinking.strip())):
        if finish == "content_filter":
            return Trouble(
                "refused: content",
                "the server's content filter took the reply",
                "fail",
                control,
                reviewer_calls,
            )
        if finish == "length":
            return Trouble("reply cut off", "max_tokens were used up before any text came", "fail")
        return Trouble("empty reply", f"no text, finish reason {shown(finish.encode())}", "retry")
    usage = value.get("usage")
    told = told_tokens(usage) if isinstance(usage, Mapping) else None
    said = f"{thinking}{text}".encode("utf-8", "replace")
    tokens_in, tokens_out = told or (_estimate(sent_bytes), _estimate(len(said)))
    return Reply(text, finish[:40], tokens_in, tokens_out, told is None, thinking, control, reviewer_calls)


def _control(*places: Any) -> tuple[str, int]:
    """A gateway's word on its risk control: `ahalab: {control, reviewer_calls}` in the reply, choice, message or
    error, whichever has it. ("", 0) where none does."""
    for place in places:
        told = place.get("ahalab") if isinstance(place, Mapping) else None
        if isinstance(told, Mapping):
            reason, calls = told.get("control"), told.get("reviewer_calls")
            return (
                shown(reason.encode("utf-8", "replace"), 80)
                if isinstance(reason, str) and reason.strip()
                else "",
                calls if type(calls) is int and 0 <= calls < 10**6 else 0,
            )
    return "", 0


def _refusal(status: int, words: str, value: Any) -> Trouble:
    detail = f"HTTP {status}: {words}"
    if (status in (429, 402, 403) and _UNPAID.search(words)) or status == 402:
        return Trouble("payment", detail, "payment")
    if status in _TRY_AGAIN or status >= 500:
        return Trouble("rate limit" if status == 429 else "server error", detail, "retry")
    if status in (401, 403):
        return Trouble("unauthorized", detail, "key")
    if status == 413 or (status in (400, 422) and _TOO_LONG.search(words)):
        return Trouble("refused: too long", detail, "fail")
    if status in (400, 422) and _REFUSED.search(words):
        control, reviewer_calls = _control(value, value.get("error") if isinstance(value, Mapping) else None)
        return Trouble("refused: content", detail, "fail", control or "content_filter", reviewer_calls)
    return Trouble("refused", detail, "settings")


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def choice_of(value: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The first choice of a reply or of a streamed chunk."""
    choices = value.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first if isinstance(first, Mapping) else None


def error_in(value: Mapping[str, Any]) -> Trouble | None:
    """The error that a server tells in a stream that it began with success; None where it tells none."""
    if not value.get("error") and value.get("object") != "error":
        return None
    error = value.get("error")
    code = error.get("code") if isinstance(error, Mapping) else value.get("code")
    status = code if type(code) is int and 400 <= code < 600 else 500
    return _refusal(status, _server_words(value, b""), value)


def text_of(content: Any) -> str:
    """Text, also where a server sends it as a list of parts."""
    if isinstance(content, list):
        return "".join(
            part["text"]
            for part in content
            if isinstance(part, Mapping) and isinstance(part.get("text"), str)
        )
    return content if isinstance(content, str) else ""


def _says_nothing(message: Mapping[str, Any]) -> bool:
    """Whether a message without text is one of this protocol: it has a `content`, and that is nothing."""
    return "content" in message and isinstance(message["content"], str | list | None)


def told_tokens(usage: Mapping[str, Any]) -> tuple[int, int] | None:
    """(prompt, reply) tokens of a `usage`; None where it does not tell both."""
    told = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if all(type(count) is int and 0 <= count < 10**8 for count in told):
        return int(told[0] or 0), int(told[1] or 0)
    return None


def _estimate(size: int) -> int:
    return (size + 3) // 4


def _server_words(value: Any, body: bytes) -> str:
    """The server's own explanation, where servers put it: `error.message`, `error`, `message`, `detail`."""
    if isinstance(value, Mapping):
        error = value.get("error", value)
        if isinstance(error, Mapping):
            said = [str(error[key]) for key in ("message", "detail", "code", "type") if error.get(key)]
            if said:
                return shown(" · ".join(dict.fromkeys(said)).encode("utf-8", "replace"))
        elif isinstance(error, str):
            return shown(error.encode("utf-8", "replace"))
    return shown(body)


def shown(body: bytes, limit: int = 300) -> str:
    """What a server sent, short and visible, for a message to a person."""
    text = " ".join(body[: 4 * limit].decode("utf-8", "replace").split())
    return make_visible(text if len(text) <= limit else f"{text[:limit]}…") or "(nothing)"
