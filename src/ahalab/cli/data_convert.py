"""`aha data convert`: a file in another format, in UTF-8, or in this project's own layout of prompts."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ahalab.cli.data_watch import say, say_json, say_skipped, say_speed, say_written, watching
from ahalab.errors import UserError


class Layout(StrEnum):
    """What is written of a row."""

    same = "same"
    prompts = "prompts"


def convert(
    file: Annotated[Path, typer.Argument(help="A .jsonl, .jsonl.gz, .parquet, .csv or .tsv file.")],
    to: Annotated[Path, typer.Argument(metavar="OUT", help="A .jsonl, .jsonl.gz or .parquet file to write.")],
    encoding: Annotated[
        str | None, typer.Option(help="Of a text file that is not UTF-8, such as utf-16 or gb18030.")
    ] = None,
    layout: Annotated[
        Layout,
        typer.Option(
            help="same: the rows as they are; prompts: id, question, answer, domain, source, verifier, language, "
            "level, extra."
        ),
    ] = Layout.same,
    mapping: Annotated[
        list[str] | None,
        typer.Option(
            "--map", metavar="KEY=VALUE", help="With --layout prompts: as in a recipe, question=COLUMN."
        ),
    ] = None,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Count and skip bad rows instead of stopping.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT where it is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Write FILE in another format; row by row, and OUT appears when it is whole."""
    from ahalab.datatools.conversion import convert as work
    from ahalab.datatools.layouts import mapping_of

    if mapping and layout is Layout.same:
        raise UserError("--map says how rows become prompts: it needs --layout prompts")
    with watching() as watch:
        done = work(
            file,
            to,
            watch,
            encoding=encoding,
            prompts=mapping_of(mapping or []) if layout is Layout.prompts else None,
            skip_bad_rows=skip_bad_rows,
            overwrite=overwrite,
        )
    if as_json:
        say_json(done.as_dict())
        return
    made = "" if done.written == done.rows else f", {done.written:,} prompts made of them"
    say(f"{done.rows:,} rows{made}")
    say_skipped(done.skipped)
    say_speed(done.size, done.seconds)
    say_written(done.path)
