"""LiteLLM's generic guardrail API (beta): POST /beta/litellm_basic_guardrail_api.

Followed: LiteLLM's page "Generic Guardrail API" of October 2026 and its request and response types. The protocol grows,
and nothing of a request goes on from here, so fields that are not known are left alone. Texts, structured messages,
tools and tool calls are matched and reviewed; images cannot be, and block.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ahalab.guard.records import Role, Turn
from ahalab.serving.fields import MEDIA_PARTS, check_size, parsed
from ahalab.serving.gateway import Gateway
from ahalab.serving.keys import Key
from ahalab.serving.moderations import check

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_WORDS = frozenset(
    {
        *_ROLES,
        "role",
        "content",
        "type",
        "text",
        "name",
        "id",
        "tool_calls",
        "tool_call_id",
        "arguments",
        "index",
    }
    | {
        "reasoning_content",
        "refusal",
        "annotations",
        "audio",
        "cache_control",
        "ephemeral",
        "tool_use",
        "tool_result",
    }
)
"""Names of a message's fields and kinds, which are not the client's text."""
_NO_IMAGES = "Images, sound and files cannot be checked, so requests with them are not let through."


class GuardrailBody(BaseModel):
    """POST /beta/litellm_basic_guardrail_api: what is read of a request; other fields are left alone."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    input_type: Literal["request", "response"] = "request"
    texts: list[str] | None = None
    structured_messages: list[dict[str, Any]] | None = None
    tools: list[Any] | None = None
    tool_calls: list[Any] | None = None
    images: list[Any] | None = None


async def guardrail(gateway: Gateway, key: Key, data: Mapping[str, Any], began: float) -> dict[str, Any]:
    """`action: NONE` or `BLOCKED` with a reason. Refusal where the request is wrong or nothing can be checked."""
    body = parsed(GuardrailBody, data)
    texts = list(body.texts or ())
    turns = tuple(_turn(one) for one in body.structured_messages or ())
    texts += [json.dumps(one, ensure_ascii=False) for one in (body.tools, body.tool_calls) if one]
    if body.images or any(map(_holds_media, body.structured_messages or ())):
        return {"action": "BLOCKED", "blocked_reason": _NO_IMAGES}
    check_size([*texts, *(one.content for one in turns)], "texts", gateway.settings)
    control = gateway.control_of(key)
    if body.input_type == "request":
        turns = _with_texts(turns, texts)
        checked = await check(gateway, control, key, turns, "guardrail", began)
    else:
        question = turns or (Turn("user", ""),)
        reply = "\n".join(texts)
        checked = await check(gateway, control, key, question, "guardrail", began, reply=reply)
    gateway.metrics.request("guardrail", 200)
    if checked.decision.action == "release":
        return {"action": "NONE"}
    return {
        "action": "BLOCKED",
        "blocked_reason": control.text(checked.exchange, checked.decision),
        "ahalab": {"verdict_id": checked.exchange.id, "category": checked.decision.category},
    }


def _turn(message: Mapping[str, Any]) -> Turn:
    return Turn(_ROLES.get(str(message.get("role")), "user"), "\n".join(_strings(message)))


def _with_texts(turns: tuple[Turn, ...], texts: Iterable[str]) -> tuple[Turn, ...]:
    """All that is to be checked: the messages, and what of the texts is in none of them."""
    known = [one.content for one in turns]
    more = [Turn("user", text) for text in texts if not any(text in one for one in known)]
    return (*turns, *more) or (Turn("user", ""),)


def _strings(value: Any) -> Iterable[str]:
    """Every text inside, names too, but for the protocol's own words: nothing of a message goes unread."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            if key not in _WORDS:
                yield key
            if not (key in ("role", "type") and isinstance(one, str) and one in _WORDS):
                yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)


def _holds_media(message: Mapping[str, Any]) -> bool:
    """Whether a part of the message, or a part of that, is no text."""
    content = message.get("content")
    parts = [one for one in content if isinstance(one, Mapping)] if isinstance(content, list) else []
    return any(str(one.get("type")) in MEDIA_PARTS or _holds_media(one) for one in parts)
