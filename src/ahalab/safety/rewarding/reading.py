"""The rows of a file one by one, whatever its size: JSON Lines (plain, gzipped), CSV and Parquet."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow
from ahalab.prompts.files import describe_missing
from ahalab.prompts.lines import read_line

SUFFIXES = (".jsonl", ".jsonl.gz", ".csv", ".parquet")
LONGEST_CELL = 16 << 20
"""Characters of a CSV cell at most. Our choice."""
BATCH = 1024

NumberedRow = tuple[int, dict[str, Any] | BadRow]
"""(row from 1 as a person counts, the row or why there is none)."""


def stream_rows(path: Path, where: str) -> Iterator[NumberedRow]:
    """The rows of `path` in order; memory does not grow with them.

    Raises:
        UserError: a missing or empty file, one of an unknown kind, one that breaks off.
    """
    if not path.is_file():
        raise UserError(f"{where}: {describe_missing(path, SUFFIXES)}")
    if path.stat().st_size == 0:
        raise UserError(f"{where}: {path} is empty")
    if path.name.endswith((".jsonl", ".jsonl.gz")):
        return _lines(path)
    if path.name.endswith(".csv"):
        return _cells(path)
    if path.name.endswith(".parquet"):
        return _batches(path)
    raise UserError(
        f"{where}: {path} is no file of a known kind; expected one ending in {', '.join(SUFFIXES)}"
    )


def _lines(path: Path) -> Iterator[NumberedRow]:
    opener = gzip.open if path.name.endswith(".gz") else Path.open
    try:
        with opener(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                try:
                    yield number, read_line(line)
                except BadRow as bad:
                    yield number, bad
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path} is not a whole gzip file: {error}; fetch or write the file again") from None


def _cells(path: Path) -> Iterator[NumberedRow]:
    csv.field_size_limit(LONGEST_CELL)
    # Bytes that are not UTF-8 become surrogates, which `cells.text` then refuses by row.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            if len(set(header)) < len(header) or not all(header):
                raise UserError(f"{path}, row 1: every column needs a name of its own, got {header[:20]}")
            while True:
                number = reader.line_num + 1
                cells = next(reader, None)
                if cells is None:
                    return
                if not cells:
                    continue
                if len(cells) != len(header):
                    expected = f"{len(header)} cells, as the first row has"
                    yield number, BadRow("wrong number of cells", None, f"it has {len(cells)}", expected)
                    continue
                # An empty cell is a missing value: CSV has no other word for it.
                yield number, {name: cell or None for name, cell in zip(header, cells, strict=True)}
        except csv.Error as error:
            raise UserError(
                f"{path}, row {reader.line_num}: it cannot be read as CSV ({error}). Is a quotation mark never closed "
                "there?"
            ) from None


def _batches(path: Path) -> Iterator[NumberedRow]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(f"{path}: reading Parquet needs pyarrow: pip install 'ahalab[safety]'") from None
    try:
        number = 0
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=BATCH):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except pyarrow.ArrowException as error:
        raise UserError(f"{path} is not a readable Parquet file: {error}") from None
