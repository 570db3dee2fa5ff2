"""LiteLLM's generic guardrail API (beta): POST /beta/litellm_basic_guardrail_api.

Followed: LiteLLM's page "Generic Guardrail API" of October 2026 and its request and response types. The protocol grows,
and nothing of a request goes on from here, so fields that are not known are left alone. Texts, structured messages,
tools and tool calls are matched and reviewed; images cannot be, and block.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ahalab.guard.records import Role, Turn
from ahalab.serving.errors import bad
from ahalab.serving.fields import check_size
from ahalab.serving.flow import Gateway
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
_NO_IMAGES = "Images cannot be checked, so requests with images are not let through."


async def guardrail(gateway: Gateway, key: Key, data: Mapping[str, Any], began: float) -> dict[str, Any]:
    """`action: NONE` or `BLOCKED` with a reason. Refusal where the request is wrong or nothing can be checked."""
    kind = data.get("input_type", "request")
    if kind not in ("request", "response"):
        raise bad("`input_type` is `request` or `response`.", "input_type")
    texts = _texts(data.get("texts"), "texts")
    turns = _turns(data.get("structured_messages"))
    for name in ("tools", "tool_calls"):
        if data.get(name):
            texts.append(json.dumps(data[name], ensure_ascii=False))
    if data.get("images"):
        return {"action": "BLOCKED", "blocked_reason": _NO_IMAGES}
    check_size([*texts, *(one.content for one in turns)], "texts", gateway.settings)
    control = gateway.control_of(key)
    if kind == "request":
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


def _texts(value: Any, param: str) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list) or any(not isinstance(one, str) for one in value):
        raise bad(f"`{param}` is a list of texts.", param)
    return list(value)


def _turns(messages: Any) -> tuple[Turn, ...]:
    if messages is None:
        return ()
    if not isinstance(messages, list) or any(not isinstance(one, Mapping) for one in messages):
        raise bad("`structured_messages` is a list of messages.", "structured_messages")
    return tuple(
        Turn(_ROLES.get(str(one.get("role")), "user"), "\n".join(_strings(one, ("role", "type"))))
        for one in messages
    )


def _with_texts(turns: tuple[Turn, ...], texts: Iterable[str]) -> tuple[Turn, ...]:
    """All that is to be checked: the messages, and what of the texts is in none of them."""
    known = [one.content for one in turns]
    more = [Turn("user", text) for text in texts if not any(text in one for one in known)]
    return (*turns, *more) or (Turn("user", ""),)


def _strings(value: Any, without: tuple[str, ...]) -> Iterable[str]:
    """Every text inside, keys that name a kind left out: nothing of a message goes unread."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            if key not in without:
                yield from _strings(one, without)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one, without)
