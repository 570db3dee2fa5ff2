"""Dialogues in a cell of somebody's table: chat messages (OpenAI, ShareGPT), turns in a list (UltraChat), or a
transcript in hh-rlhf's form."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ahalab.prompts.cells import BadRow, text
from ahalab.records import Messages
from ahalab.text.parse import parse_response
from ahalab.text.template import THINK_CLOSE, rounds, written_turns

Turn = tuple[str, str]
"""(role, text); the role is user, assistant or system."""

_TURN = re.compile(r"\n\n(Human|Assistant): ?")
_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
} | {role: role for role in ("user", "assistant", "system")}


@dataclass(frozen=True, slots=True)
class Dialogue:
    """What a dialogue asks: its turns up to the user's last one."""

    turns: Messages
    reply: str | None = None
    """What the assistant then said, where the dialogue goes on. It is never part of the question."""

    @property
    def question(self) -> str:
        """The turns written out; of a single turn its text alone."""
        return written_turns(self.turns)

    @property
    def messages(self) -> Messages:
        """The turns where there is more than one; () where the question says it all."""
        return self.turns if len(self.turns) > 1 else ()

    @property
    def rounds(self) -> int:
        """Turns of the user."""
        return rounds(self.turns)


def messages(value: Any, column: str) -> list[Turn]:
    """The turns of a list: chat messages (`role`/`content` or `from`/`value`), or texts of which the user says the
    first, the assistant the second and so on. Raises BadRow."""
    if not isinstance(value, list | tuple) or not value:
        raise BadRow("no messages", column, f"it is {repr(value)[:40]}", "a list of messages")
    if all(isinstance(one, str) for one in value):
        return [
            (("user", "assistant")[place % 2], text(one, column, "message"))
            for place, one in enumerate(value)
        ]
    turns: list[Turn] = []
    for message in value:
        if not isinstance(message, Mapping):
            found = f"a message is a {type(message).__name__}"
            raise BadRow("wrong type", column, found, "messages with role and content")
        said = message.get("role", message.get("from"))
        role = _ROLES.get(str(said).lower())
        if role is None:
            found = (
                f"a message has {sorted(map(str, message))}"
                if said is None
                else f"a role is {str(said)[:40]!r}"
            )
            raise BadRow("unknown role", column, found, "the role user, assistant or system")
        content = message.get("content", message.get("value"))
        if content is None:
            raise BadRow("no message", column, "a message has no content", "the text of every message")
        turns.append((role, text(_of_parts(content), column, "message")))
    return turns


def _of_parts(content: Any) -> Any:
    """The text of a message in parts, as OpenAI has them; parts that are no text stay, for the caller to refuse."""
    if not isinstance(content, list) or not all(
        isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in content
    ):
        return content
    return "\n".join(part["text"] for part in content)


def transcript(written: str) -> list[Turn] | None:
    """The turns of a dialogue in hh-rlhf's form ("Human: …", "Assistant: …"), or None for any other text."""
    padded = written if written.startswith("\n\n") else f"\n\n{written}"
    if not padded.startswith("\n\nHuman:"):
        return None
    parts = _TURN.split(padded)[1:]
    return [(_ROLES[role.lower()], said.strip()) for role, said in zip(parts[::2], parts[1::2], strict=True)]


def is_dialogue(value: Any) -> bool:
    """Whether a cell holds a list of messages or turns, or a transcript in which the assistant has a turn."""
    if isinstance(value, list | tuple):
        kinds = {Mapping if isinstance(one, Mapping) else type(one) for one in value}
        return kinds in ({Mapping}, {str})
    turns = transcript(value.strip()) if isinstance(value, str) else None
    return turns is not None and any(role == "assistant" for role, _ in turns)


def split_reply(turns: Sequence[Turn], column: str) -> tuple[Dialogue, str]:
    """What a dialogue asks, and the reply that it ends in. Raises BadRow for one that ends otherwise."""
    (last, said), before = turns[-1], turns[:-1]
    if last != "assistant" or not said or not before or before[-1][0] != "user":
        found = "it does not end in a user's turn and a reply"
        raise BadRow("no reply", column, found, "a dialogue that ends in a reply")
    return Dialogue(_in_turn(before, column), said), said


def dialogue_of(value: Any, column: str) -> Dialogue:
    """What a dialogue asks: its turns before the assistant's last reply, all of them where it ends in the user's.

    Turns of one speaker that follow each other are joined; of earlier replies the thinking is left out, as chat
    templates do. Raises BadRow for what is no dialogue, one that asks nothing, an empty turn, a dialogue that the
    assistant begins, and a system turn in its middle.
    """
    if isinstance(value, list | tuple):
        turns: list[Turn] | None = messages(value, column)
    else:
        turns = transcript(text(value, column, "question"))
    if turns is None:
        found = "it does not begin with `Human:`"
        raise BadRow("no dialogue", column, found, "a dialogue, as in the rows before")
    asked = list(turns)
    reply: list[str] = []
    while asked and asked[-1][0] == "assistant":
        reply.insert(0, asked.pop()[1])
    if not asked or asked[-1][0] != "user" or not asked[-1][1]:
        raise BadRow("no question", column, "no user's turn is before its last reply", "a user's turn")
    return Dialogue(_in_turn(asked, column), "\n\n".join(reply) or None)


def _in_turn(turns: Sequence[Turn], column: str) -> Messages:
    """The turns as models are asked them: a system turn at most at the beginning, then user and assistant in turn."""
    made: list[Turn] = []
    for role, said in turns:
        if not said:
            raise BadRow("empty turn", column, f"a turn of the {role} is empty", "words in every turn")
        if role == "system" and any(one != "system" for one, _ in made):
            raise BadRow("system turn inside", column, "a system turn follows others", "system turns first")
        if role == "assistant" and not any(one == "user" for one, _ in made):
            raise BadRow(
                "assistant first", column, "the assistant begins", "a user's turn before the assistant's"
            )
        if role == "assistant" and THINK_CLOSE in said:
            said = parse_response(said, "stop").answer or said
        if made and made[-1][0] == role:
            said = f"{made.pop()[1]}\n\n{said}"
        made.append((role, said))
    return tuple(made)
