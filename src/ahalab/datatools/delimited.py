"""The rows of a CSV or TSV file: the first row names the columns, every cell is text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from ahalab.datatools.stream import BLOCK, LONGEST_ROW, Row
from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow


class DelimitedStream:
    """Rows as RFC 4180 has them: cells may be quoted, and hold line breaks then.

    Raises:
        UserError: a header with a nameless or repeated column. While rows are read: a quotation mark that is never
            closed, for nobody can tell where the next row begins.
    """

    def __init__(self, path: Path, delimiter: str, encoding: str | None) -> None:
        self.label = str(path)
        self.format = "TSV" if delimiter == "\t" else "CSV"
        self.encoding = encoding or "utf-8"
        self.total = path.stat().st_size
        self._raw = path.open("rb", buffering=BLOCK)
        # Bytes that are not of the encoding become surrogates, which name the row they are in.
        utf8 = self.encoding.lower().replace("_", "-") in ("utf-8", "utf8")
        self._text = io.TextIOWrapper(
            self._raw, encoding="utf-8-sig" if utf8 else self.encoding, errors="surrogateescape", newline=""
        )
        csv.field_size_limit(LONGEST_ROW)
        self._rows = csv.reader(self._lines(), delimiter=delimiter, strict=True)
        self.columns = self._header()

    @property
    def done(self) -> int:
        """See `RowStream`."""
        return self.total if self._raw.closed else self._raw.tell()

    def __iter__(self) -> Iterator[Row]:
        while True:
            number = self._rows.line_num + 1
            cells = self._next(number)
            if cells is None:
                return
            if cells:
                bad = self._fault(cells)
                yield Row(number, {} if bad else dict(zip(self.columns, cells, strict=True)), bad=bad)

    def close(self) -> None:
        """See `RowStream`."""
        self._text.close()

    def _header(self) -> list[str]:
        names: list[str] = []
        while not names:
            cells = self._next(1)
            if cells is None:
                raise UserError(f"{self.label} has no rows; expected a first row that names the columns")
            names = [cell.strip() for cell in cells]
        for place, name in enumerate(names, start=1):
            if not name:
                raise UserError(
                    f"{self.label}, row 1: column {place} has no name; the first row names the columns"
                )
            if name in names[: place - 1]:
                raise UserError(f"{self.label}, row 1: the column {name!r} is named twice")
        return names

    def _next(self, number: int) -> list[str] | None:
        try:
            return next(self._rows, None)
        except (csv.Error, _TooLong) as error:
            raise UserError(
                f"{self.label}, row {number}: it cannot be read as {self.format} ({error}). Is a quotation mark never "
                "closed there? Correct the row: nobody can tell where the next one begins"
            ) from None
        except UnicodeError as error:
            raise UserError(
                f"{self.label} cannot be read as {self.encoding} after row {number - 1} ({error}); name another "
                "--encoding"
            ) from None

    def _lines(self) -> Iterator[str]:
        while line := self._text.readline(LONGEST_ROW + 1):
            if len(line) > LONGEST_ROW:
                raise _TooLong(f"a line is longer than {LONGEST_ROW >> 20} MB")
            yield line

    def _fault(self, cells: list[str]) -> BadRow | None:
        if len(cells) != len(self.columns):
            expected = f"{len(self.columns)} cells, as the first row has"
            return BadRow("wrong number of cells", None, f"it has {len(cells)}", expected)
        for name, cell in zip(self.columns, cells, strict=True):
            if "\0" in cell:
                return BadRow("NUL bytes", name, "it holds NUL bytes", "text")
            if not cell.isascii() and any("\ud800" <= character <= "\udfff" for character in cell):
                return BadRow("not UTF-8", name, "it has other bytes", f"text in {self.encoding}")
        return None


class _TooLong(Exception):
    pass
