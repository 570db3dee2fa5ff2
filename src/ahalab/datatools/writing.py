"""Rows to a file, written aside and renamed: a reader sees the old or the new, never half; a full disk gets its room
back."""

from __future__ import annotations

import fcntl
import gzip
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from ahalab.datatools.stream import suffix_of
from ahalab.errors import EnvironmentFailure, UserError
from ahalab.prompts.cells import BadRow
from ahalab.runs.atomic import TEMPORARY_PREFIX, explaining_disk_errors, is_disk_full, sync_folder
from ahalab.runs.jsonl import encode_row

WRITTEN = (".jsonl", ".jsonl.gz", ".parquet")
BUFFER = 1 << 20
GZIP_LEVEL = 6


class RowWriter:
    """Writes rows in the format of the path's ending. A context manager: leaving it without an error renames.

    Args:
        path: where the file is to be.
        overwrite: whether a file that is there already may be replaced.
        schema: of Parquet, the columns and their types (see `SchemaFinder`).

    Raises:
        UserError: an unknown ending, no such folder, a file that is there already or is being written by another
            process, no permission.
        EnvironmentFailure: a full disk; what was there before is as it was.
    """

    def __init__(self, path: Path, *, overwrite: bool = False, schema: Any = None) -> None:
        self.path = path
        self.rows = 0
        self._kind = suffix_of(path, WRITTEN)
        self._schema = schema
        check_writable(path, overwrite=overwrite)
        self._temporary = path.with_name(f"{TEMPORARY_PREFIX}{path.name}")
        self._file: IO[bytes] | None = None
        self._sink: Any = None

    def __enter__(self) -> Self:
        with explaining_disk_errors(self.path):
            # Not truncated before the lock is held: another process may be writing there.
            descriptor = os.open(self._temporary, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise UserError(f"{self.path} is being written by another process; wait, or stop it") from None
        os.ftruncate(descriptor, 0)
        self._file = os.fdopen(descriptor, "wb", buffering=BUFFER)
        try:
            self._open_sink()
        except BaseException as error:
            self._abandon()
            raise self._explained(error) from error
        return self

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a row. Raises BadRow for one that the format cannot hold."""
        if self._kind == ".parquet":
            check_unicode(row)
            size = 64 + sum(len(value) if isinstance(value, str) else 32 for value in row.values())
            try:
                self._sink.write(row, size)
            except OSError as error:
                raise self._explained(error) from error
            self.rows += 1
            return
        self.write_line(as_line(row))

    def write_line(self, line: bytes) -> None:
        """Add a row that is a line of JSON already (not for Parquet)."""
        try:
            self._sink.write(line if line.endswith(b"\n") else line + b"\n")
        except OSError as error:
            raise self._explained(error) from error
        self.rows += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._abandon()
            return
        assert self._file is not None
        try:
            if self._sink is not self._file:
                self._sink.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._temporary.replace(self.path)
            self._file.close()
            sync_folder(self.path.parent)
        except BaseException as failure:
            self._abandon()
            raise self._explained(failure) from failure

    def _open_sink(self) -> None:
        assert self._file is not None
        if self._kind == ".parquet":
            from ahalab.datatools.parquet import ParquetSink

            self._sink = ParquetSink(self._file, self._schema)
        elif self._kind == ".jsonl.gz":
            # No name and no time inside: the same rows give the same bytes.
            self._sink = gzip.GzipFile("", "wb", GZIP_LEVEL, self._file, mtime=0)
        else:
            self._sink = self._file

    def _abandon(self) -> None:
        with suppress(OSError, ValueError):
            self._temporary.unlink(missing_ok=True)
        if self._file is not None:
            with suppress(OSError, ValueError):
                self._file.close()

    def _explained(self, error: BaseException) -> BaseException:
        if not isinstance(error, OSError):
            return error
        if is_disk_full(error):
            return EnvironmentFailure(
                f"disk full while writing {self.path}: the unfinished file is removed, and what was there before is as "
                "it was. Free some space there, or write elsewhere, and run the same command again."
            )
        try:
            with explaining_disk_errors(self.path):
                raise error
        except Exception as explained:
            return explained


def as_line(row: Mapping[str, Any]) -> bytes:
    """The row as a line of JSON. Raises BadRow for what JSON cannot say (NaN)."""
    try:
        return encode_row(row)
    except (ValueError, TypeError) as error:
        name, _, found = str(error).partition(": ")
        raise BadRow("not JSON", name.split(".")[0].split("[")[0], found, "a value that JSON has") from None


def check_writable(path: Path, *, overwrite: bool, source: Path | None = None) -> None:
    """Refuse, before any work is done, what could not be written at its end.

    Raises:
        UserError: as `RowWriter`, or the path is that of the file that is read.
    """
    suffix_of(path, WRITTEN)
    if source is not None and path.exists() and source.exists() and path.samefile(source):
        raise UserError(f"{path} is the file that is read; write to another one")
    if path.is_dir():
        raise UserError(f"{path} is a folder; expected the name of a file to write")
    if not path.absolute().parent.is_dir():
        raise UserError(f"{path}: the folder {path.absolute().parent} does not exist; make it first")
    if path.exists() and not overwrite:
        raise UserError(f"{path} is there already; choose another name, or say --overwrite")
    if not os.access(path.absolute().parent, os.W_OK):
        raise UserError(f"{path} cannot be written: its folder may not be written to by this user")


def check_unicode(row: Mapping[str, Any]) -> None:
    """Raises BadRow for a text without a UTF-8 form."""
    for name, value in row.items():
        if isinstance(value, str) and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                found = "it holds half of a surrogate pair, which Parquet has no form for"
                raise BadRow("not Unicode", name, found, "valid Unicode text") from None
