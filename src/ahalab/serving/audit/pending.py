"""Conclusions on their way into the database, in files of this process: what nobody waits for outlives a `kill -9`.

An ordinary reply need not wait for a commit: its conclusion is handed to the system in microseconds, and is in the
database moments later. The files of a process that was killed in between are taken up by the next one. They are
encrypted, and emptied as soon as the database has what is in them. Only a power cut can lose them.
"""

from __future__ import annotations

import fcntl
import hmac
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ahalab.runs.atomic import explaining_disk_errors, write_all
from ahalab.serving.audit.keyfile import AuditKeys
from ahalab.serving.audit.rows import Draft, drafted, written

FULL = 256 * 1024
"""Bytes after which the other file is written to, so that this one runs empty."""
_NONCE = 12
_LABEL = b"ahalab pending conclusion"
_SUFFIX = ".pending"


@dataclass(slots=True)
class _Part:
    path: Path
    descriptor: int
    size: int = 0
    waiting: int = 0
    """Conclusions in it that are not in the database yet."""


class Pending:
    """Two files in `folder`, locked for as long as this process lives, written to in turn. Any thread may ask."""

    def __init__(self, folder: Path, keys: AuditKeys) -> None:
        self._cipher = _cipher(keys)
        self._lock = threading.Lock()
        with explaining_disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._parts = [_new_part(folder), _new_part(folder)]

    def keep(self, draft: Draft) -> Callable[[], None]:
        """Outlives this process once this returns. Call what it returns when the database has it. OSError."""
        value = asdict(draft)
        value["text"] = None if draft.text is None else draft.text.decode("ascii")
        nonce = os.urandom(_NONCE)
        sealed = nonce + self._cipher.encrypt(nonce, written(value).encode("ascii"), _LABEL)
        frame = len(sealed).to_bytes(4, "big") + sealed
        with self._lock:
            if self._parts[0].size > FULL and not self._parts[1].waiting:
                self._parts.reverse()
            part = self._parts[0]
            try:
                write_all(part.descriptor, frame)
            except OSError:
                os.ftruncate(part.descriptor, part.size)  # no half frame before the next one
                raise
            part.size += len(frame)
            part.waiting += 1
        return lambda: self._done(part)

    def close(self) -> None:
        """Remove what is empty; what the database could not take stays for the next process."""
        with self._lock:
            for part in self._parts:
                if not part.waiting:
                    with suppress(FileNotFoundError):
                        part.path.unlink()
                os.close(part.descriptor)
            self._parts = []

    def _done(self, part: _Part) -> None:
        with self._lock:
            part.waiting -= 1
            if not part.waiting and part in self._parts:
                os.ftruncate(part.descriptor, 0)
                part.size = 0


@dataclass(frozen=True, slots=True)
class LeftBehind:
    """What a process that is gone has left in one file."""

    path: Path
    drafts: list[Draft]
    damaged: int
    """Bytes that no process with this key wrote."""


@contextmanager
def left_behind(folder: Path, keys: AuditKeys) -> Iterator[Iterator[LeftBehind]]:
    """Files of processes that are gone, each locked until the block ends. Who has dealt with one removes it."""
    held: list[int] = []

    def found() -> Iterator[LeftBehind]:
        for path in sorted(folder.glob(f"*{_SUFFIX}")):
            descriptor = _locked(path)
            if descriptor is not None:
                held.append(descriptor)
                yield _read(path, _cipher(keys))

    try:
        yield found()
    finally:
        for one in held:
            os.close(one)


def _new_part(folder: Path) -> _Part:
    while True:
        path = folder / f"{os.getpid()}-{secrets.token_hex(6)}{_SUFFIX}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:  # nobody took it for left behind before it was locked
                return _Part(path, descriptor)
        os.close(descriptor)


def _locked(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None  # another process has dealt with it
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(descriptor).st_nlink:
            return descriptor
    except BlockingIOError:
        pass  # its process lives
    os.close(descriptor)
    return None


def _read(path: Path, cipher: AESGCM) -> LeftBehind:
    data, at = path.read_bytes(), 0
    drafts: list[Draft] = []
    while at + 4 <= len(data):
        end = at + 4 + int.from_bytes(data[at : at + 4], "big")
        sealed = data[at + 4 : end]
        if end > len(data):
            break
        try:
            drafts.append(drafted(cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], _LABEL)))
        except (InvalidTag, ValueError):
            return LeftBehind(path, drafts, len(data) - at)
        at = end
    # A frame that was being written when the process was killed: its reply had not ended, so nothing is missing.
    return LeftBehind(path, drafts, 0)


def _cipher(keys: AuditKeys) -> AESGCM:
    # An auditor's key file holds the chain's secret alone, and must not open texts.
    return AESGCM(hmac.digest(keys.texts or keys.chain, _LABEL, "sha256"))
