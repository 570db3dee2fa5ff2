"""`aha data convert`: a file in another format, in UTF-8, or in this project's own layout of prompts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ahalab.datatools.layouts import Layout, head_of, layout_of
from ahalab.datatools.reading import GoodRows, Watch
from ahalab.datatools.stream import BYTE_ORDER_MARK, Row, stem_of, suffix_of
from ahalab.datatools.writing import WRITTEN, RowWriter, check_unicode, check_writable
from ahalab.errors import UserError
from ahalab.prompts.cells import BadRow, LeftOut
from ahalab.prompts.mapping import ColumnMapping


@dataclass(frozen=True)
class Converted:
    """What was done."""

    path: Path
    rows: int
    """Rows read."""
    written: int
    skipped: dict[str, int]
    """Reason → rows left out."""
    seconds: float
    size: int
    """Bytes of the source."""
    layout: Layout | None
    """Of the source, where prompts were made of its rows."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "output": str(self.path),
            "rows": self.rows,
            "written": self.written,
            "skipped": self.skipped,
            "seconds": round(self.seconds, 3),
        }


def convert(
    source: Path,
    target: Path,
    watch: Watch,
    *,
    encoding: str | None = None,
    prompts: ColumnMapping | None = None,
    skip_bad_rows: bool = False,
    overwrite: bool = False,
) -> Converted:
    """Write the rows of `source` to `target`, formats told by their endings; row by row, the target appears at the end.

    With `prompts` each row is written as the prompt that a recipe with this mapping makes of it: id, question, answer,
    domain, source, verifier, language, level, extra, and messages of a dialogue (in Parquet the two are JSON text).

    Raises:
        UserError: a source that cannot be read or is bad (naming the row and column, unless `skip_bad_rows`), a target
            that is there already or cannot be written, columns that cannot be told, a column that is no Parquet column.
        EnvironmentFailure: a full disk; no target is left then.
        Interrupted: Ctrl-C; likewise.
    """
    suffix_of(source)
    check_writable(target, overwrite=overwrite, source=source)
    layout = None
    if prompts is not None:
        layout = layout_of(head_of(source, encoding), str(source), prompts, "--map")
        if layout.prompts is None:
            raise UserError(f"{layout.why_not}. Say so with --map, such as --map question=prompt")
    as_parquet = suffix_of(target, WRITTEN) == ".parquet"
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem_of(source))

    def rows(what: str) -> tuple[GoodRows, Iterator[tuple[Row, Mapping[str, Any] | None]]]:
        good = GoodRows(source, watch, what, skip_bad_rows=skip_bad_rows, encoding=encoding)
        return good, _made(good, layout, name, as_parquet)

    schema = _schema(source, rows) if as_parquet else None
    good, made = rows("convert")
    with RowWriter(target, overwrite=overwrite, schema=schema) as writer:
        for row, values in made:
            try:
                if values is None:
                    assert row.raw is not None
                    writer.write_line(row.raw.removeprefix(BYTE_ORDER_MARK))
                else:
                    writer.write(values)
            except BadRow as bad:
                good.reject(row, bad)
        watch.check()
        if not writer.rows:
            raise UserError(
                f"{source}: no row of it can be written ({_reasons(good.skipped)}); nothing was made"
            )
    return Converted(
        target, good.rows, writer.rows, dict(good.skipped), good.seconds, source.stat().st_size, layout
    )


def _made(
    good: GoodRows, layout: Layout | None, name: str, as_parquet: bool
) -> Iterator[tuple[Row, Mapping[str, Any] | None]]:
    """(row, what is written of it); None where that is its own line. A row may make several prompts, or none."""
    for row in good:
        if layout is None:
            yield row, row.values if as_parquet or row.raw is None else None
            continue
        assert layout.prompts is not None
        mapping = layout.prompts
        try:
            found = mapping.prompts(row.values)
        except BadRow as bad:
            good.reject(row, bad)
            continue
        except LeftOut as left:
            good.skipped[left.reason] += 1
            good.rows -= 1
            continue
        for fields in found:
            extra: Any = dict(fields.extra)
            turns: Any = [{"role": role, "content": said} for role, said in fields.messages]
            if as_parquet:
                extra, turns = (json.dumps(one, ensure_ascii=False) for one in (extra, turns))
            yield (
                row,
                {
                    "id": f"{name}/{fields.digest(mapping.domain)}",
                    "question": fields.question,
                    "answer": fields.answer,
                    "domain": mapping.domain,
                    "source": name,
                    "verifier": mapping.verifier,
                    "language": fields.language,
                    "level": fields.level,
                    "extra": extra,
                    **({"messages": turns} if fields.messages else {}),
                },
            )


def _schema(source: Path, rows: Any) -> Any:
    """The Parquet columns that fit all rows: a pass of its own."""
    from ahalab.datatools.parquet import SchemaFinder

    good, made = rows("convert: find the columns' types")
    finder = SchemaFinder(str(source))
    for row, values in made:
        assert values is not None
        try:
            check_unicode(values)
        except BadRow as bad:
            good.reject(row, bad)
            continue
        size = sum(len(value) if isinstance(value, str) else 32 for value in values.values())
        finder.add(values, size)
    if not good.rows:
        raise UserError(f"{source}: no row of it can be written ({_reasons(good.skipped)}); nothing was made")
    return finder.schema()


def _reasons(skipped: Mapping[str, int]) -> str:
    told: Iterable[str] = (f"{count} {reason}" for reason, count in skipped.items())
    return ", ".join(told) or "it has none"
