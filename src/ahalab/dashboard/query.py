"""Searches over the samples of a run, that give what they found when their time is up.

A search walks files in the order in which people read them, skips files whose ranges rule them out, and stops after a
page of hits or a bounded time. It says where it stopped, so that the page goes on from there: no question blocks,
however rare its answer and however large the run.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ahalab.dashboard.files import MAX_LINE, parse_row, prompt_of, reflective_of
from ahalab.dashboard.filters import SampleFilter, bit_of, file_conditions, row_conditions
from ahalab.dashboard.index import FILE_BITS, MAX_BITS, ROW_BITS, first_key
from ahalab.errors import UserError

BUDGET_SECONDS = 0.08
"""Time of one search; the page asks again where it ended."""
WINDOW = 1 << 15
"""Rows looked at between two looks at the clock."""
TEXT_ROWS = 200
"""The same where the texts themselves are read."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One sample that was asked for."""

    key: int
    stage: str
    step: int
    row: Mapping[str, Any]


@dataclass(slots=True)
class Found:
    """Hits of one search, and where it stopped."""

    hits: list[Hit] = field(default_factory=list)
    next: str | None = None
    """Where to go on; None when everything was seen."""
    looked: int = 0
    """Samples ruled in or out by this search, those of skipped files too."""
    trouble: str | None = None


class Search:
    """One question to one run's index."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        folders: Mapping[str, Path],
        wanted: SampleFilter,
        newest_first: bool = False,
    ) -> None:
        self._connection, self._folders, self._wanted = connection, folders, wanted
        self._down = newest_first
        self._stages: list[tuple[int, str]] = []
        self._where, self._values = row_conditions(connection, wanted)
        self._files_where, self._files_values = file_conditions(connection, wanted)
        self._text = _TextMatch(connection, wanted)
        numbers = {
            str(name): int(number) for number, name in connection.execute("SELECT number, name FROM stages")
        }
        for name in wanted.stages:
            if name in numbers:
                self._stages.append((numbers[name], name))
        if newest_first:
            self._stages.reverse()

    def find(self, limit: int, after: str | None = None, budget: float = BUDGET_SECONDS) -> Found:
        """The next `limit` hits behind the place `after`, as `Found.next` gave it."""
        found = self._find(limit, after, budget)
        if len(found.hits) >= limit and not self._text.reads_texts:
            # A page that is full and the last one offers no next page.
            behind = self._find(1, found.next, budget / 4)
            if not behind.hits and behind.next is None:
                found.next = None
        return found

    def _find(self, limit: int, after: str | None, budget: float) -> Found:
        found, deadline = Found(), time.monotonic() + budget
        for stage, file, low, high, looked in self._windows(after):
            rows = self._rows(low, high)
            if self._text.reads_texts:
                ended = self._read_texts(found, stage, file, rows, limit, deadline)
            else:
                ended = self._take(found, stage, file, rows, limit)
            if ended is not None:
                found.looked += high - ended + 1 if self._down else ended - low + 1
                found.next = str(ended)
                return found
            found.looked += looked
            if time.monotonic() > deadline:
                found.next = str(low if self._down else high)
                return found
        return found

    def count(self, after: str | None = None, budget: float = BUDGET_SECONDS) -> tuple[int, str | None]:
        """(hits behind `after` that were counted in time, where to go on). ValueError where texts would be read."""
        if self._text.reads_texts:
            raise ValueError("texts are searched, not counted")
        deadline, hits = time.monotonic() + budget, 0
        for _, _, low, high, looked in self._windows(after):
            if self._wanted.plain:
                hits += looked
            else:
                query = f"SELECT COUNT(*) FROM samples WHERE key BETWEEN ? AND ?{self._where}"
                hits += int(self._connection.execute(query, (low, high, *self._values)).fetchone()[0])
            if time.monotonic() > deadline:
                return hits, str(low if self._down else high)
        return hits, None

    def _windows(self, after: str | None) -> Iterator[tuple[str, str, int, int, int]]:
        """(stage, file name, lowest key, highest key, rows) in order, behind the key `after`."""
        behind = _place(after)
        numbers = [number for number, _ in self._stages]
        begun = behind is None or (behind >> (FILE_BITS + ROW_BITS)) not in numbers
        for number, stage in self._stages:
            here = not begun and behind is not None and behind >> (FILE_BITS + ROW_BITS) == number
            if not begun and not here:
                continue
            begun = True
            bound = f"AND file {'<=' if self._down else '>='} ?" if here else ""
            start = (behind >> ROW_BITS,) if here and behind is not None else ()
            order = "DESC" if self._down else "ASC"
            files = self._connection.execute(
                f"SELECT file, name, rows FROM files WHERE stage = ? {bound}{self._files_where} ORDER BY file {order}",
                (number, *start, *self._files_values),
            )
            for file, name, rows in files:
                low, high = first_key(file), first_key(file) + rows - 1
                if here and behind is not None:
                    low, high = (low, min(high, behind - 1)) if self._down else (max(low, behind + 1), high)
                yield from ((stage, name, *part) for part in self._parts(low, high))

    def _parts(self, low: int, high: int) -> Iterator[tuple[int, int, int]]:
        """A range of keys in pieces of at most `WINDOW`."""
        while low <= high:
            if self._down:
                part = (max(low, high - WINDOW + 1), high)
                high = part[0] - 1
            else:
                part = (low, min(high, low + WINDOW - 1))
                low = part[1] + 1
            yield (*part, part[1] - part[0] + 1)

    def _rows(self, low: int, high: int) -> sqlite3.Cursor:
        order = "DESC" if self._down else "ASC"
        query = f"SELECT key, offset, step FROM samples WHERE key BETWEEN ? AND ?{self._where} ORDER BY key {order}"
        return self._connection.execute(query, (low, high, *self._values))

    def _take(self, found: Found, stage: str, file: str, rows: sqlite3.Cursor, limit: int) -> int | None:
        """Read the rows themselves until the page is full; then the last key."""
        needed = rows.fetchmany(limit - len(found.hits))
        with _SampleFile(self._folders[stage], file) as texts:
            for key, offset, step in needed:
                row = texts.row(offset)
                if row is None:
                    found.trouble = f"{file} of stage {stage} changed just now and is being read again."
                else:
                    found.hits.append(Hit(key, stage, step, row))
        return needed[-1][0] if needed and len(found.hits) >= limit else None

    def _read_texts(
        self, found: Found, stage: str, file: str, rows: sqlite3.Cursor, limit: int, deadline: float
    ) -> int | None:
        with _SampleFile(self._folders[stage], file) as texts:
            while batch := rows.fetchmany(TEXT_ROWS):
                for key, offset, step in batch:
                    row = self._text.match(texts.line(offset))
                    if row is not None:
                        found.hits.append(Hit(key, stage, step, row))
                        if len(found.hits) >= limit:
                            return int(key)
                if time.monotonic() > deadline:
                    return int(batch[-1][0])
        return None


class _SampleFile:
    """Rows of one file by offset; a file that is gone gives none."""

    def __init__(self, folder: Path, name: str) -> None:
        try:
            self._file = (folder / name).open("rb", buffering=1 << 16)
        except OSError:
            self._file = None  # type: ignore[assignment]

    def __enter__(self) -> _SampleFile:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def line(self, offset: int) -> bytes:
        if self._file is None:
            return b""
        if self._file.tell() != offset:
            self._file.seek(offset)
        return self._file.readline(MAX_LINE)

    def row(self, offset: int) -> Mapping[str, Any] | None:
        try:
            return parse_row(self.line(offset))
        except (ValueError, RecursionError, OSError):
            return None


class _TextMatch:
    """What only the row itself can tell: free text, and names that share a bit of a mask."""

    def __init__(self, connection: sqlite3.Connection, wanted: SampleFilter) -> None:
        self._needle = (wanted.text or "").casefold()
        self._word = (
            wanted.word if wanted.word and bit_of(connection, "word", wanted.word) == MAX_BITS else None
        )
        self._domain = (
            wanted.domain
            if wanted.domain and bit_of(connection, "domain", wanted.domain) == MAX_BITS
            else None
        )
        self._prompt = wanted.prompt
        # The bytes of a line are looked at first: parsing each would take ten times as long.
        self._raw: re.Pattern[bytes] | None = None
        if self._needle.isascii() or self._needle.upper() == self._needle.lower():
            forms = {
                json.dumps(wanted.text or "", ensure_ascii=ascii_only)[1:-1] for ascii_only in (True, False)
            }
            pattern = "|".join(re.escape(form) for form in sorted(forms))
            self._raw = re.compile(pattern.encode("utf-8", "surrogatepass"), re.IGNORECASE)

    @property
    def reads_texts(self) -> bool:
        """Whether the columns do not suffice."""
        return bool(self._needle or self._word or self._domain)

    def match(self, line: bytes) -> Mapping[str, Any] | None:
        """The row when it is a hit."""
        if self._needle and self._raw is not None and not self._raw.search(line):
            return None
        try:
            row = parse_row(line)
        except (ValueError, RecursionError):
            return None
        if self._word and self._word not in reflective_of(row):
            return None
        if self._domain and str(row.get("domain")) != self._domain:
            return None
        if self._prompt and prompt_of(row) != self._prompt:
            return None
        if self._needle:
            texts = (str(row.get(name) or "") for name in ("text", "question", "answer", "gold", "prompt_id"))
            if not any(self._needle in text.casefold() for text in texts):
                return None
        return row


def read_row(connection: sqlite3.Connection, folders: Mapping[str, Path], key: int) -> Hit | None:
    """The sample of one key; None where there is no such sample (any more)."""
    found = connection.execute(
        "SELECT stages.name, files.name, offset, step FROM samples "
        "JOIN files ON files.file = key >> ? JOIN stages ON stages.number = files.stage WHERE key = ?",
        (ROW_BITS, key),
    ).fetchone()
    if found is None or found[0] not in folders:
        return None
    with _SampleFile(folders[found[0]], found[1]) as texts:
        row = texts.row(found[2])
    return None if row is None else Hit(key, str(found[0]), int(found[3]), row)


def _place(after: str | None) -> int | None:
    if not after:
        return None
    if not re.fullmatch(r"[0-9]{1,19}", after, re.ASCII) or int(after) >= 1 << 63:
        raise UserError(f"after: {after!r} is not a place in the samples.")
    return int(after)
