"""From tokens to what a client is shown, piece by piece: whole characters, thinking apart, stop strings cut off.

Streamed and plain replies go through the same code, so they are the same text. All of it takes time linear in what a
model writes: its output is hostile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ahalab.text.renderer import Tokenizer
from ahalab.text.template import ANSWER_CLOSE, ANSWER_OPEN, THINK_CLOSE, THINK_OPEN

_UNKNOWN = "\ufffd"
_LONGEST_CHARACTER = 4
"""Bytes of a character in UTF-8, so tokens that it can be spread over."""
_WINDOW = 32
"""Tokens decoded at one time: what came late costs no more than what came in time."""


class Piece(NamedTuple):
    """Text for a client."""

    thinking: str
    content: str

    def __bool__(self) -> bool:
        return bool(self.thinking or self.content)


class ReplyText:
    """One reply.

    Args:
        tokenizer: decodes; used by no other thread.
        thinking: the prompt ends in an open `<think>`.
        stops: the reply ends before the first of these in its answer (not in its thinking: our choice).
    """

    def __init__(self, tokenizer: Tokenizer, *, thinking: bool = False, stops: Sequence[str] = ()) -> None:
        self._characters = _Characters(tokenizer)
        self._parting = _Parting(thinking)
        self._thinking, self._content = _Trimmed(), _Trimmed()
        self._stops = tuple(stops)
        self._unsearched = ""
        self.stopped = False
        """A stop string was found: nothing more is shown."""

    def feed(self, tokens: Sequence[int]) -> Piece:
        """The next tokens, without the stop token; what may be shown of them."""
        return self._shown(self._characters.feed(tokens), end=False)

    def finish(self) -> Piece:
        """What was held back."""
        return self._shown(self._characters.finish(), end=True)

    def _shown(self, text: str, *, end: bool) -> Piece:
        thinking, content = self._parting.feed(text, end=end)
        return Piece(self._thinking.feed(thinking), self._searched(self._content.begun(content), end=end))

    def _searched(self, content: str, *, end: bool) -> str:
        if self.stopped:
            return ""
        content, self._unsearched = self._unsearched + content, ""
        found = min((at for stop in self._stops if (at := content.find(stop)) >= 0), default=-1)
        if found >= 0:
            self.stopped = True
            content = content[:found]
        elif not end:
            kept = len(content) - possible_start(content, self._stops)
            content, self._unsearched = content[:kept], content[kept:]
        return self._content.feed(content)


def possible_start(text: str, words: Sequence[str]) -> int:
    """Length of the longest end of `text` that a word may begin with, short of a whole word."""
    return max(
        (
            length
            for word in words
            for length in range(1, min(len(word) - 1, len(text)) + 1)
            if text.endswith(word[:length])
        ),
        default=0,
    )


class _Characters:
    """Text of tokens, never half a character.

    New tokens are decoded together with the last ones before them: some tokenizers drop a space at the start of what
    they decode. Text that ends in U+FFFD may end in half a character: its last tokens wait.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._context: list[int] = []
        self._before = 0
        """Characters of the context."""
        self._open: list[int] = []

    def feed(self, tokens: Sequence[int]) -> str:
        out = []
        for start in range(0, len(tokens), _WINDOW):
            self._open.extend(tokens[start : start + _WINDOW])
            out.append(self._ready())
        return "".join(out)

    def finish(self) -> str:
        """The rest, half characters as U+FFFD."""
        return self._decode([*self._context, *self._open])[self._before :] if self._open else ""

    def _ready(self) -> str:
        most = min(len(self._open), _LONGEST_CHARACTER)
        for waiting in range(most):
            whole = self._open[: len(self._open) - waiting]
            text = self._decode([*self._context, *whole])[self._before :]
            if not text.endswith(_UNKNOWN):
                return self._taken(whole, text)
        if len(self._open) <= 2 * _LONGEST_CHARACTER:
            return ""
        return self._taken(self._open, self.finish())  # no character is that long: these bytes are no text

    def _taken(self, tokens: list[int], text: str) -> str:
        self._open = self._open[len(tokens) :]
        self._context = tokens
        self._before = len(self._decode(tokens))
        return text

    def _decode(self, tokens: list[int]) -> str:
        return self._tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False)


class _Parting:
    """Splits thinking off while it arrives. The whole text's twin is `safety.running.parting.part_reply`.

    They differ where only the end tells: a thinking that is never closed stays thinking, also after an `<answer>`; a
    `</think>` without its `<think>` is text of the answer. No text is lost in either.
    """

    def __init__(self, thinking: bool) -> None:
        self._inside, self._may_open = thinking, not thinking
        self._pending = ""

    def feed(self, text: str, *, end: bool) -> tuple[str, str]:
        """(thinking, content). Answer tags become line feeds."""
        text, self._pending = self._pending + text, ""
        parts: dict[bool, list[str]] = {True: [], False: []}
        while True:
            tags = self._tags()
            at, tag = min(((at, tag) for tag in tags if (at := text.find(tag)) >= 0), default=(-1, ""))
            if at < 0:
                break
            parts[self._inside].append(text[:at])
            text = text[at + len(tag) :]
            if tag == THINK_OPEN:
                self._inside, self._may_open = True, False
            elif tag == THINK_CLOSE:
                self._inside = False
            else:
                parts[False].append("\n")
        kept = len(text) if end else len(text) - possible_start(text, tags)
        parts[self._inside].append(text[:kept])
        self._pending = text[kept:]
        return "".join(parts[True]), "".join(parts[False])

    def _tags(self) -> tuple[str, ...]:
        if self._inside:
            return (THINK_CLOSE,)
        return (THINK_OPEN, ANSWER_OPEN, ANSWER_CLOSE) if self._may_open else (ANSWER_OPEN, ANSWER_CLOSE)


class _Trimmed:
    """Without white space at both ends, though the end is not known yet."""

    def __init__(self) -> None:
        self._begun = False
        self._blank: list[str] = []

    def begun(self, text: str) -> str:
        """Without the white space at the beginning."""
        if not self._begun:
            text = text.lstrip()
            self._begun = bool(text)
        return text

    def feed(self, text: str) -> str:
        text = self.begun(text)
        kept = text.rstrip()
        if not kept:
            self._blank.append(text)
            return ""
        out = "".join([*self._blank, kept])
        self._blank = [text[len(kept) :]]
        return out
