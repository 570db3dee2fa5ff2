"""`aha analyse`: reflective words in a run, or in samples of anybody's training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from ahalab.cli.console import errors, output

if TYPE_CHECKING:
    from ahalab.report.study import Findings


def analyse(
    path: Annotated[
        Path,
        typer.Argument(
            help="A run folder, a stage's folder, a JSONL(.gz) file of samples, or a folder of them."
        ),
    ],
    words: Annotated[
        Path | None,
        typer.Option(help="Count these words instead, from the sample texts; see `aha words merge`."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            "--output", help="Folder for analysis.json and analysis.md; a run folder gets them anyway."
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            help="Columns of somebody else's file where the guess is wrong: text=…,correct=…,step=…,tokens=…,"
            "prompt=…,level=…"
        ),
    ] = None,
) -> None:
    """Count reflective words: from which step on are they used more, and are answers with them right more often?"""
    from ahalab.analysis.sources import parse_columns
    from ahalab.analysis.study import analyse as read
    from ahalab.cli.progress import make_progress
    from ahalab.report.study import Findings, write_findings
    from ahalab.text.hostile import make_visible
    from ahalab.text.reflection import DEFAULT_REFLECTIVE, load_reflective_words

    listed = None if words is None else load_reflective_words(words)
    found = [
        Findings.of(study) for study in read(path, listed, parse_columns(columns), make_progress(errors))
    ]
    for one in found:
        _print(one)
    folder = to or (path if (path / "stages").is_dir() else None)
    if folder is None:
        errors.print(
            "not written: name a folder with --output for analysis.json and analysis.md", highlight=False
        )
        return
    for written in write_findings(found, listed or DEFAULT_REFLECTIVE, str(path), folder):
        output.print(f"written: {make_visible(str(written))}", highlight=False, markup=False)


def _print(found: Findings) -> None:
    from ahalab.text.hostile import make_visible

    output.print(
        f"\n[bold]{escape(make_visible(found.study.name))}[/]  {escape(found.head())}", highlight=False
    )
    for notice in found.study.notices:
        output.print(f"[yellow]note:[/] {escape(make_visible(notice))}", highlight=False)
    for drawn in found.tables():
        table = Table(title=drawn.heading, title_justify="left", box=box.SIMPLE_HEAD)
        for i, name in enumerate(drawn.columns):
            table.add_column(escape(name), justify="right" if i else "left")
        for row in drawn.rows:
            table.add_row(*map(escape, row))
        output.print(table)
    for sentence in found.sentences():
        output.print(escape(sentence), highlight=False)
    if found.study.example is not None:
        output.print(
            f"\nThe first right answer with a reflective word, step {found.study.example_step}:",
            highlight=False,
        )
        output.print(make_visible(found.study.example), style="dim", highlight=False, markup=False)
