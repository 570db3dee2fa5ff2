"""A file of rows that each may stand in it once: what is there already is known, and nothing is written twice."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

from ahalab.errors import UserError
from ahalab.runs.atomic import explaining_disk_errors, write_bytes
from ahalab.runs.jsonl import JsonlWriter, encode_row
from ahalab.safety.folder import REPLIES_NAME, read_rows, row_of
from ahalab.safety.records import Judgement, TargetReply

Row = TypeVar("Row", TargetReply, Judgement)
Key = tuple[str, str]
"""(item, part); the part of a reply is ""."""


def key_of(row: TargetReply | Judgement) -> Key:
    """What a row may be there once for."""
    return (row.item, row.part if isinstance(row, Judgement) else "")


class OnceRows(Generic[Row]):
    """Appends from any thread; once `append` has returned, `kill -9` cannot take the row back. Context manager.

    Raises:
        UserError: the file holds a row twice, or a row that does not fit; names file and row.
    """

    def __init__(self, path: Path, kind: type[Row], on_append: Callable[[Row], None]) -> None:
        self.path = path
        self._on_append: Callable[[Row], None] = on_append
        self._lock = threading.Lock()
        with explaining_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = JsonlWriter(path)  # first, for it mends what a kill left half written
        self.keys = done_keys(path, kind)

    def append(self, row: Row) -> None:
        """Write a row. ValueError when it is there already: a target or judge has answered the same thing twice."""
        key = key_of(row)
        with self._lock:
            if key in self.keys:
                raise ValueError(f"{self.path}: a second row for {' '.join(key).strip()}")
            self._writer.append(row_of(row))
            self.keys.add(key)
            self._on_append(row)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()


def done_keys(path: Path, kind: type[Row]) -> set[Key]:
    """The keys in a file; none where there is no file. Errors as `OnceRows`."""
    keys: set[Key] = set()
    for number, row in enumerate(read_rows(path, kind) if path.is_file() else (), 1):
        key = key_of(row)
        if key in keys:
            raise UserError(
                f"{path}, row {number}: {' '.join(key).strip()} is there twice, so the file was changed by hand. "
                "Leave one of the two rows."
            )
        keys.add(key)
    return keys


def drop_rows(path: Path, kind: type[Row], wanted: Callable[[Row], bool]) -> list[Row]:
    """Take the rows that `wanted` says out of a file, all at once; they are returned."""
    rows = list(read_rows(path, kind)) if path.is_file() else []
    dropped = [row for row in rows if wanted(row)]
    if dropped:
        gone = {key_of(row) for row in dropped}
        write_bytes(path, b"".join(encode_row(row_of(row)) for row in rows if key_of(row) not in gone))
    return dropped


def drop_failures(folder: Path, targets: Collection[str], *, replies: bool = True) -> int:
    """Open again what ended in an error: replies with `error`, with every judgement of them, and `judge_error`s.

    Args:
        replies: False leaves the replies as they are.

    Returns:
        How many rows were taken out.
    """
    count = 0
    for target in targets:
        items: set[str] = set()
        if replies:
            path = folder / "targets" / target / REPLIES_NAME
            items = {row.item for row in drop_rows(path, TargetReply, lambda row: bool(row.error))}
        count += len(items)
        for path in folder.glob(f"judges/*/{target}.jsonl"):
            count += len(drop_rows(path, Judgement, partial(_is_open, items)))
    return count


def _is_open(items: Collection[str], row: Judgement) -> bool:
    return row.item in items or row.verdict == "judge_error"
