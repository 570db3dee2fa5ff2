"""`aha table`: the stage table of a run, of several seeds, or of rows from different runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ahalab.cli.console import output
from ahalab.errors import UserError


def table(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(help="Run folders with a table stage, one a seed; RUN/STAGE where a run has several."),
    ] = None,
    rows: Annotated[
        list[str] | None,
        typer.Option(
            "--row", metavar="NAME=RUN/STAGE", help="A further row from an evaluate stage; once a run given."
        ),
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="Row that the helpfulness win rate compares with.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--output", help="Also write it: FILE.md (Markdown) or FILE.json.")
    ] = None,
) -> None:
    """Show the stage table, the paper's orderings, and what they are over several seeds."""
    from ahalab.cli.tables import print_run_tables
    from ahalab.report.seeds import read_tables, write_tables

    tables = read_tables(runs or [], [_row(text) for text in rows or []], reference)
    print_run_tables(output, tables)
    if to is not None:
        output.print(f"written: {write_tables(tables, to)}", highlight=False, markup=False)


def _row(text: str) -> tuple[str, Path]:
    name, equals, place = text.partition("=")
    if not equals or not name or not place:
        raise UserError(
            f"--row {text!r}: expected NAME=RUN/STAGE, for example no_language=runs/no-language/eval_dev2"
        )
    return name, Path(place)
