"""Parquet in and out, in batches of bounded size, through pyarrow (an optional extra)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ahalab.datatools.stream import Row
from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow
from ahalab.prompts.source import jsonable

BATCH_BYTES = 8 << 20
BATCH_ROWS = 2048
"""A batch has at most so many rows, and of long rows fewer: about so many bytes."""


def arrow() -> tuple[Any, Any]:
    """pyarrow and pyarrow.parquet. UserError where they are not installed."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError("reading and writing Parquet needs pyarrow: pip install 'ahalab[hub]'") from None
    return pyarrow, pyarrow.parquet


class ParquetStream:
    """The rows of a Parquet file. What JSON has no form for (dates, decimals) comes as its text.

    Raises:
        UserError: not a readable Parquet file, at the start or in the middle; no pyarrow.
    """

    def __init__(self, path: Path) -> None:
        pyarrow, parquet = arrow()
        self.label, self.format, self.encoding = str(path), "Parquet", "utf-8"
        self._broken = (pyarrow.ArrowException, OSError)
        try:
            # With a buffer, a column is read page by page and not a whole row group at once.
            self._file = parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)
        except PermissionError:
            raise
        except self._broken as error:
            raise UserError(f"{path} is not a readable Parquet file: {error}") from None
        self.schema = self._file.schema_arrow
        self.total = int(self._file.metadata.num_rows)
        self.done = 0
        if self.total == 0:
            raise UserError(f"{path} has no rows; expected at least one")
        self.plain = all(_is_plain(pyarrow.types, field.type) for field in self.schema)

    def __iter__(self) -> Iterator[Row]:
        metadata = self._file.metadata
        size = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
        rows = max(1, min(BATCH_ROWS, BATCH_BYTES * self.total // max(1, size)))
        batches = self._file.iter_batches(batch_size=rows, use_threads=False)
        while True:
            try:
                batch = next(batches, None)
                found = [] if batch is None else batch.to_pylist()
            except self._broken as error:
                raise UserError(
                    f"{self.label} is damaged after row {self.done} ({error}); fetch or write the file again"
                ) from None
            if batch is None:
                return
            for values in found:
                self.done += 1
                yield self._row(values)

    def close(self) -> None:
        """See `RowStream`."""
        self._file.close()

    def _row(self, values: dict[str, Any]) -> Row:
        if self.plain:
            return Row(self.done, values)
        for name, value in values.items():
            if isinstance(value, bytes):
                try:
                    values[name] = value.decode()
                except UnicodeDecodeError:
                    bad = BadRow("not text", name, f"it is {len(value)} bytes", "text, numbers, lists")
                    return Row(self.done, {}, bad=bad)
        return Row(self.done, {name: jsonable(value) for name, value in values.items()})


def _is_plain(types: Any, kind: Any) -> bool:
    """Whether Python's value of this Arrow type is one of JSON's."""
    if types.is_list(kind) or types.is_large_list(kind):
        return _is_plain(types, kind.value_type)
    if types.is_struct(kind):
        return all(_is_plain(types, kind.field(place).type) for place in range(kind.num_fields))
    return bool(
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_null(kind)
    )


class SchemaFinder:
    """The Arrow schema that fits all rows seen, found batch by batch.

    Whole numbers and others become numbers; anything else that is of two types in one column is refused by its name.
    """

    def __init__(self, label: str) -> None:
        self._label = label
        self._arrow, _ = arrow()
        self._schema: Any = None
        self._batch: list[Mapping[str, Any]] = []
        self._bytes = self._rows = 0

    def add(self, row: Mapping[str, Any], size: int) -> None:
        """Take a row of about `size` bytes into account. UserError as `schema`."""
        self._batch.append(row)
        self._bytes += size
        if len(self._batch) >= BATCH_ROWS or self._bytes >= BATCH_BYTES:
            self._take()

    def schema(self) -> Any:
        """The schema. UserError for a column of two types, naming it and the rows among which the second came, and for
        one of empty objects, which Parquet has no form for."""
        self._take()
        for field in self._schema:
            if _holds_nothing(self._arrow.types, field.type):
                raise UserError(
                    f"{self._label}, column {field.name!r}: it holds empty objects only, which Parquet has no form "
                    "for; write .jsonl instead, or leave the column out"
                )
        return self._schema

    def _take(self) -> None:
        if not self._batch:
            return
        first, last = self._rows + 1, self._rows + len(self._batch)
        names = list(dict.fromkeys(name for row in self._batch for name in row))
        fields = [self._field(name, first, last) for name in names]
        found = self._arrow.schema(fields)
        if self._schema is None:
            self._schema = found
        else:
            self._schema = self._unified(found, first, last)
        self._rows, self._batch, self._bytes = last, [], 0

    def _field(self, name: str, first: int, last: int) -> Any:
        values = [row.get(name) for row in self._batch]
        try:
            return self._arrow.field(name, self._arrow.array(values).type)
        except (self._arrow.ArrowException, UnicodeEncodeError, OverflowError) as error:
            raise self._mixed(name, first, last, error) from None

    def _unified(self, found: Any, first: int, last: int) -> Any:
        for name in found.names:
            place = self._schema.get_field_index(name)
            one = self._arrow.schema([found.field(name)])
            known = self._arrow.schema([self._schema.field(name)]) if place >= 0 else None
            try:
                joined = (
                    one
                    if known is None
                    else self._arrow.unify_schemas([known, one], promote_options="permissive")
                )
            except self._arrow.ArrowException as error:
                raise self._mixed(name, first, last, error) from None
            field = joined.field(name)
            self._schema = self._schema.append(field) if place < 0 else self._schema.set(place, field)
        return self._schema

    def _mixed(self, name: str, first: int, last: int, error: Exception) -> UserError:
        return UserError(
            f"{self._label}, column {name!r}: its values cannot be one Parquet column ({str(error).splitlines()[0]}; "
            f"among rows {first:,} to {last:,}). Make them one type, or write .jsonl, which takes any"
        )


def _holds_nothing(types: Any, kind: Any) -> bool:
    if types.is_list(kind):
        return _holds_nothing(types, kind.value_type)
    if types.is_struct(kind):
        return kind.num_fields == 0 or any(
            _holds_nothing(types, kind.field(place).type) for place in range(kind.num_fields)
        )
    return False


class ParquetSink:
    """Writes rows of a known schema to an open file, batch by batch."""

    def __init__(self, file: Any, schema: Any) -> None:
        self._arrow, parquet = arrow()
        self._schema = schema
        self._writer = parquet.ParquetWriter(file, schema)
        self._batch: list[Mapping[str, Any]] = []
        self._bytes = 0

    def write(self, row: Mapping[str, Any], size: int) -> None:
        """Add a row of about `size` bytes."""
        self._batch.append(row)
        self._bytes += size
        if len(self._batch) >= BATCH_ROWS or self._bytes >= BATCH_BYTES:
            self._flush()

    def close(self) -> None:
        """Write what is left, and the end of the file."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._batch:
            try:
                table = self._arrow.Table.from_pylist(list(self._batch), schema=self._schema)
            except self._arrow.ArrowException as error:
                told = str(error).splitlines()[0]
                raise UserError(
                    f"some of the last {len(self._batch):,} rows do not fit the Parquet columns ({told}); did the file "
                    "change meanwhile?"
                ) from None
            self._writer.write_table(table)
        self._batch, self._bytes = [], 0
