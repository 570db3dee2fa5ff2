"""Tables of `aha safety validate-judge` and `aha safety label` for the terminal. No text of a question or reply."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ahalab.text.hostile import make_visible

if TYPE_CHECKING:
    from ahalab.safety.labels.kappa import Agreement
    from ahalab.safety.labels.measured import Validation


def print_validation(console: Console, found: Validation) -> None:
    """A line for each set and head, then the confusion matrices."""
    from ahalab.safety.labels.validation_markdown import COLUMNS, HEADS, remarks, table_rows

    _say(console, f"judge {found.judge}: {found.identity.get('kind')}, {found.identity.get('model')}")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in COLUMNS:
        table.add_column(name, justify="left", overflow="fold")
    for one in found.sets:
        for cells in table_rows(one):
            table.add_row(*(escape(make_visible(cell)) for cell in cells))
    console.print(table)
    for one in found.sets:
        if one.agreement is not None:
            console.print()
            _say(console, f"{one.name}, {one.language}: {HEADS[one.head]}")
            for sentence in remarks(one):
                _say(console, f"  {sentence}")
            print_confusion(console, one.agreement)


def print_confusion(console: Console, found: Agreement, down: str = "label", across: str = "judge") -> None:
    """The confusion matrix."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(f"{down} \\ {across}")
    for name in found.classes:
        table.add_column(name, justify="right")
    for name, row in zip(found.classes, found.confusion, strict=True):
        table.add_row(name, *(f"{cell:.0f}" for cell in row))
    console.print(table)


def _say(console: Console, text: str) -> None:
    console.print(make_visible(text), markup=False, highlight=False)
