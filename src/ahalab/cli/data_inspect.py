"""`aha data inspect`: what a file is, what is wrong with it, and how a recipe reads it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from ahalab.cli.console import output
from ahalab.cli.data_watch import say, say_json, say_speed, watching

if TYPE_CHECKING:
    from ahalab.datatools.inspection import Inspection

MOST_SHOWN_COLUMNS = 40
EXAMPLE_WIDTH = 60


def inspect(
    file: Annotated[Path, typer.Argument(help="A .jsonl, .jsonl.gz, .parquet, .csv or .tsv file.")],
    encoding: Annotated[
        str | None, typer.Option(help="Of a text file that is not UTF-8, such as gb18030.")
    ] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Look at so many first rows only.")] = None,
    no_text: Annotated[
        bool, typer.Option("--no-text", help="Show no text of the file: no examples and no values.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Show a file's format, columns, problems and layout, and what to write into a recipe."""
    from ahalab.datatools.inspection import inspect as look

    with watching("nothing was changed.") as watch:
        found = look(file, watch, encoding=encoding, most_rows=rows, no_text=no_text)
    if as_json:
        say_json(found.as_dict())
        return
    _print(found, partly=rows is not None and found.rows == rows)


def _print(found: Inspection, partly: bool) -> None:
    stated = found.as_dict()
    only = " (only these were looked at)" if partly else ""
    say(f"{found.path}: {found.format}, {found.encoding}, {found.rows:,} rows{only}")
    if found.seconds:
        say_speed(found.size, found.seconds)
    output.print(_columns(stated["columns"]))
    hidden = len(stated["columns"]) - MOST_SHOWN_COLUMNS
    if hidden > 0:
        say(f"… and {hidden} more columns (--json shows them)")
    if found.census.other_keys:
        say(
            f"{found.census.other_keys:,} cells are of keys beyond the first {len(found.census.columns)}",
            "yellow",
        )
    for column in stated["columns"]:
        for problem, count in column["problems"].items():
            say(f"column {column['name']!r}: {count:,} rows with {problem}", "yellow")
    _print_bad("cannot be read", found.bad, found.bad_rows)
    _print_layout(found)
    _print_bad("make no prompt", found.unfit, found.unfit_rows)
    for sentence in found.advice:
        say(f"→ {sentence}")
    for fragment in found.fragments():
        output.print()
        say(fragment, "cyan")


def _columns(columns: list[dict[str, Any]]) -> Table:
    table = Table(title_justify="left")
    for head, side in (
        ("column", "left"),
        ("type", "left"),
        ("empty", "right"),
        ("length", "right"),
        ("examples", "left"),
    ):
        table.add_column(head, justify=side, overflow="fold")  # type: ignore[arg-type]
    for one in columns[:MOST_SHOWN_COLUMNS]:
        types = " / ".join(name for name in one["types"] if name != "null") or "null"
        length = one["length"]
        measured = (
            ""
            if length is None
            else f"{length['shortest']:,} – {length['mean']:,.0f} – {length['longest']:,}"
        )
        shown = _values(one["values"]) or [_short(example) for example in one["examples"][:2]]
        table.add_row(
            *(escape(_visible(text)) for text in (one["name"][:EXAMPLE_WIDTH], types)),
            f"{100 * one['empty_share']:.3g} %",
            measured,
            escape(_visible("\n".join(shown))),
        )
    return table


def _values(values: dict[str, int] | None) -> list[str]:
    """A column of few different values shows them all, with their numbers."""
    if not values or len(values) > 8 or max(values.values()) < 2:
        return []
    return ["  ".join(f"{_short(value)}: {count:,}" for value, count in values.items())]


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= EXAMPLE_WIDTH else flat[: EXAMPLE_WIDTH - 1] + "…"


def _visible(text: str) -> str:
    from ahalab.text.hostile import make_visible

    return make_visible(text)


def _print_bad(what: str, counts: dict[str, int], named: list[tuple[int, str]]) -> None:
    if not counts:
        return
    told = ", ".join(f"{count:,} {reason}" for reason, count in counts.items())
    say(f"{sum(counts.values()):,} rows {what}: {told}", "yellow")
    for row, words in named:
        say(f"  row {row}: {words}", "yellow")
    if sum(counts.values()) > len(named) > 0:
        say("  …", "yellow")


def _print_layout(found: Inspection) -> None:
    mapping = found.layout.prompts
    if mapping is None:
        say("recognised as prompts: no, the columns say nothing of a question and its answer", "yellow")
        return
    named = found.layout.recognised or "by the names of its columns"
    graded = f"domain {mapping.domain}, verifier {mapping.verifier}"
    say(f"recognised as prompts: {named}; {graded}, {found.prompts:,} prompts")
