"""`aha guard terms`: test a keyword list, look for its mistakes, and see what it finds in a text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ahalab.cli.console import output
from ahalab.errors import UserError

app = typer.Typer(no_args_is_help=True, help="Test, lint and explain keyword lists.")
Place = Annotated[
    Path | None, typer.Option("--terms", help="Folder or file of terms; the bundled list when left out.")
]


@app.command("test")
def run_tests(terms: Place = None) -> None:
    """Run the sentences that a list is tested with."""
    from ahalab.guard.checks import checked_terms
    from ahalab.guard.term import BUNDLED

    found, _ = checked_terms(terms or BUNDLED)
    output.print(
        f"{len(found.terms)} terms in {len(found.categories)} categories pass their tests; list {found.sha256[:12]}",
        highlight=False,
    )


@app.command("lint")
def lint(terms: Place = None) -> None:
    """Name terms that are there twice, that never count, or that harmless words hold."""
    from ahalab.guard.checks import lint as mistakes
    from ahalab.guard.term import BUNDLED, read_folder

    found = list(mistakes(read_folder(terms or BUNDLED)))
    for one in found:
        output.print(one, highlight=False, markup=False)
    if found:
        raise UserError(f"{len(found)} mistakes in the list")
    output.print("no mistakes", highlight=False)


@app.command("explain")
def explain(
    text: Annotated[str, typer.Argument(help="The text; - reads standard input.")], terms: Place = None
) -> None:
    """Show what the list finds in TEXT: term, category, severity, place, and in which readings.

    Also where the list fails its own tests, to see why.
    """
    import sys

    from ahalab.guard.checks import matcher_of
    from ahalab.guard.term import BUNDLED, read_folder
    from ahalab.text.hostile import make_visible

    given = sys.stdin.buffer.read().decode("utf-8", "replace") if text == "-" else text
    place = terms or BUNDLED
    hits = matcher_of(read_folder(place), place).find(given)
    for hit in hits:
        output.print(
            f"{hit.start}-{hit.end}  {make_visible(hit.span(given))}  =  {hit.term.text}  "
            f"({hit.term.category}, severity {hit.term.severity}, {hit.term.source}; seen {', '.join(hit.views)})",
            highlight=False,
            markup=False,
        )
    output.print("flagged" if hits else "not flagged", highlight=False)
