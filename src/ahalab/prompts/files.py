"""Prompts from files: JSON Lines (plain or gzipped) and Parquet."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
import zlib
from array import array
from collections.abc import Sequence
from itertools import accumulate, islice, takewhile
from pathlib import Path
from typing import IO, Any

from ahalab.errors import EnvironmentFailure, UserError
from ahalab.prompts.cells import BadRow
from ahalab.prompts.lines import read_line
from ahalab.prompts.table import HEAD_ROWS, RowTable
from ahalab.runs.atomic import is_disk_full
from ahalab.validation import nearest

HEAD_BYTES = 32 << 20
"""Fewer first rows are looked at where they are larger together: those with tests of programs can be. Our choice."""
SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")


def open_table(path: Path, where: str) -> RowTable:
    """The table in a file, by its ending. Raises UserError for a missing, empty, broken or unknown one."""
    if not path.is_file():
        raise UserError(f"{where}: {describe_missing(path)}")
    if path.stat().st_size == 0:
        raise UserError(f"{where}: {path} is empty; expected one question a row")
    try:
        if path.name.endswith(".parquet"):
            return ParquetTable(path)
        if path.name.endswith((".jsonl", ".jsonl.gz")):
            return JsonlTable(path)
    except PermissionError:
        raise UserError(f"{where}: {path} may not be read by this user; change its permissions") from None
    raise UserError(
        f"{where}: {path} is no file of a known kind; expected one ending in {', '.join(SUFFIXES)}"
    )


class JsonlTable:
    """One JSON object a line, UTF-8. Keeps the byte offsets of the lines (8 bytes each), never the rows.

    Blank lines are no rows. A gzipped file is unpacked once into an unnamed temporary file.
    """

    def __init__(self, path: Path) -> None:
        self.label = str(path)
        self._file: IO[bytes] = _unpacked(path) if path.name.endswith(".gz") else path.open("rb")
        self._starts = array("Q")
        self._ends = array("Q")
        self._numbers = array("Q")
        offset = 0
        for number, line in enumerate(self._file, start=1):
            if line.strip():
                self._starts.append(offset)
                self._ends.append(offset + len(line))
                self._numbers.append(number)
            offset += len(line)

    def __len__(self) -> int:
        return len(self._starts)

    def __del__(self) -> None:
        if file := self.__dict__.get("_file"):
            file.close()

    def columns(self) -> list[str]:
        return list(dict.fromkeys(column for row in self.head() for column in row))

    def head(self) -> list[dict[str, Any]]:
        sizes = accumulate(end - start for start, end in zip(self._starts, self._ends, strict=True))
        fitting = sum(1 for _ in takewhile(lambda size: size <= HEAD_BYTES, sizes))
        return list(islice(self._readable(), min(HEAD_ROWS, max(1, fitting))))

    def select(self, columns: Sequence[str]) -> None:
        """Nothing to do: a line is parsed whole."""

    def row(self, index: int) -> dict[str, Any]:
        start, end = self._starts[index], self._ends[index]
        # pread leaves the file's position alone: safe between threads.
        line = os.pread(self._file.fileno(), end - start, start)
        return read_line(line)

    def number(self, index: int) -> int:
        return self._numbers[index]

    def _readable(self) -> Any:
        for index in range(len(self)):
            try:
                yield self.row(index)
            except BadRow:
                continue


IN_MEMORY_BYTES = 256 << 20
"""Larger columns of a Parquet file (the tests of contest problems are gigabytes) are unpacked to disk. Our choice."""
_UNPACKED_ROWS = 128


class ParquetTable:
    """A Parquet file. Keeps the selected columns in Arrow's compact form once rows are read: in memory, or where they
    are large in an unnamed temporary file that is mapped into it."""

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise UserError(f"{path}: reading Parquet needs pyarrow: pip install 'ahalab[hub]'") from None
        self.label = str(path)
        try:
            self._file = pyarrow.parquet.ParquetFile(path)
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise UserError(f"{path} is not a readable Parquet file: {error}") from None
        self._data: Any = None
        self._broken = pyarrow.ArrowException

    def __len__(self) -> int:
        return int(self._file.metadata.num_rows)

    def columns(self) -> list[str]:
        return list(self._file.schema_arrow.names)

    def head(self) -> list[dict[str, Any]]:
        each = self._size(self.columns()) // max(1, len(self))
        rows = max(1, min(HEAD_ROWS, HEAD_BYTES // max(1, each)))
        batch = next(self._file.iter_batches(batch_size=rows), None)
        return [] if batch is None else list(batch.to_pylist())

    def select(self, columns: Sequence[str]) -> None:
        try:
            if self._size(columns) <= IN_MEMORY_BYTES:
                self._data = self._file.read(columns=list(columns))
            else:
                self._data = self._mapped(columns)
        except (self._broken, OSError) as error:
            if is_disk_full(error):
                raise _no_room(self.label, error) from None
            raise UserError(f"{self.label} is damaged: {error}; fetch or write the file again") from None

    def row(self, index: int) -> dict[str, Any]:
        if self._data is None:
            self.select(self.columns())
        return {name: self._data.column(name)[index].as_py() for name in self._data.column_names}

    def number(self, index: int) -> int:
        return index + 1

    def _size(self, columns: Sequence[str]) -> int:
        """Bytes of these columns, unpacked."""
        metadata = self._file.metadata
        groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
        parts = (group.column(number) for group in groups for number in range(group.num_columns))
        wanted = set(columns)
        return sum(
            part.total_uncompressed_size for part in parts if part.path_in_schema.split(".")[0] in wanted
        )

    def _mapped(self, columns: Sequence[str]) -> Any:
        import pyarrow

        descriptor, path = tempfile.mkstemp(suffix=".arrow")
        os.close(descriptor)
        try:
            writer = None
            for batch in self._file.iter_batches(batch_size=_UNPACKED_ROWS, columns=list(columns)):
                writer = writer or pyarrow.ipc.new_file(path, batch.schema)
                writer.write_batch(batch)
            if writer is None:
                return self._file.read(columns=list(columns))
            writer.close()
            return pyarrow.ipc.open_file(pyarrow.memory_map(path)).read_all()
        finally:
            Path(path).unlink()


def _unpacked(path: Path) -> IO[bytes]:
    target = tempfile.TemporaryFile()  # noqa: SIM115 (it lives as long as the table)
    try:
        with gzip.open(path, "rb") as packed:
            shutil.copyfileobj(packed, target)
        target.flush()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        target.close()
        raise UserError(f"{path} is not a whole gzip file: {error}; fetch or write the file again") from None
    except OSError as error:
        target.close()
        raise _no_room(path, error) from None
    target.seek(0)
    return target


def _no_room(path: Path | str, error: Exception) -> EnvironmentFailure:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return EnvironmentFailure(
        f"unpacking {path} into {tempfile.gettempdir()} failed: {reason}; "
        "free some space there, or set TMPDIR to a folder with more, and run the same command"
    )


def describe_missing(path: Path, suffixes: tuple[str, ...] = SUFFIXES) -> str:
    """Why `path` is no file to read: a folder, or nothing, with the nearest file of these endings there."""
    path = path.absolute()
    if path.is_dir():
        return f"{path} is a folder; expected a file ending in {', '.join(suffixes)}"
    if path.exists():
        return f"{path} is a device or a pipe; expected a file ending in {', '.join(suffixes)}"
    if not path.parent.is_dir():
        return f"{path} does not exist, nor does the folder {path.parent}"
    there = [one.name for one in path.parent.iterdir() if one.name.endswith(suffixes)]
    near = nearest(path.name, there)
    return f"{path} does not exist" + (f"; the nearest file there is {near}" if near else "")
