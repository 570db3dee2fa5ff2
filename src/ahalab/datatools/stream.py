"""The rows of a file one after the other, whatever its format: memory does not grow with the file.

JSON Lines (plain or gzipped), CSV, TSV and Parquet. A row that cannot be read is a row all the same, with the reason.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow
from ahalab.prompts.files import describe_missing
from ahalab.prompts.lines import read_line

SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet", ".csv", ".tsv")
LONGEST_ROW = 64 << 20
"""Bytes (characters, in other encodings) of a row that is read; a longer one is a bad row. Our choice: the tests of
one contest problem can be tens of megabytes, and memory must have a bound."""
BLOCK = 1 << 20
BYTE_ORDER_MARK = codecs.BOM_UTF8
_SNIFFED = 4096


@dataclass(slots=True)
class Row:
    """One row of a file: its values, or why there are none."""

    number: int
    """1-based, as an editor or viewer shows it."""
    values: dict[str, Any]
    """Empty where the row is bad."""
    raw: bytes | None = None
    """The line as it stands, newline included, of a UTF-8 JSON Lines file."""
    bad: BadRow | None = None


class RowStream(Protocol):
    """The rows of one file, to be read once. Close it when done."""

    label: str
    """What the person calls it: the path."""
    format: str
    """In words: "JSON Lines"."""
    encoding: str
    total: int
    """Bytes of the file; for Parquet its rows."""

    @property
    def done(self) -> int:
        """How much of `total` is behind us."""
        ...

    def __iter__(self) -> Iterator[Row]: ...

    def close(self) -> None: ...


def open_stream(path: Path, encoding: str | None = None) -> RowStream:
    """The rows of `path`, its format told by its ending.

    Args:
        encoding: of a text file that is not UTF-8, as Python names it.

    Raises:
        UserError: no such file, a folder, an empty file, an unknown ending, no permission, an unknown encoding, or
            a text file that begins as UTF-16 or UTF-32 while no encoding was named.
    """
    kind = suffix_of(path)
    if not path.is_file():
        raise UserError(describe_missing(path, SUFFIXES))
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty; expected at least one row")
    if encoding is not None:
        _check_encoding(encoding, path, kind)
    try:
        if kind == ".parquet":
            from ahalab.datatools.parquet import ParquetStream

            return ParquetStream(path)
        if encoding is None and (wide := sniff_encoding(path)):
            raise UserError(
                f"{path} is {wide.upper()} text; expected UTF-8. Convert it first: "
                f"aha data convert {path} {converted_name(path)} --encoding {wide}"
            )
        if kind in (".csv", ".tsv"):
            from ahalab.datatools.delimited import DelimitedStream

            return DelimitedStream(path, "\t" if kind == ".tsv" else ",", encoding)
        return JsonlStream(path, encoding)
    except PermissionError:
        raise UserError(f"{path} may not be read by this user; change its permissions") from None


def suffix_of(path: Path, suffixes: tuple[str, ...] = SUFFIXES) -> str:
    """The ending that tells a file's format. UserError for an unknown one; a folder's is asked for later."""
    # The longest first: .jsonl.gz ends in no other one, but .gz alone says nothing.
    found = next((one for one in sorted(suffixes, key=len, reverse=True) if path.name.endswith(one)), None)
    if found is not None:
        return found
    if path.is_dir():
        raise UserError(f"{path} is a folder; expected a file ending in {', '.join(suffixes)}")
    raise UserError(f"{path} is no file of a known kind; expected one ending in {', '.join(suffixes)}")


def stem_of(path: Path) -> str:
    """The file's name without its ending."""
    return path.name.removesuffix(suffix_of(path))


def converted_name(path: Path) -> str:
    """A name for the file as JSON Lines."""
    return f"{stem_of(path)}-utf8.jsonl"


def sniff_encoding(path: Path) -> str | None:
    """ "utf-16" or "utf-32" (with le or be where no mark says so) when the text begins like that; else None."""
    try:
        with gzip.open(path) if path.name.endswith(".gz") else path.open("rb") as file:
            head = file.read(_SNIFFED)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return None  # said when rows are read
    for mark, name in (
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if head.startswith(mark):
            return name
    even, odd = head[::2].count(0), head[1::2].count(0)
    # Text of ours is mostly ASCII signs ({, ", :) at its beginning: every second byte is then NUL.
    if len(head) >= 8 and max(even, odd) > len(head) // 5 and min(even, odd) < len(head) // 50:
        return "utf-16-le" if odd > even else "utf-16-be"
    return None


class JsonlStream:
    """One JSON object a line. Blank lines are no rows, but count as lines."""

    def __init__(self, path: Path, encoding: str | None = None) -> None:
        self.label = str(path)
        packed = path.name.endswith(".gz")
        self.format = "JSON Lines, gzipped" if packed else "JSON Lines"
        self.encoding = encoding or "utf-8"
        self.total = path.stat().st_size
        self._raw = path.open("rb", buffering=BLOCK)
        opened: Any = gzip.GzipFile(fileobj=self._raw) if packed else self._raw
        file: IO[bytes] = opened
        self._plain = self.encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig")
        self._file: IO[bytes] | _Recoded = file if self._plain else _Recoded(file, self.encoding, self.label)

    @property
    def done(self) -> int:
        """See `RowStream`."""
        return self.total if self._raw.closed else self._raw.tell()

    def __iter__(self) -> Iterator[Row]:
        number = 0
        while line := self._line(LONGEST_ROW + 1, number):
            number += 1
            if len(line) > LONGEST_ROW and not line.endswith(b"\n"):
                self._skip_line(number)
                found = f"it is longer than {LONGEST_ROW >> 20} MB"
                yield Row(number, {}, bad=BadRow("too long", None, found, "a row that fits into memory"))
            elif line.strip():
                yield self._row(number, line)

    def close(self) -> None:
        """See `RowStream`."""
        self._file.close()
        self._raw.close()

    def _row(self, number: int, line: bytes) -> Row:
        raw = line if self._plain else None
        try:
            return Row(number, read_line(line), raw)
        except BadRow as bad:
            if bad.reason == "not JSON" and not line.endswith(b"\n"):
                bad = BadRow("cut off", None, "the file ends in the middle of it", "a whole JSON object")
            return Row(number, {}, raw, bad)

    def _skip_line(self, number: int) -> None:
        while (part := self._line(BLOCK, number)) and not part.endswith(b"\n"):
            pass

    def _line(self, limit: int, before: int) -> bytes:
        try:
            return self._file.readline(limit)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise UserError(
                f"{self.label} is not a whole gzip file ({error}; after row {before}); fetch or write it again"
            ) from None


class _Recoded:
    """The lines of a text in another encoding, as UTF-8."""

    def __init__(self, file: IO[bytes], encoding: str, label: str) -> None:
        self._text = io.TextIOWrapper(file, encoding=encoding, newline="\n")
        self._encoding, self._label, self._lines = encoding, label, 0

    def readline(self, limit: int) -> bytes:
        """A line, or its first `limit` characters."""
        try:
            line = self._text.readline(limit)
        except UnicodeError as error:
            raise UserError(
                f"{self._label} cannot be read as {self._encoding} after line {self._lines} ({error}); name another "
                "--encoding"
            ) from None
        self._lines += 1
        return line.encode("utf-8", "surrogatepass")

    def close(self) -> None:
        """Close the text and the file behind it."""
        self._text.close()


def _check_encoding(encoding: str, path: Path, kind: str) -> None:
    if kind == ".parquet":
        raise UserError(f"--encoding {encoding}: {path} is Parquet, which has no other encoding than its own")
    try:
        information = codecs.lookup(encoding)
    except (LookupError, ValueError):
        known = "utf-8, utf-16, utf-16-le, utf-32, gb18030, big5, shift_jis, cp1252, latin-1"
        raise UserError(f"--encoding {encoding}: no such encoding. Common ones: {known}") from None
    if not getattr(information, "_is_text_encoding", True):
        raise UserError(f"--encoding {encoding}: that is no encoding of text, such as utf-16 or gb18030")
