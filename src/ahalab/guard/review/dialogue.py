"""A dialogue as a reviewer reads it: four texts, in windows where they are long, none of them able to act."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from ahalab.guard.records import Exchange
from ahalab.text.hostile import make_visible, visible_code
from ahalab.text.windows import windows

SLOTS = ("history", "query", "thinking", "reply")
EXCERPT = 6
"""Where a dialogue takes windows, what stands beside a window is shown up to a sixth of its size (our choice)."""

_JOINERS = "\u200c\u200d"
"""Left as they are: Persian, Hindi and emoji are spelt with them."""
_CONTROL = re.compile(
    r"<(?=[|\uff5c])|<(?=/?(?:start_of_turn|end_of_turn|start_header_id|s|bos|eos|pad|unk|mask)>)|<(?=<)"
    r"|<(?=(?:BEGIN|END) [A-Z ]{3,40}>)|\[(?=/?[A-Z_]{3,30}\])"
)
"""Where a token that ends a turn begins in chat templates, or Llama Guard's marks around a conversation. Many servers
read such text in a message as that token."""


@dataclass(frozen=True, slots=True)
class Piece:
    """What one call of a reviewer sees. Hostile texts."""

    history: str
    """Every turn but the last one of the user, each under its role; "" for none."""
    query: str
    """The last user turn."""
    thinking: str
    reply: str
    number: int = 1
    of: int = 1
    slot: str = ""
    """The text that this is a window of; "" where the dialogue is seen whole."""
    turns: tuple[tuple[str, str], ...] = ()
    """(role, text) of the request where it is seen whole and user and assistant take turns, the user first and last,
    and no turn has thinking, which would be lost here."""

    @property
    def replied(self) -> bool:
        """Whether the assistant has written anything."""
        return bool(self.thinking.strip() or self.reply.strip())


def pieces_of(
    exchange: Exchange, reply: str, thinking: str, size: int, overlap: int, render: Callable[[str], str] = str
) -> list[Piece]:
    """The dialogue whole where it has at most `size` characters; else every text that is long, window by window.

    Every character of the dialogue stands in some piece. Beside a window the other texts stand as context, shortened
    in their middle to a sixth of `size` each, with the number of characters left out. `render` is applied to the texts
    first: what a reviewer reads may be longer than what was written.
    """
    whole = _whole(exchange, reply, thinking, render)
    texts = {slot: str(getattr(whole, slot)) for slot in SLOTS}
    if sum(map(len, texts.values())) <= size:
        return [whole]
    room = size // EXCERPT
    context = {slot: shortened(text, room) for slot, text in texts.items()}
    # At least one: four texts of a sixth each would have been seen whole.
    long = [slot for slot in SLOTS if len(texts[slot]) > room]
    found = [
        _piece({**context, slot: window}, slot)
        for slot in long
        for window in windows(texts[slot], size, overlap)
    ]
    return [replace(piece, number=number, of=len(found)) for number, piece in enumerate(found, 1)]


def shortened(text: str, room: int) -> str:
    """At most about `room` characters: two thirds of the beginning, one of the end, and how much is not shown."""
    left_out = len(text) - room
    if left_out <= 0:
        return text
    head = room * 2 // 3
    return f"{text[:head]}\n[… {left_out:,} characters stand in another piece …]\n{text[head + left_out :]}"


def shown(text: str) -> str:
    """Data for a reviewer's prompt: hidden characters and the beginnings of control tokens as visible codes."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return bare(make_visible(text, hidden=lambda one: one if one in _JOINERS else visible_code(one)))


def bare(text: str) -> str:
    """A message for a guard model: as it is, but that it cannot end its turn and has a UTF-8 form."""
    text = _CONTROL.sub(lambda found: visible_code(found.group()), text)
    return text.encode("utf-8", "replace").decode("utf-8")


def last_query(exchange: Exchange) -> int:
    """Index of the last user turn; -1 where there is none."""
    return max((place for place, turn in enumerate(exchange.turns) if turn.role == "user"), default=-1)


def _piece(texts: Mapping[str, str], slot: str = "") -> Piece:
    return Piece(texts["history"], texts["query"], texts["thinking"], texts["reply"], slot=slot)


def _whole(exchange: Exchange, reply: str, thinking: str, render: Callable[[str], str]) -> Piece:
    last = last_query(exchange)
    texts = {
        "history": "\n\n".join(_others(exchange, last)),
        "query": exchange.turns[last].content if last >= 0 else "",
        "thinking": thinking,
        "reply": reply,
    }
    turns = tuple((turn.role, render(turn.content)) for turn in exchange.turns)
    in_turn = [role for role, _ in turns] == ["user", *(["assistant", "user"] * (len(turns) // 2))]
    rendered = _piece({slot: render(text) for slot, text in texts.items()})
    thought = any(turn.thinking for turn in exchange.turns)
    return replace(rendered, turns=turns if in_turn and not thought else ())


def _others(exchange: Exchange, last: int) -> Iterator[str]:
    for place, turn in enumerate(exchange.turns):
        if place != last:
            if turn.thinking:
                yield f"{turn.role}, thinking:\n{turn.thinking}"
            yield f"{turn.role}:\n{turn.content}"
