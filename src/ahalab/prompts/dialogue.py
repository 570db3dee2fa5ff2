"""Dialogues in a cell of somebody's table: a list of chat messages, or a transcript in hh-rlhf's form."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ahalab.prompts.cells import BadRow, text

Turn = tuple[str, str]
"""(role, text); the role is User, Assistant or System."""

_TURN = re.compile(r"\n\n(Human|Assistant): ?")
_ROLES = {"user": "User", "human": "User", "assistant": "Assistant", "gpt": "Assistant", "system": "System"}


def messages(value: Any, column: str) -> list[Turn]:
    """The turns of a list of chat messages, `role`/`content` or `from`/`value`. Raises BadRow."""
    if not isinstance(value, list | tuple) or not value:
        raise BadRow("no messages", column, f"it is {repr(value)[:40]}", "a list of messages")
    turns: list[Turn] = []
    for message in value:
        if not isinstance(message, Mapping):
            found = f"a message is a {type(message).__name__}"
            raise BadRow("wrong type", column, found, "messages with role and content")
        role = _ROLES.get(str(message.get("role", message.get("from"))).lower())
        if role is None:
            found = f"a message has {sorted(message)}"
            raise BadRow("unknown role", column, found, "the role user, assistant or system")
        content = message.get("content", message.get("value"))
        if content is None:
            raise BadRow("no message", column, "a message has no content", "the text of every message")
        turns.append((role, text(content, column, "message")))
    return turns


def transcript(written: str) -> list[Turn] | None:
    """The turns of a dialogue in hh-rlhf's form ("Human: …", "Assistant: …"), or None for any other text."""
    padded = written if written.startswith("\n\n") else f"\n\n{written}"
    if not padded.startswith("\n\nHuman:"):
        return None
    parts = _TURN.split(padded)[1:]
    return [(_ROLES[role.lower()], said.strip()) for role, said in zip(parts[::2], parts[1::2], strict=True)]


def is_dialogue(value: Any) -> bool:
    """Whether a cell holds a list of messages, or a transcript in which the assistant has a turn."""
    if isinstance(value, list | tuple):
        return bool(value) and all(isinstance(one, Mapping) for one in value)
    turns = transcript(value.strip()) if isinstance(value, str) else None
    return turns is not None and any(role == "Assistant" for role, _ in turns)


def split_reply(turns: Sequence[Turn], column: str) -> tuple[str, int, str]:
    """(question, user turns in it, last reply) of a dialogue that ends in a reply. Raises BadRow for any other."""
    (last, said), before = turns[-1], turns[:-1]
    if last != "Assistant" or not said or not before or before[-1][0] != "User":
        found = "it does not end in a user's turn and a reply"
        raise BadRow("no reply", column, found, "a dialogue that ends in a reply")
    return _written(before), sum(role == "User" for role, _ in before), said


def question_of(value: Any, column: str) -> str:
    """What a dialogue asks: its turns before the assistant's last reply, all of them where it ends in the user's.

    Raises BadRow for what is no dialogue, and for one that asks nothing.
    """
    if isinstance(value, list | tuple):
        turns: list[Turn] | None = messages(value, column)
    else:
        turns = transcript(text(value, column, "question"))
    if turns is None:
        found = "it does not begin with `Human:`"
        raise BadRow("no dialogue", column, found, "a dialogue, as in the rows before")
    asked = turns[:-1] if turns[-1][0] == "Assistant" else turns
    if not asked or asked[-1][0] != "User" or not asked[-1][1]:
        raise BadRow("no question", column, "no user's turn is before its last reply", "a user's turn")
    return _written(asked)


def _written(turns: Sequence[Turn]) -> str:
    """A question of one turn as it is, of several with their speakers."""
    if len(turns) == 1:
        return turns[0][1]
    return "\n\n".join(f"{role}: {said}" for role, said in turns)
