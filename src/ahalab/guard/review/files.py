"""A dialogue from a JSON file, in the shape of a chat request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import Field

from ahalab.doubles import one_of_each_key
from ahalab.errors import UserError
from ahalab.guard.records import Exchange, Role, Turn
from ahalab.validation import StrictModel, validate


class _Message(StrictModel):
    role: Role = Field(description="Who speaks")
    content: str = Field(description="What is said")
    reasoning_content: str = Field("", description="The assistant's thinking before it")


class _Dialogue(StrictModel):
    messages: list[_Message] = Field(min_length=1, description="The turns, as in a chat request")
    id: str = Field("dialogue", description="Name of the dialogue")


def read_dialogue(path: Path) -> tuple[Exchange, str, str]:
    """(exchange, reply, thinking) of a file; see `parse_dialogue`. UserError where it cannot be read."""
    try:
        return parse_dialogue(path.read_bytes(), str(path))
    except OSError as error:
        raise UserError(f"{path}: the dialogue cannot be read ({error.strerror})") from error


def parse_dialogue(data: bytes, where: str) -> tuple[Exchange, str, str]:
    """A last turn of the assistant is the reply, its `reasoning_content` the thinking. UserError says what is wrong."""
    try:
        value: Any = json.loads(data.decode("utf-8-sig"), object_pairs_hook=one_of_each_key)
    except UnicodeDecodeError:
        raise UserError(f"{where}: is not UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{where}: is no JSON ({error}). Expected "
            '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}'
        ) from None
    found = validate(_Dialogue, value, where)
    turns = [Turn(one.role, one.content, one.reasoning_content) for one in found.messages]
    reply = turns.pop() if turns[-1].role == "assistant" else Turn("assistant", "")
    if not any(turn.role == "user" for turn in turns):
        raise UserError(f"{where}: no turn of the user comes before the reply")
    return Exchange(found.id, "", tuple(turns), "", False), reply.content, reply.thinking
