"""`aha words`: lists of reflective words."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from ahalab.cli.console import output

if TYPE_CHECKING:
    from ahalab.analysis.consensus import Agreement, Consensus

app = typer.Typer(no_args_is_help=True, help="Lists of reflective words.")


@app.callback()
def _group() -> None:
    pass


@app.command("merge")
def merge(
    lists: Annotated[list[Path], typer.Argument(help="Word lists, one file an annotator.")],
    at_least: Annotated[
        int | None,
        typer.Option(min=1, help="Annotators who must propose a word; more than half when left out."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--output", help="Write the merged list here, for `aha analyse --words`.")
    ] = None,
) -> None:
    """Merge word lists of several annotators by consensus and show how far they agree."""
    from ahalab.analysis.consensus import LANGUAGES, merge_lists
    from ahalab.runs.atomic import write_text

    found = merge_lists(lists, at_least)
    for language, name in LANGUAGES.items():
        if found.languages[language].proposed:
            _print(found, language, name, found.languages[language])
    if to is not None:
        write_text(to, found.as_text())
        output.print(f"written: {to}", highlight=False, markup=False)


def _print(found: Consensus, language: str, name: str, agreement: Agreement) -> None:
    from ahalab.text.hostile import make_visible

    kept = set(found.kept(language))
    table = Table(title=f"{name} words", title_justify="left")
    table.add_column("word")
    table.add_column("proposed by")
    table.add_column("of", justify="right")
    table.add_column("kept")
    for word, who in agreement.proposed.items():
        table.add_row(
            escape(make_visible(word)),
            escape(make_visible(", ".join(who))),
            f"{len(who)}/{len(found.annotators)}",
            "yes" if word in kept else "no",
        )
    output.print(table)
    kappa = "not defined" if agreement.kappa is None else f"{round(agreement.kappa, 2) + 0.0:.2f}"
    jaccard = "not defined" if agreement.jaccard is None else f"{agreement.jaccard:.2f}"
    output.print(
        f"{name}: {len(kept)} of {len(agreement.proposed)} words kept (at least {found.at_least} of "
        f"{len(found.annotators)}); mean pairwise Jaccard {jaccard}, Fleiss' kappa over the union {kappa}",
        highlight=False,
    )
