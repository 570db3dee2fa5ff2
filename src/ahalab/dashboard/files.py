"""One file of samples into the index: from the start, or on from where the last look ended."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO
from zlib import crc32

from ahalab.analysis.curves import is_number
from ahalab.analysis.samples import is_correct
from ahalab.dashboard.index import (
    FILE_BITS,
    MAX_ROWS,
    RIGHT,
    UNGRADED,
    UNNUMBERED,
    WRONG,
    Bits,
    first_key,
    prompt_hash,
)
from ahalab.text.reflection import count_reflective

MAX_LINE = 32 << 20
"""Longest row that is read; a longer one is counted as broken (our choice)."""
FINGERPRINT = 4096
BATCH = 2_000
_NUMBER = re.compile(r"(?:rollout|shard)-([0-9]{1,6})\.jsonl")
_COLUMNS = (
    "file",
    "stage",
    "name",
    "inode",
    "size",
    "mtime",
    "done",
    "head",
    "tail",
    "rows",
    "broken",
    "truncated",
    "trouble",
    "step_min",
    "step_max",
    "total_min",
    "total_max",
    "right",
    "wrong",
    "ungraded",
    "words",
    "domains",
    "rollout",
    "drawn",
)


@dataclass(slots=True)
class FileState:
    """What the index knows of one file; the columns of table `files`."""

    file: int
    stage: int
    name: str
    inode: int = 0
    size: int = -1
    mtime: int = 0
    done: int = 0
    head: bytes = b""
    tail: bytes = b""
    rows: int = 0
    broken: int = 0
    truncated: int = 0
    trouble: str | None = None
    step_min: int | None = None
    step_max: int | None = None
    total_min: float | None = None
    total_max: float | None = None
    right: int = 0
    wrong: int = 0
    ungraded: int = 0
    words: int = 0
    domains: int = 0
    rollout: int | None = None
    drawn: int = 0

    def write(self, connection: sqlite3.Connection) -> None:
        """Into the index."""
        marks = ", ".join("?" * len(_COLUMNS))
        connection.execute(
            f"INSERT OR REPLACE INTO files ({', '.join(_COLUMNS)}) VALUES ({marks})",
            [getattr(self, name) for name in _COLUMNS],
        )


def known_files(connection: sqlite3.Connection, stage: int) -> dict[str, FileState]:
    """The stage's files in the index, by name."""
    rows = connection.execute(f"SELECT {', '.join(_COLUMNS)} FROM files WHERE stage = ?", (stage,))
    return {state.name: state for state in (FileState(*row) for row in rows)}


def new_state(stage: int, name: str, known: Mapping[str, FileState]) -> FileState:
    """The place of a file not seen before: by the number in its name, else after all seen."""
    taken = {state.file & ((1 << FILE_BITS) - 1) for state in known.values()}
    found = _NUMBER.fullmatch(name)
    number = int(found[1]) if found else UNNUMBERED
    while number in taken:
        number = max(number + 1, UNNUMBERED)
    return FileState((stage << FILE_BITS) + number, stage, name)


def forget(connection: sqlite3.Connection, state: FileState) -> None:
    """Take a file out of the index."""
    start = first_key(state.file)
    connection.execute("DELETE FROM samples WHERE key BETWEEN ? AND ?", (start, start + MAX_ROWS - 1))
    # By file the table has no order; a run whose rows were cut back is rare.
    connection.execute("DELETE FROM prompts WHERE file = ?", (state.file,))
    connection.execute("DELETE FROM files WHERE file = ?", (state.file,))


class FileIndexer:
    """Reads files of one run into its index. `alive` is asked now and then; False ends the work early."""

    def __init__(
        self, connection: sqlite3.Connection, alive: Callable[[], bool], progress: Callable[[int], None]
    ) -> None:
        self._connection, self._alive, self._progress = connection, alive, progress
        self._words, self._domains = Bits(connection, "word"), Bits(connection, "domain")
        self._committed = time.monotonic()

    def follow(self, path: Path, state: FileState, stat: os.stat_result) -> None:
        """Bring the index up to the file as `stat` saw it. OSError when it cannot be read (any more)."""
        with path.open("rb") as file:
            if not _grew(file, state, stat):
                forget(self._connection, state)
                state = FileState(state.file, state.stage, state.name)
            state.inode, state.mtime = stat.st_ino, stat.st_mtime_ns
            file.seek(state.done)
            self._read(file, state, stat)
            state.head, state.tail = _fingerprint(file, 0, state.done), _fingerprint(file, None, state.done)
        state.write(self._connection)
        self.commit_sometimes()

    def commit_sometimes(self, every: float = 1.0) -> None:
        """Once a second: readers see the progress, a kill loses little."""
        if time.monotonic() - self._committed >= every:
            self._connection.commit()
            self._committed = time.monotonic()

    def _read(self, file: BinaryIO, state: FileState, stat: os.stat_result) -> None:
        rows: list[tuple[Any, ...]] = []
        prompts: set[int] = set()
        state.size, state.truncated = stat.st_size, 0
        while state.done < stat.st_size and self._alive():
            line = file.readline(MAX_LINE)
            if not line:
                break
            whole = line.endswith(b"\n")
            length = len(line) + (0 if whole or len(line) < MAX_LINE else _skip_line(file))
            row = _parse(line, state, last=not whole and length == len(line))
            if row is None and not whole and length == len(line):
                state.truncated = 1
                break
            if row is not None and state.rows < MAX_ROWS:
                rows.append(self._columns(row, state, state.done))
                prompts.add(rows[-1][-1])
            state.done += length
            if len(rows) >= BATCH:
                self._store(rows, prompts, state)
                # So that a kill, or a stop of the page, goes on from here.
                state.head = state.head or _fingerprint(file, 0, state.done)
                state.tail = _fingerprint(file, None, state.done)
                file.seek(state.done)
                state.write(self._connection)
                self.commit_sometimes()
        if state.done < stat.st_size and not state.truncated:
            state.size = -1  # stopped in the middle: looked at again
        self._store(rows, prompts, state)

    def _store(self, rows: list[tuple[Any, ...]], prompts: set[int], state: FileState) -> None:
        self._connection.executemany(
            "INSERT OR REPLACE INTO samples VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
        )
        self._connection.executemany(
            "INSERT OR IGNORE INTO prompts VALUES (?, ?)", [(prompt, state.file) for prompt in prompts]
        )
        rows.clear()
        prompts.clear()
        self._progress(state.done)

    def _columns(self, row: Mapping[str, Any], state: FileState, offset: int) -> tuple[Any, ...]:
        """A row of table `samples`; the file's ranges grow with it."""
        step = _drawn(row, state)
        correct = is_correct(row)
        verdict = UNGRADED if correct is None else RIGHT if correct else WRONG
        total = float(row["total"]) if is_number(row.get("total")) else None
        words = 0
        for word in reflective_of(row):
            words |= 1 << self._words.bit(word)
        domain = self._domains.bit(str(row.get("domain") or "")[:80])
        tokens = row.get("tokens")
        state.rows += 1
        state.step_min = step if state.step_min is None else min(state.step_min, step)
        state.step_max = step if state.step_max is None else max(state.step_max, step)
        if total is not None:
            state.total_min = total if state.total_min is None else min(state.total_min, total)
            state.total_max = total if state.total_max is None else max(state.total_max, total)
        state.right += verdict == RIGHT
        state.wrong += verdict == WRONG
        state.ungraded += verdict == UNGRADED
        state.words |= words
        state.domains |= 1 << domain
        return (
            first_key(state.file) + state.rows - 1,
            offset,
            step,
            domain,
            total,
            verdict,
            int(tokens) if is_number(tokens) else None,
            words,
            prompt_hash(prompt_of(row)),
        )


def prompt_of(row: Mapping[str, Any]) -> str:
    """The prompt's id; of a foreign row its question."""
    return str(row.get("prompt_id") or row.get("question") or row.get("prompt") or "")


def reflective_of(row: Mapping[str, Any]) -> dict[str, int]:
    """Reflective words and how often; of a foreign row counted now."""
    found = row.get("reflective")
    if not isinstance(found, Mapping):
        return count_reflective(str(row.get("text") or ""))
    return {str(word)[:80]: int(count) for word, count in found.items() if is_number(count) and count > 0}


def _drawn(row: Mapping[str, Any], state: FileState) -> int:
    """Updates made before the sample was drawn, as the curves count: 0 is the start, a rollout has one value."""
    step = int(row["step"]) if is_number(row.get("step")) else 0
    rollout = int(row["rollout"]) if is_number(row.get("rollout")) else step
    if step < 1:
        return 0
    if rollout != state.rollout:
        state.rollout, state.drawn = rollout, step - 1 if rollout >= 1 else step
    return state.drawn


def _parse(line: bytes, state: FileState, last: bool) -> Mapping[str, Any] | None:
    """The row; None, counted with its reason, where there is none. A cut last line is not counted as broken."""
    if not line.strip():
        return None
    try:
        row = parse_row(line)
    except (ValueError, RecursionError) as error:
        if not last:
            state.broken += 1
            if state.trouble is None:
                place = state.rows + state.broken
                state.trouble = f"{state.name}, row {place} and perhaps more: {describe_break(line, error)}"
        return None
    return row


def parse_row(line: bytes) -> Mapping[str, Any]:
    """One line as a row. ValueError or RecursionError when it is none."""
    value = json.loads(line.removeprefix(b"\xef\xbb\xbf").decode("utf-8"))
    if not isinstance(value, dict):
        raise ValueError("a JSON object was expected")
    return value


def describe_break(line: bytes, error: Exception) -> str:
    """What is wrong with a line, in words."""
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8 text (saved in another encoding?)"
    if len(line) >= MAX_LINE:
        return f"longer than {MAX_LINE >> 20} MB"
    return f"not a JSON row ({error})"


def _skip_line(file: BinaryIO) -> int:
    """Read past the rest of an endless line; how many bytes."""
    skipped = 0
    while part := file.readline(1 << 20):
        skipped += len(part)
        if part.endswith(b"\n"):
            break
    return skipped


def _grew(file: BinaryIO, state: FileState, stat: os.stat_result) -> bool:
    """Whether the file is the one that was read, with more at its end: not one that a resume wrote anew."""
    if not state.done:
        return True
    if stat.st_size < state.done or (stat.st_size == state.size and stat.st_mtime_ns != state.mtime):
        return False
    return (_fingerprint(file, 0, state.done), _fingerprint(file, None, state.done)) == (
        state.head,
        state.tail,
    )


def _fingerprint(file: BinaryIO, start: int | None, done: int) -> bytes:
    """A checksum of the first bytes, or (None) of the last ones before `done`."""
    size = min(FINGERPRINT, done)
    file.seek(done - size if start is None else start)
    return crc32(file.read(size)).to_bytes(4, "big") + size.to_bytes(4, "big")
