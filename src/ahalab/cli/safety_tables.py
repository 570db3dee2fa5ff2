"""Tables of a safety evaluation for the terminal. It prints no text of a question or reply; names are made visible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid
from rich.text import Text

from ahalab.safety.comparison.table import explains_mark, row_head
from ahalab.text.hostile import make_visible

if TYPE_CHECKING:
    from ahalab.safety.comparison import Summary
    from ahalab.safety.comparison.table import Cell, Table

USUAL = ("headline", "table-9", "table-10", "table-11", "control", "verdicts", "over-refusal", "cost")
"""Tables that a run ends with; `--all` shows the others."""


def print_summary(console: Console, summary: Summary, *, every: bool = False) -> None:
    """Notices, then the tables: the usual ones, or every one."""
    for notice in summary.notices:
        console.print(f"[bold yellow]note:[/] {escape(make_visible(notice))}", highlight=False)
    shown = [one for one in summary.tables if every or one.key.partition(":")[0] in USUAL]
    for table in shown:
        print_table(console, table)
    explained = dict.fromkeys(note for table in shown for note in table.notes if explains_mark(note))
    for note in explained:
        console.print(make_visible(note), highlight=False, markup=False, style="dim")
    left = len(summary.tables) - len(shown)
    if left:
        console.print(
            f"{left} more tables (by sub-category, language, part) are in summary.md", highlight=False
        )


def print_table(console: Console, table: Table) -> None:
    """One table without what its marks mean; intervals stand below their figure where lines would be too long."""
    wide = _width(table) > console.width
    made = Grid(title=escape(make_visible(table.head)), title_justify="left", title_style="bold")
    made.add_column(table.first)
    for column in table.columns:
        made.add_column(escape(make_visible(column)), justify="right")
    for row in table.rows:
        style = "dim" if row.source == "paper" else ""
        made.add_row(_head(row.label, row.marks), *(_cell(cell, wide) for cell in row.cells), style=style)
    console.print(made)
    for note in table.notes:
        if explains_mark(note):
            continue
        console.print(make_visible(note), highlight=False, markup=False, style="dim")
    console.print()


def _head(label: str, marks: Sequence[str]) -> Text:
    text = Text(make_visible(label))
    for mark in marks:
        text.append(f" [{make_visible(mark)}]", style="yellow")
    return text


def _cell(cell: Cell, wide: bool) -> Text:
    text = Text(make_visible(cell.text))
    if cell.interval:
        between = "\n" if wide else " "
        shown = make_visible(cell.interval).replace("] / [", f"] /{between}[")
        text.append(between + shown, style="dim")
    return text


def _width(table: Table) -> int:
    """Characters of a line with every interval beside its figure."""
    columns = [
        max((len(f"{one.cells[place].text} {one.cells[place].interval}") for one in table.rows), default=0)
        for place in range(len(table.columns))
    ]
    heads = max((len(row_head(one)) for one in table.rows), default=0)
    return min(heads, 44) + 6 + sum(width + 3 for width in columns)
