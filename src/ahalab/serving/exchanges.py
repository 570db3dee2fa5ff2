"""An exchange from a request: its id, its language, and how many tokens it may cost."""

from __future__ import annotations

import secrets

from ahalab.guard.records import Exchange, Turn
from ahalab.serving.keys import Key

_SAMPLE = 400
"""Characters of a turn by which its language is guessed."""


def new_exchange(key: Key, turns: tuple[Turn, ...], model: str, stream: bool) -> Exchange:
    """An exchange with an id of its own."""
    return Exchange(secrets.token_hex(12), key.id, turns, model, stream, language_of(turns))


def estimated_tokens(turns: tuple[Turn, ...]) -> int:
    """A quarter of the bytes."""
    return sum(len(one.content.encode()) for one in turns) // 4 + 1


def language_of(turns: tuple[Turn, ...]) -> str:
    """Of the last user turn, by its script: what a retraction text can be in. `text.language` counts words, which costs
    a hundred times as much."""
    text = next((one.content for one in reversed(turns) if one.role == "user"), "")[:_SAMPLE]
    han = sum("\u4e00" <= one <= "\u9fff" for one in text)
    kana = sum("\u3040" <= one <= "\u30ff" for one in text)
    return "zh" if han > 4 * kana and 5 * han >= len(text) else "en"
