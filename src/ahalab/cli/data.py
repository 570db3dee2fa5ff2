"""`aha data`: look at files of prompts, and make them better. One file a verb; this one only gathers them."""

from __future__ import annotations

import typer

from ahalab.cli import data_check, data_tests

app = typer.Typer(no_args_is_help=True, help="Inspect, convert, clean and rate files of prompts.")
app.command("check")(data_check.check)
app.command("tests")(data_tests.make)
