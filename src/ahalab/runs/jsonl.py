"""Rows of JSON, one a line: a kill loses at most the row being written, a resume cuts back to an offset."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NoReturn, Self

from ahalab.errors import EnvironmentFailure, UserError
from ahalab.runs.atomic import TEMPORARY_PREFIX, explaining_disk_errors, sync_folder, write_all

_CHUNK = 1 << 16


def encode_row(row: Mapping[str, Any]) -> bytes:
    """One line of UTF-8 JSON with its newline; keys in insertion order.

    ValueError naming the key for NaN and infinities, TypeError naming the key for what JSON cannot say: such
    a value in a log would be found only when somebody reads it.
    """
    try:
        text = json.dumps(dict(row), ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError) as error:
        problem = _find_problem(row, "")
        raise type(error)(problem or str(error)) from error
    # A lone surrogate (cut emoji in somebody's data) has no UTF-8 form, but `\udXXX` is legal JSON and reads
    # back.
    return (text + "\n").encode("utf-8", "backslashreplace")


class JsonlWriter:
    """Appends rows to `path`; once `append` has returned, `kill -9` cannot take the row back.

    Opening a file whose last row is half written (a killed process) removes that half: `dropped_bytes` says
    how much. The parent folder is made when missing, its parent must exist. One writer a file. Context
    manager.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.dropped_bytes = 0
        self._synced = self._named = False
        with explaining_disk_errors(self.path):
            self.path.parent.mkdir(exist_ok=True)
            # Not O_APPEND: after a failed write the next row must go to the offset it was cut back to.
            self._descriptor: int | None = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                self._offset = self._mend()
            except BaseException:
                os.close(self._descriptor)
                raise

    @property
    def offset(self) -> int:
        """Bytes of full rows in the file; what a checkpoint stores, after `flush`."""
        return self._offset

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one row. ValueError or TypeError as `encode_row`; EnvironmentFailure on a full disk.

        After any error the file ends with the last full row.
        """
        descriptor = self._open_descriptor()
        data = encode_row(row)
        with explaining_disk_errors(self.path, len(data)):
            try:
                os.lseek(descriptor, self._offset, os.SEEK_SET)
                write_all(descriptor, data)
                self._offset += len(data)
            except BaseException:
                os.ftruncate(descriptor, self._offset)
                raise
        self._synced = False

    def flush(self) -> None:
        """Wait until every row would survive a power cut. EnvironmentFailure on a full disk."""
        descriptor = self._open_descriptor()
        if not self._synced:
            with explaining_disk_errors(self.path):
                os.fsync(descriptor)
                if not self._named:
                    sync_folder(self.path.parent)
            self._synced = self._named = True

    def close(self) -> None:
        """Flush and close; closing twice is fine."""
        if self._descriptor is None:
            return
        try:
            self.flush()
        finally:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open_descriptor(self) -> int:
        if self._descriptor is None:
            raise ValueError(f"{self.path}: the writer is closed")
        return self._descriptor

    def _mend(self) -> int:
        """Make the file end with a full row and return its size."""
        descriptor = self._open_descriptor()
        size = os.fstat(descriptor).st_size
        with self.path.open("rb") as file:
            end = _row_boundary(file, size)
            file.seek(end)
            tail = file.read(size - end)
        if not tail:
            return size
        if _is_row(tail):
            # Only the newline is missing: the row itself was written, so it is kept.
            os.lseek(descriptor, size, os.SEEK_SET)
            write_all(descriptor, b"\n")
            return size + 1
        os.ftruncate(descriptor, end)
        self.dropped_bytes = len(tail)
        return end


def cut_to(path: Path, offset: int, attempts: Path) -> int:
    """Move the rows of `path` beyond byte `offset` to a new `attempts/<name>.<n>`; the number of rows moved.

    The rows that end at or before `offset` stay; a row that straddles it moves whole; a half-written last row
    moves too but is not counted. The copy is synced before the file is cut: a kill in between leaves the rows
    in both places, never in none. A missing file with offset 0 has nothing to move. EnvironmentFailure when
    the file is shorter than `offset`: something else changed it, and going on would lose rows silently.
    """
    if offset < 0:
        raise ValueError(f"{path}: offset {offset} is negative")
    size = path.stat().st_size if path.exists() else 0
    if size < offset:
        raise EnvironmentFailure(
            f"{path} has {size} bytes, its checkpoint says {offset}: something cut or removed it. "
            "Put the file back, or delete the unfinished stage's folder to start that stage anew."
        )
    if size == offset == 0:
        return 0
    with explaining_disk_errors(path), path.open("r+b") as file:
        keep = _row_boundary(file, offset)
        if keep == size:
            return 0
        moved = _copy_tail(file, keep, attempts, path.name)
        file.truncate(keep)
        os.fsync(file.fileno())
    return moved


class JsonlReader:
    """Iterator over the rows of a JSONL file. A half-written last line is dropped and counted in `truncated`.

    Blank lines are passed over. UserError naming file and row for a line that is not a JSON object.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.row = 0
        """Number of the row last read, from 1."""
        self.truncated = 0
        """Half-written last lines dropped so far: 0 or 1."""
        try:
            self._file = self.path.open("rb")
        except FileNotFoundError:
            raise UserError(f"{self.path} is missing: a file of JSON rows was expected there.") from None
        except IsADirectoryError:
            raise UserError(f"{self.path} is a folder: a file of JSON rows was expected there.") from None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self

    def __next__(self) -> dict[str, Any]:
        for line in self._file if not self._file.closed else ():
            self.row += 1
            if not line.strip():
                continue
            try:
                return _parse(line)
            except (ValueError, RecursionError) as error:
                if not line.endswith(b"\n"):
                    self.truncated += 1
                    break
                self._file.close()
                raise UserError(
                    f"{self.path}, row {self.row}: {error}. "
                    "Each line must be one JSON object; mend or remove this line."
                ) from error
        self._file.close()
        raise StopIteration


def read_jsonl(path: Path) -> JsonlReader:
    """The rows of `path`, read as they are asked for. Errors and dropped last line as `JsonlReader`."""
    return JsonlReader(path)


def _parse(line: bytes) -> dict[str, Any]:
    value = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
    if not isinstance(value, dict):
        raise ValueError(f"a JSON object was expected, found {type(value).__name__}")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _is_row(tail: bytes) -> bool:
    try:
        _parse(tail)
    except (ValueError, RecursionError):
        return False
    return True


def _row_boundary(file: BinaryIO, limit: int) -> int:
    """The end of the last full row within the first `limit` bytes (0 when there is none)."""
    end = limit
    while end > 0:
        start = max(0, end - _CHUNK)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _copy_tail(file: BinaryIO, start: int, attempts: Path, name: str) -> int:
    """Copy the bytes from `start` on to an unused name in `attempts`, synced; the number of full rows."""
    with explaining_disk_errors(attempts, os.fstat(file.fileno()).st_size - start):
        attempts.mkdir(parents=True, exist_ok=True)
        number = 1
        while (attempts / f"{name}.{number}").exists():
            number += 1
        temporary = attempts / f"{TEMPORARY_PREFIX}{name}"
        file.seek(start)
        try:
            with temporary.open("wb") as copy:
                shutil.copyfileobj(file, copy, _CHUNK)
                copy.flush()
                os.fsync(copy.fileno())
            rows = _count_rows(temporary)
            temporary.rename(attempts / f"{name}.{number}")
            sync_folder(attempts)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    return rows


def _count_rows(path: Path) -> int:
    with path.open("rb") as file:
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(_CHUNK), b""))


def _find_problem(value: Any, key: str) -> str | None:
    """The first key, dotted, whose value JSON cannot say, and why."""
    if isinstance(value, Mapping):
        parts = [(f"{key}.{name}" if key else str(name), part) for name, part in value.items()]
    elif isinstance(value, (list, tuple)):
        parts = [(f"{key}[{number}]", part) for number, part in enumerate(value)]
    elif isinstance(value, float):
        return None if math.isfinite(value) else f"{key}: {value} is not a JSON number"
    else:
        known = value is None or isinstance(value, (str, int))
        return None if known else f"{key}: a {type(value).__name__} is not JSON"
    return next((found for name, part in parts if (found := _find_problem(part, name))), None)
