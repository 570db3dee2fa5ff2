"""The command `aha`: parses, calls one function, prints. No logic lives here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import typer
from rich.markup import escape

from ahalab import __version__
from ahalab.cli import (
    analyse,
    base,
    chat,
    data,
    evaluate,
    explain,
    guard,
    probe,
    recipes,
    report,
    review,
    run,
    safety,
    serve,
    status,
    table,
    ui,
    words,
    zero,
)
from ahalab.cli.console import errors
from ahalab.errors import AhaError
from ahalab.runs.atomic import disk_full, is_disk_full

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="The complete DeepSeek-R1 recipe as software that runs.",
)
app.command("run")(run.run)
app.command("zero")(zero.zero)
app.command("explain")(explain.explain)
app.command("status")(status.status)
app.command("review")(review.review)
app.command("table")(table.table)
app.command("recipes")(recipes.recipes)
app.command("report")(report.report)
app.command("probe")(probe.probe)
app.command("ui")(ui.ui)
app.command("chat")(chat.chat)
app.command("serve")(serve.serve)
app.command("eval")(evaluate.evaluate)
app.command("analyse")(analyse.analyse)
app.add_typer(base.app, name="base")
app.add_typer(data.app, name="data")
app.add_typer(guard.app, name="guard")
app.add_typer(safety.app, name="safety")
app.add_typer(words.app, name="words")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"ahalab {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version."
    ),
) -> None:
    pass


def main() -> None:
    """Entry point: every expected error is one clear message and its exit code (2 is the user's mistake)."""
    try:
        app()
    except AhaError as error:
        _say(error)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        if not is_disk_full(error):
            raise
        _say(disk_full(Path(error.filename or "."), 0))


def _say(error: AhaError) -> NoReturn:
    errors.print(f"[bold red]aha:[/] {escape(str(error))}", highlight=False)
    sys.exit(error.exit_code)
