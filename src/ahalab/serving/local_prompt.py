"""A dialogue as a local model's prompt: what a client writes never becomes the template's own words."""

from __future__ import annotations

import re
import threading
from typing import Any

from ahalab.errors import UserError
from ahalab.guard.records import Turn
from ahalab.records import Messages
from ahalab.serving.errors import Refusal, bad
from ahalab.text.renderer import Renderer

_CHARACTERS_PER_TOKEN = 32
"""A text of more than these times the context in characters is too long; it is not even encoded."""


class Prompts:
    """Makes prompts. Safe to use from several threads, one at a time."""

    def __init__(self, renderer: Renderer, tokenizer: Any, context: int) -> None:
        self._renderer, self._context = renderer, context
        self._special = special_words(tokenizer, renderer.stop_ids)
        self._lock = threading.Lock()

    def ids(self, turns: tuple[Turn, ...]) -> tuple[int, ...]:
        """Token ids of a dialogue. Refusal 400: it cannot be rendered, or leaves no room for a reply.

        Thinking of earlier turns is left out, as its makers tell users of R1 to do.
        """
        characters = sum(len(turn.content) for turn in turns)
        if characters > _CHARACTERS_PER_TOKEN * self._context:
            raise _too_long(f"The messages have {characters} characters", self._context)
        messages = dialogue(turns, self._special)
        alone = len(messages) == 1 and messages[0][0] == "user"
        try:
            with self._lock:  # a tokenizer is not to be used by two threads at once
                ids = self._renderer.prompt_ids(messages[-1][1], () if alone else messages)
        except UserError as error:
            raise bad("The model's chat template cannot render these messages.", "messages") from error
        if len(ids) >= self._context:
            raise _too_long(f"The messages are {len(ids)} tokens with the template", self._context)
        return tuple(ids)


def dialogue(turns: tuple[Turn, ...], special: re.Pattern[str] | None) -> Messages:
    """The turns for the renderer: system turns at the beginning as one. Refusal 400 for tool turns and odd endings."""
    if any(turn.role == "tool" for turn in turns):
        raise bad("This model takes no messages with the role `tool`.", "messages")
    if not turns or turns[-1].role != "user":
        raise bad("The last message must be the user's.", "messages")
    told: list[str] = []
    rest: list[tuple[str, str]] = []
    for turn in turns:
        said = harmless(turn.content, special)
        if turn.role == "system" and not rest:
            told.append(said)
        else:
            rest.append((turn.role, said))
    return ((("system", "\n\n".join(told)),) if told else ()) + tuple(rest)


def special_words(tokenizer: Any, stop_ids: tuple[int, ...]) -> re.Pattern[str] | None:
    """Texts that the tokenizer reads as control tokens, and those that end a turn."""
    known = getattr(tokenizer, "added_tokens_decoder", {})
    words = {str(token.content) for number, token in known.items() if token.special or number in stop_ids}
    words = {word for word in words if len(word) > 1}
    if not words:
        return None
    return re.compile("|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)))


def harmless(text: str, special: re.Pattern[str] | None) -> str:
    """A control token's text with a space after its first character: readable, and ordinary text to the tokenizer.

    Otherwise a user turn could end itself and speak as system or assistant.
    """
    if special is None:
        return text
    while special.search(text):
        text = special.sub(lambda found: f"{found.group()[0]} {found.group()[1:]}", text)
    return text


def _too_long(what: str, context: int) -> Refusal:
    return bad(
        f"{what}; this model reads {context} tokens, its reply included. Shorten them.",
        "messages",
        "context_length_exceeded",
    )
