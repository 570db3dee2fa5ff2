"""`aha safety compare`: the tables of one or several safety evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ahalab.cli.console import output


def compare(
    folders: Annotated[
        list[Path] | None, typer.Argument(help="Folders of `aha safety run`.", show_default=False)
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(help="Hash of the judge to go by, or its beginning; the last one when left out."),
    ] = None,
    paper: Annotated[
        bool, typer.Option("--paper", help="The paper's figures beside ours, marked: another question set.")
    ] = False,
    to: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="Folder for tables, charts and rows; the evaluation's own when there is one only.",
        ),
    ] = None,
    mix: Annotated[
        bool, typer.Option("--mix", help="Put together what was asked or judged otherwise; it is marked.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="Print every table, also by sub-category.")] = False,
    ids: Annotated[
        Path | None,
        typer.Option(
            help="Write a page of sampled question ids with their checks (no text) and stop.", dir_okay=False
        ),
    ] = None,
) -> None:
    """Compare targets, with and without risk control; write summary.md, summary.json, rows and charts."""
    if ids is not None:
        from ahalab.safety.comparison.sampled import write_sampled_ids

        output.print(f"written: {write_sampled_ids(ids)}", highlight=False)
        return
    from ahalab.cli.safety_tables import print_summary
    from ahalab.errors import UserError
    from ahalab.safety.comparison.several import load_several
    from ahalab.safety.comparison.summary import summary_of
    from ahalab.safety.comparison.writing import write_summary

    if not folders:
        raise UserError("name one or more folders of `aha safety run`: aha safety compare FOLDER…")
    if to is None and len(folders) > 1:
        raise UserError("several evaluations: say with --output where their comparison is to be written")
    summary = summary_of(load_several(folders, judge, mix=mix), with_paper=paper)
    target = to or folders[0]
    written = write_summary(summary, target)
    print_summary(output, summary, every=every)
    charts = sum(path.suffix == ".png" for path in written)
    output.print(f"written: {written[0]} (and summary.json, results, {charts} charts)", highlight=False)
