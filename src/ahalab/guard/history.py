"""Retracted replies, recognised when they come back as history. Only keyed hashes are kept, never a text.

A reply is remembered under the API key that it was retracted from: what one client gets retracted says nothing about
the conversations of others. Remembered are the reply, the thinking, and their longer sentences. A turn is recognised
when it is one of those texts, or when remembered sentences make up at least half of it. Short texts ("Yes.") count only
behind the same user turn. Sizes and shares are our choice; the paper does not say.
"""

from __future__ import annotations

import hmac
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol

from ahalab.errors import UserError
from ahalab.guard.records import Exchange, Turn
from ahalab.guard.term import folded_text
from ahalab.runs.atomic import explaining_disk_errors, write_bytes

SHORT = 32
"""Letters and digits (folded) below which a text counts only behind the same user turn."""
LONG_SENTENCE = 24
"""Letters and digits of a sentence that is remembered."""
MOST_SENTENCES = 128
"""Sentences remembered of one reply."""
_ENDS = re.compile(r"[.!?。\n]+")
_NO_LETTER = re.compile(r"[\W_]+")
BLANK = "[retracted]"
"""What stands in place of a recognised turn where a policy says `blank`."""


class Journal(Protocol):
    """Where digests outlive the process. Digests are 32 hexadecimal digits."""

    def read_new(self) -> Iterable[str]:
        """Digests since the last call, of this process and of others; the first call gives all."""
        ...

    def add(self, digests: Iterable[str]) -> None:
        """Durable once it returns; raises EnvironmentFailure."""
        ...


class RetractedReplies:
    """The memory: the newest `most` digests. Safe to use from several threads."""

    def __init__(self, secret: bytes, journal: Journal | None = None, most: int = 200_000) -> None:
        if len(secret) < 16:
            raise UserError("the secret of the retraction memory is too short: expected at least 16 bytes")
        self._secret, self._journal, self._most = secret, journal, most
        self._known: OrderedDict[str, None] = OrderedDict()
        self._tags: set[str] = set()
        self._lock = threading.Lock()
        self._refresh()

    @property
    def size(self) -> int:
        """Digests in memory."""
        return len(self._known)

    def remember(self, exchange: Exchange, reply: str, thinking: str) -> None:
        """A reply was retracted. In memory at once, also where the journal then raises EnvironmentFailure."""
        turns = exchange.turns
        digests = dict.fromkeys(
            digest for text in (reply, thinking) for digest in self._digests(exchange.key, text, turns)
        )
        with self._lock:
            new = [one for one in digests if one not in self._known]
            self._keep(digests)
        if self._journal is not None and new:
            self._journal.add(new)

    def recognised(self, exchange: Exchange) -> tuple[int, ...]:
        """Indices of the turns that hold a retracted reply of this key."""
        with self._lock:
            self._refresh()
            if self._tag(exchange.key) not in self._tags:
                return ()
        return tuple(at for at, turn in enumerate(exchange.turns) if self._holds(exchange, at, turn))

    def _holds(self, exchange: Exchange, at: int, turn: Turn) -> bool:
        before = exchange.turns[:at]
        return any(self._is_known(exchange.key, text, before) for text in (turn.content, turn.thinking))

    def _is_known(self, key: str, text: str, before: tuple[Turn, ...]) -> bool:
        sentences = _sentences(text)
        plain = "".join(sentences)
        if not plain:
            return False
        if self._digest(key, *_named(plain, before)) in self._known:
            return True
        known = (one for one in _long(sentences) if self._digest(key, "sentence", one) in self._known)
        return 2 * sum(map(len, known)) >= len(plain)

    def _digests(self, key: str, text: str, before: tuple[Turn, ...]) -> Iterator[str]:
        sentences = _sentences(text)
        plain = "".join(sentences)
        if not plain:
            return
        yield self._digest(key, *_named(plain, before))
        for sentence in list(dict.fromkeys(_long(sentences)))[:MOST_SENTENCES]:
            yield self._digest(key, "sentence", sentence)

    def _digest(self, *parts: str) -> str:
        return self._tag(parts[0]) + self._keyed("\x1f".join(parts))[:24]

    def _tag(self, key: str) -> str:
        """What all digests of an API key begin with: most keys have none, and then nothing needs to be hashed."""
        return self._keyed(f"key\x1f{key}")[:8]

    def _keyed(self, message: str) -> str:
        return hmac.digest(self._secret, message.encode("utf-8", "surrogatepass"), "sha256").hex()

    def _keep(self, digests: Iterable[str]) -> None:
        for digest in digests:
            self._known[digest] = None
            self._tags.add(digest[:8])
            self._known.move_to_end(digest)
        while len(self._known) > self._most:
            self._known.popitem(last=False)

    def _refresh(self) -> None:
        if self._journal is not None:
            self._keep(self._journal.read_new())


def _named(plain: str, before: tuple[Turn, ...]) -> tuple[str, ...]:
    if len(plain) >= SHORT:
        return "text", plain
    question = next((one.content for one in reversed(before) if one.role == "user"), "")
    return "short", "".join(_sentences(question)), plain


def _sentences(text: str) -> list[str]:
    """A text's sentences without disguise and without anything but letters and digits."""
    return [_NO_LETTER.sub("", one) for one in _ENDS.split(folded_text(text))]


def _long(sentences: Iterable[str]) -> Iterator[str]:
    return (one for one in sentences if len(one) >= LONG_SENTENCE)


class FileJournal:
    """A journal of lines in one file, shared by the processes of a machine: each line is one append."""

    def __init__(self, path: Path, most: int = 400_000) -> None:
        self._path, self._most = path, most
        self._offset = 0
        self._inode = -1
        self._lock = threading.Lock()
        with explaining_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600, exist_ok=True)
        self._shorten()

    def read_new(self) -> list[str]:
        """A line cut short by a kill is left out; a file put in place of the old one is read from its start. A file
        that is gone holds nothing new: what was read stays in memory."""
        with self._lock, explaining_disk_errors(self._path):
            try:
                state = self._path.stat()
            except FileNotFoundError:
                return []
            if state.st_ino != self._inode or state.st_size < self._offset:
                self._inode, self._offset = state.st_ino, 0
            if state.st_size == self._offset:
                return []
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._offset += len(whole)
        return [line for line in whole.decode("ascii", "replace").split("\n") if len(line) == 32]

    def add(self, digests: Iterable[str]) -> None:
        """One write, synced."""
        data = "".join(f"{one}\n" for one in digests).encode("ascii")
        with self._lock, explaining_disk_errors(self._path):
            # A line that a kill cut short must not swallow the next one.
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                left = memoryview(b"\n" + data)
                while left:
                    left = left[os.write(descriptor, left) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def _shorten(self) -> None:
        lines = [one for one in self._path.read_text("ascii", "replace").split("\n") if len(one) == 32]
        if len(lines) > self._most:
            write_bytes(self._path, ("\n".join(lines[-self._most // 2 :]) + "\n").encode("ascii"))
