"""`aha data dedup`: rows that say the same again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ahalab.cli.data_watch import say, say_json, say_skipped, say_speed, say_written, watching
from ahalab.errors import UserError


def dedup(
    file: Annotated[Path, typer.Argument(help="A .jsonl, .jsonl.gz, .parquet, .csv or .tsv file.")],
    to: Annotated[
        Path | None, typer.Option("--output", help="Write the rows that stay; only the report when left out.")
    ] = None,
    dropped: Annotated[
        Path | None, typer.Option(help="Name the rows that go here; OUTPUT.dropped.jsonl when left out.")
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Columns whose texts are compared; the question when left out."),
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Look for exact twins only.")] = False,
    near: Annotated[float, typer.Option(help="Share of common grams from which texts are near twins.")] = 0.8,
    gram: Annotated[int, typer.Option(min=1, max=50, help="Words or characters of a gram.")] = 5,
    unit: Annotated[
        str, typer.Option(help="words (each Han character is one) or characters (letters, digits, Han).")
    ] = "words",
    any_numbers: Annotated[
        bool,
        typer.Option("--any-numbers", help="Near twins may differ in numbers and mathematical signs."),
    ] = False,
    no_text: Annotated[bool, typer.Option("--no-text", help="Name rows without any of their text.")] = False,
    work: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for what does not fit into memory; beside the output."),
    ] = None,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Count and skip bad rows instead of stopping.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace outputs that are there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Find exact and near twins, keep the first of each group, name the others."""
    from ahalab.datatools.dedup import dedup as find
    from ahalab.datatools.sketches import Shape

    if unit not in ("words", "characters"):
        raise UserError(f"--unit {unit}: expected words or characters")
    if not 0.3 <= near <= 1:
        raise UserError(f"--near {near}: expected 0.3 to 1 (less alike texts share no bucket)")
    if dropped is not None and to is None:
        raise UserError("--dropped names what goes from --output: give that too")
    shape = None if exact else Shape(near, gram, "characters" if unit == "characters" else "words")
    with watching() as watch:
        done = find(
            file,
            watch,
            by=by or (),
            shape=shape,
            any_numbers=any_numbers,
            output=to,
            dropped=dropped,
            no_text=no_text,
            work=work,
            skip_bad_rows=skip_bad_rows,
            overwrite=overwrite,
        )
    if as_json:
        say_json(done.as_dict())
        return
    found = 0 if done.near is None else done.near.twins
    say(f"{file}: {done.rows:,} rows compared by {', '.join(done.by)}")
    say_skipped(done.skipped)
    told = "" if exact else f", {found:,} near (at least {near:g} of the {gram}-grams in common)"
    stay = done.rows - done.dropped
    say(
        f"twins: {done.exact:,} exact{told}; {stay:,} rows stay, {done.groups:,} of them as the first of a group"
    )
    if done.languages:
        say(
            "twins by language: "
            + ", ".join(f"{name} {count:,}" for name, count in done.languages.most_common())
        )
    if done.other_gold:
        say(
            f"{done.other_gold:,} exact twins have another answer than the row that stays: look at them",
            "yellow",
        )
    if done.near is not None:
        say(
            f"{done.near.compared:,} likely pairs compared; {done.near.short:,} rows too short for a gram",
            "dim",
        )
        if done.near.left_out:
            say(
                f"{done.near.left_out:,} comparisons left out in crowded buckets: a phrase that very many rows share",
                "yellow",
            )
    for row, twins, text in done.largest:
        say(
            f"  row {row:,} has {twins:,} twin{'s' if twins > 1 else ''}"
            + (f": {' '.join(text.split())[:100]}" if text else "")
        )
    say_speed(done.size, done.seconds)
    say_written(done.output, done.dropped_file)
