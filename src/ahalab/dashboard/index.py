"""Filter columns and file offsets of all samples of a run, in a small database beside the runs' cache.

A run folder may hold gigabytes of samples, and a page must find "right, with *wait*, step 40 to 60" at once. The index
keeps per sample a key, an offset and a handful of numbers; the text stays in the run's own files and is read by offset.
The key orders samples as people read them: stage, file, row. Per file it keeps ranges, so that a search skips most.

Keys: stage number · 2⁴⁸ + file number · 2²⁴ + row.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ahalab.policy.locate import cache_folder

SCHEMA_VERSION = 1
"""Raised when the tables change: an index of another version is made again."""
FILE_BITS, ROW_BITS = 24, 24
MAX_ROWS = 1 << ROW_BITS
UNNUMBERED = 1 << (FILE_BITS - 1)
"""File numbers from here on are given out in order of discovery, to files whose name has no number."""
MAX_BITS = 62
"""Words and domains with a bit of their own; all later ones share the last bit (63 is the sign)."""

RIGHT, WRONG, UNGRADED = 1, 0, 2

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT);
CREATE TABLE stages (number INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE names (kind TEXT, bit INTEGER, name TEXT, PRIMARY KEY (kind, name)) WITHOUT ROWID;
CREATE TABLE files (
  file INTEGER PRIMARY KEY, stage INTEGER, name TEXT, inode INTEGER, size INTEGER, mtime INTEGER,
  done INTEGER, head BLOB, tail BLOB, rows INTEGER, broken INTEGER, truncated INTEGER, trouble TEXT,
  step_min INTEGER, step_max INTEGER, total_min REAL, total_max REAL,
  right INTEGER, wrong INTEGER, ungraded INTEGER, words INTEGER, domains INTEGER, rollout INTEGER, drawn INTEGER
);
CREATE TABLE samples (
  key INTEGER PRIMARY KEY, offset INTEGER, step INTEGER, domain INTEGER, total REAL, verdict INTEGER,
  tokens INTEGER, words INTEGER, prompt INTEGER
);
CREATE TABLE prompts (prompt INTEGER, file INTEGER, PRIMARY KEY (prompt, file)) WITHOUT ROWID;
"""


def default_cache() -> Path:
    """Where indexes are kept: the user's cache, never a run folder."""
    return cache_folder() / "dashboard"


def prompt_hash(prompt_id: str) -> int:
    """64 bits of a prompt's id, signed as SQLite stores them."""
    digest = hashlib.blake2b(prompt_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def first_key(file: int) -> int:
    """The key of a file's first row; `file` is stage number · 2²⁴ + file number."""
    return file << ROW_BITS


@dataclass(frozen=True, slots=True)
class Index:
    """The index of one run."""

    run: Path
    path: Path

    @classmethod
    def of(cls, run: Path, cache: Path) -> Index:
        """The index of the run at `run`; nothing is made yet."""
        name = hashlib.sha256(str(run.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:24]
        return cls(run, cache / f"{name}.sqlite")

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection that only reads. FileNotFoundError when there is no index, sqlite3.Error when it is broken."""
        if not self.path.exists():
            raise FileNotFoundError(self.path)
        connection = sqlite3.connect(self.path, timeout=2.0, check_same_thread=False)
        try:
            connection.execute("PRAGMA query_only = 1")
            connection.execute("PRAGMA cache_size = -4000")
            yield connection
        finally:
            connection.close()

    def open_to_write(self) -> sqlite3.Connection:
        """A connection that writes; made anew when there is no index, a broken one or one of another version."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for again in (True, False):
            connection = sqlite3.connect(self.path, timeout=10.0, check_same_thread=False)
            try:
                if self._ready(connection):
                    return connection
            except sqlite3.DatabaseError:
                if not again:
                    connection.close()
                    raise
            connection.close()
            self.remove()
        raise sqlite3.DatabaseError(f"{self.path} could not be made")

    def remove(self) -> None:
        """Forget the index."""
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                self.path.with_name(self.path.name + suffix).unlink()

    def _ready(self, connection: sqlite3.Connection) -> bool:
        """Whether the connection can be used; an empty database gets its tables."""
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, SCHEMA_VERSION):
            return False
        connection.execute("PRAGMA journal_mode = WAL")
        # A lost index is made again: no need to wait for the disk.
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -8000")
        connection.execute("PRAGMA journal_size_limit = 16000000")
        if version == 0:
            connection.executescript(
                f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
            connection.execute("INSERT INTO meta VALUES ('run', ?)", (str(self.run.resolve()),))
            connection.commit()
        return True


def forget_gone_runs(cache: Path) -> int:
    """Remove the indexes of runs that are no longer there; how many."""
    removed = 0
    for path in cache.glob("*.sqlite") if cache.is_dir() else ():
        try:
            connection = sqlite3.connect(path, timeout=1.0)
            try:
                found = connection.execute("SELECT value FROM meta WHERE name = 'run'").fetchone()
            finally:
                connection.close()
        except sqlite3.Error:
            continue
        if found and not Path(found[0]).exists():
            Index(Path(found[0]), path).remove()
            removed += 1
    return removed


def stage_number(connection: sqlite3.Connection, name: str) -> int:
    """The stage's number in keys, given at first sight."""
    found = connection.execute("SELECT number FROM stages WHERE name = ?", (name,)).fetchone()
    if found:
        return int(found[0])
    cursor = connection.execute("INSERT INTO stages (name) VALUES (?)", (name,))
    return int(cursor.lastrowid or 0)


class Bits:
    """Words, or domains, and their bits in masks."""

    def __init__(self, connection: sqlite3.Connection, kind: str) -> None:
        self._connection, self._kind = connection, kind
        self.bits = {
            str(name): int(bit)
            for name, bit in connection.execute("SELECT name, bit FROM names WHERE kind = ?", (kind,))
        }

    def bit(self, name: str) -> int:
        """The bit's number, given at first sight; all names after the 62nd share the last."""
        bit = self.bits.get(name)
        if bit is None:
            bit = min(len(self.bits), MAX_BITS)
            # What shares the last bit is not remembered without end: a hostile run may name millions.
            if len(self.bits) < 4 * MAX_BITS:
                self.bits[name] = bit
                self._connection.execute("INSERT INTO names VALUES (?, ?, ?)", (self._kind, bit, name))
        return bit
