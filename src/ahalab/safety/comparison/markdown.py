"""The summary as Markdown: tables with their conventions and notes. It holds no text of a question or a reply."""

from __future__ import annotations

from collections.abc import Iterator

from ahalab.safety.comparison.summary import Summary
from ahalab.safety.comparison.table import Cell, Table, row_head
from ahalab.text.hostile import make_visible


def markdown(summary: Summary) -> str:
    """The whole page."""
    return "\n".join(_lines(summary)) + "\n"


def _lines(summary: Summary) -> Iterator[str]:
    yield f"# Safety evaluation {plain(summary.evaluation.name)}"
    yield ""
    for notice in summary.notices:
        yield f"- **{plain(notice)}**"
    if summary.notices:
        yield ""
    for table in summary.tables:
        yield from table_lines(table)


def table_lines(table: Table, level: int = 2) -> Iterator[str]:
    """One table under its heading, in per cent unless its columns say otherwise."""
    yield f"{'#' * level} {plain(table.head)}"
    yield ""
    yield f"| {table.first} | {' | '.join(map(plain, table.columns))} |"
    yield f"|---{'|--:' * len(table.columns)}|"
    for row in table.rows:
        yield f"| {plain(row_head(row))} | {' | '.join(map(_cell, row.cells))} |"
    yield ""
    for note in table.notes:
        yield f"{plain(note)}\n"


def _cell(cell: Cell) -> str:
    return plain(f"{cell.text} {cell.interval}".strip())


def plain(text: str) -> str:
    """Text of names that somebody else chose: nothing hidden, no table or markup of its own."""
    shown = make_visible(text).replace("\n", " ")
    return "".join(f"\\{one}" if one in "|<`*_" else one for one in shown)
