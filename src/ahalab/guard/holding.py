"""How much of a reply may be shown while it arrives, in the mode `hold`: nothing that may still become part of a term.

Thinking and answer each have a stream. Where the answer begins, two more look over the seam, with and without a space,
for as long as a term that begins in the thinking can still end in the answer; until then the end of the thinking waits.
"""

from __future__ import annotations

from ahalab.guard.joining import LOOSE
from ahalab.guard.matcher import Hit
from ahalab.guard.policy import Scope
from ahalab.guard.stream import Stream, StreamList

_NEIGHBOURS = 64
"""Shown characters before a seam that its streams read too: whether a word goes on to the left."""


class _Side:
    """Thinking or answer as it arrives. Indices count from its beginning."""

    def __init__(self, stream: Stream | None, lazy: bool) -> None:
        self.stream = stream
        self._lazy = lazy
        """Whitespace at the end is not read yet: a seam would do without it."""
        self._loose = ""
        self.unshown = ""
        self.before = ""
        """The last characters that were shown."""
        self._shown = 0
        self.ended = False

    def feed(self, piece: str) -> list[Hit]:
        """Take a piece."""
        self.unshown += piece
        if self.stream is None or self.ended:
            return []
        piece, self._loose = self._loose + piece, ""
        if self._lazy:
            core = piece.rstrip(LOOSE)
            piece, self._loose = core, piece[len(core) :]
        return self.stream.feed(piece) if piece else []

    def end(self) -> list[Hit]:
        """Nothing more will come."""
        self.ended = True
        return self.stream.finish() if self.stream else []

    @property
    def free(self) -> int:
        """Up to where it may be shown for its own sake."""
        if self.stream is None or self.ended:
            return self._shown + len(self.unshown)
        return self.stream.safe

    def take(self, limit: int) -> str:
        """The next text to show, up to an index."""
        count = max(0, min(limit - self._shown, len(self.unshown)))
        text, self.unshown = self.unshown[:count], self.unshown[count:]
        self._shown += count
        self.before = (self.before + text)[-_NEIGHBOURS:]
        return text

    @property
    def shown(self) -> int:
        """Characters shown."""
        return self._shown


class _Seam:
    """The end of the thinking put before the answer."""

    def __init__(self, streams: StreamList, thinking: _Side) -> None:
        known_from = thinking.shown - len(thinking.before)
        self._from = max(known_from, thinking.free - _NEIGHBOURS)
        core = (thinking.before + thinking.unshown)[self._from - known_from :].rstrip(LOOSE)
        self._length = len(core)
        self._streams = ((Stream(streams), 0), (Stream(streams), 1))
        for stream, space in self._streams:
            stream.feed(core + " " * space)
        self._begun = False

    def feed(self, piece: str) -> list[Hit]:
        """Take a piece of the answer; the hits that lie over the seam."""
        if not self._begun:
            core = piece.lstrip(LOOSE)
            self._begun, piece = bool(core), core
        if not piece:
            return []
        return [
            hit
            for stream, space in self._streams
            for hit in stream.feed(piece)
            if hit.start < self._length and hit.end > self._length + space
        ]

    @property
    def open(self) -> bool:
        """Whether a term may still reach over it."""
        return any(stream.safe < self._length for stream, _ in self._streams)

    @property
    def free_thinking(self) -> int:
        """Up to where the thinking may be shown."""
        return self._from + min(stream.safe for stream, _ in self._streams)


class Hold:
    """What may be shown of one reply. Once `withheld`, nothing more."""

    def __init__(self, streams: StreamList, scope: Scope, severity: int, withheld: bool) -> None:
        self._streams, self._severity = streams, severity
        self._joined = scope.joined and scope.thinking and scope.reply
        self._thinking = _Side(Stream(streams) if scope.thinking else None, lazy=self._joined)
        self._content = _Side(Stream(streams) if scope.reply else None, lazy=False)
        self._seam: _Seam | None = None
        self.withheld = withheld

    @property
    def content_shown(self) -> int:
        """Characters of the answer that were shown."""
        return self._content.shown

    @property
    def thinking_shown(self) -> int:
        """Characters of the thinking that were shown."""
        return self._thinking.shown

    def feed(self, thinking: str, content: str) -> tuple[str, str]:
        """Take a piece of each; the pieces of each to show now."""
        if self.withheld:
            self._thinking.unshown += thinking
            self._content.unshown += content
            return "", ""
        hits: list[Hit] = []
        if thinking:
            # Thinking after the answer has begun would move the seam: it waits for the end, and all that follows it.
            self.withheld = self._thinking.ended
            hits += self._thinking.feed(thinking)
        if content:
            if not self._thinking.ended:
                hits += self._begin_answer()
            hits += self._content.feed(content)
            if self._seam is not None:
                hits += self._seam.feed(content)
        if any(hit.term.severity >= self._severity for hit in hits):
            self.withheld = True
        if self.withheld:
            return "", ""
        return self._next()

    def rest(self) -> tuple[str, str]:
        """Everything that was not shown: after a review that releases."""
        return self._thinking.take(1 << 62), self._content.take(1 << 62)

    def _begin_answer(self) -> list[Hit]:
        if self._joined and (self._thinking.before or self._thinking.unshown.strip(LOOSE)):
            self._seam = _Seam(self._streams, self._thinking)
        return self._thinking.end()

    def _next(self) -> tuple[str, str]:
        if self._seam is not None and not self._seam.open:
            self._seam = None
        if self._seam is not None:
            return self._thinking.take(self._seam.free_thinking), ""
        return self._thinking.take(self._thinking.free), self._content.take(self._content.free)
