"""`aha report`: one HTML file that explains a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ahalab.cli.console import output


def report(
    run: Annotated[Path, typer.Argument(help="A run folder, finished or not, or a safety evaluation.")],
    to: Annotated[
        Path | None, typer.Option("--output", help="Where to write; RUN/report.html when left out.")
    ] = None,
) -> None:
    """Write a self-contained HTML report of a run or a safety evaluation, and its JSON twin."""
    from ahalab.report.html import write_report

    output.print(f"report: {write_report(run, to)}")
