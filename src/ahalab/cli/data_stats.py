"""`aha data stats`: the paper's tables of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ahalab.cli.data_watch import say, say_json, say_written, watching


def stats(
    file: Annotated[Path, typer.Argument(help="A .jsonl, .jsonl.gz, .parquet, .csv or .tsv file.")],
    model: Annotated[
        str | None, typer.Option(help="Count the tokens of this model's tokenizer (weights are not loaded).")
    ] = None,
    unit: Annotated[str, typer.Option(help="Without --model: words or characters.")] = "words",
    mapping: Annotated[
        list[str] | None, typer.Option("--map", metavar="KEY=VALUE", help="As in a recipe: question=COLUMN.")
    ] = None,
    domain_column: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="Each row's domain; `domain` where there is one.")
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--output", help="Write the tables to a .md or .json file.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace --output where it is there.")
    ] = False,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Count and skip bad rows instead of stopping.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of Markdown.")] = False,
) -> None:
    """Samples, rounds and tokens by domain; prompts by type; languages; percentiles of lengths."""
    from ahalab.datatools.figures import measure
    from ahalab.datatools.layouts import mapping_of
    from ahalab.datatools.stats_markdown import markdown
    from ahalab.errors import UserError
    from ahalab.runs.atomic import write_json, write_text

    if to is not None and to.suffix not in (".md", ".json"):
        raise UserError(f"--output {to}: expected a name ending in .md or .json")
    if to is not None and not to.absolute().parent.is_dir():
        raise UserError(f"--output {to}: the folder {to.absolute().parent} does not exist; make it first")
    if to is not None and to.exists() and not overwrite:
        raise UserError(f"--output {to} is there already; choose another name, or say --overwrite")
    count = None
    if model is not None:
        from ahalab.stages.sampling_shards import token_counter

        count = token_counter(model)
    with watching() as watch:
        figures = measure(
            file,
            watch,
            count=count,
            counted=None if model is None else f"those of the tokenizer of {model}",
            unit=unit,
            mapping=mapping_of(mapping) if mapping else None,
            domain_column=domain_column,
            skip_bad_rows=skip_bad_rows,
        )
    found = figures.as_dict()
    if as_json:
        say_json(found)
    else:
        say(markdown(found))
    if to is not None:
        if to.suffix == ".json":
            write_json(to, found)
        else:
            write_text(to, markdown(found) + "\n")
        if not as_json:
            say_written(to)
