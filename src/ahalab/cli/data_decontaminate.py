"""`aha data decontaminate`: leave out rows that share a 10-gram with an evaluation set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ahalab.cli.data_watch import say, say_json, say_skipped, say_speed, say_written, watching
from ahalab.errors import UserError

SHOWN_GRAMS = 3


def decontaminate(
    file: Annotated[Path, typer.Argument(help="A .jsonl, .jsonl.gz, .parquet, .csv or .tsv file.")],
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SET",
            help="FILE[?columns=A,B], hub:OWNER/NAME[?split=…], SUITE or SUITE=FILE; several times.",
        ),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--output", help="Write the rows that stay; only the report when left out.")
    ] = None,
    dropped: Annotated[
        Path | None, typer.Option(help="Name the rows that go here; OUTPUT.dropped.jsonl when left out.")
    ] = None,
    gram: Annotated[int, typer.Option(min=1, max=100, help="Words of a gram. The paper: 10.")] = 10,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Columns that are looked at; all texts of a row when left out."),
    ] = None,
    no_text: Annotated[
        bool, typer.Option("--no-text", help="Ids only: no text of an evaluation set is shown or written.")
    ] = False,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Count and skip bad rows instead of stopping.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Find and leave out the rows that share an n-gram with evaluation questions or solutions."""
    from ahalab.datatools.decontaminate import decontaminate as find

    if not against:
        raise UserError("--against SET is needed: a file, hub:OWNER/NAME, or the name of a suite")
    with watching() as watch:
        done = find(
            file,
            against,
            watch,
            n=gram,
            by=by or (),
            output=to,
            dropped=dropped,
            no_text=no_text,
            skip_bad_rows=skip_bad_rows,
            overwrite=overwrite,
        )
    if as_json:
        say_json(done.as_dict(no_text))
        return
    stay = done.rows - done.dropped
    say(
        f"{file}: {done.rows:,} rows, {done.dropped:,} share a {gram}-gram with an evaluation set, {stay:,} stay"
    )
    say_skipped(done.skipped)
    for one in done.sets:
        share = 100 * len(one.found) / max(1, one.items)
        say(
            f"  {one.name}: {one.rows:,} rows, {one.same:,} of them with the same text; {len(one.found):,} of "
            f"{one.items:,} items found ({share:.1f} %)"
        )
        if one.short:
            say(f"    {one.short:,} items have fewer than {gram} words: only the same text counts", "dim")
        if not no_text:
            for words, rows in one.commonest()[:SHOWN_GRAMS]:
                say(f"    {rows:,} × “{words}”", "dim")
    say_speed(done.size, done.seconds)
    say_written(done.output, done.dropped_file)
